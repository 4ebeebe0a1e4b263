"""Which samples of a task are asked: in the order of the data, the same everywhere, each category its share."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import Selection, UserError
from maestro_eval.tasks.selection import check_sample_ids, choose, draw, read_sample_ids, rows_needed


class Listed:
    """A task of which only its samples and their categories are known."""

    name = "mine"

    def __init__(self, categories: dict[str, str]) -> None:
        self._categories = categories

    def ids(self, limit: int | None = None) -> list[str]:
        return list(self._categories)[:limit]

    def categories(self) -> dict[str, str]:
        return self._categories


TEN = Listed({str(number): "even" if number % 2 == 0 else "odd" for number in range(10)})


def chosen(seed: int = 0, **selection: object) -> list[str]:
    return choose(TEN, Selection(**selection), seed)  # type: ignore[arg-type]


def test_without_a_selection_all_are_chosen() -> None:
    assert chosen() == TEN.ids()


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"limit": 3}, "012"),
        ({"limit": 50}, "0123456789"),
        ({"limit": 0.25}, "012"),
        ({"limit": 0.1}, "0"),
        ({"limit": 0.7}, "0123456"),
        ({"limit": 0.0001}, "0"),
        ({"offset": 8}, "89"),
        ({"offset": 4, "limit": 2}, "45"),
        ({"offset": 6, "limit": 0.5}, "67"),
        ({"sample_ids": ("7", "mine 2", "other 5")}, "27"),
        ({"sample_ids": ("7", "2", "5"), "offset": 1, "limit": 1}, "5"),
        ({"subset": 10}, "0123456789"),
        ({"subset": 99}, "0123456789"),
    ],
)
def test_ids_then_offset_then_limit(selection: dict[str, object], expected: str) -> None:
    assert chosen(**selection) == list(expected)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"limit": 0}, "--limit 0: expected a whole number from 1"),
        ({"limit": -1}, "--limit -1"),
        ({"limit": 1.5}, r"--limit 1\.5"),
        ({"limit": float("nan")}, "--limit nan"),
        ({"limit": float("inf")}, "--limit inf"),
        ({"offset": -1}, "--offset -1"),
        ({"offset": 10}, "--offset 10 passes over all"),
        ({"subset": 0}, "--subset 0"),
        ({"sample_ids": ()}, "names no sample"),
        ({"sample_ids": ("other 1",)}, "names no sample of mine"),
        ({"sample_ids": ("1", "a", "mine b", "c", "d")}, "mine has no sample a, b, c, … "),
    ],
)
def test_a_choice_of_nothing_is_refused_in_one_line(selection: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        chosen(**selection)
    assert "\n" not in str(caught.value)


def test_the_draw_is_the_same_on_every_machine() -> None:
    assert chosen(seed=0, subset=4) == ["1", "2", "4", "5"]
    assert chosen(seed=1, subset=4) == ["1", "4", "6", "9"]


def test_the_draw_follows_the_offset_and_the_limit() -> None:
    drawn = chosen(offset=2, limit=6, subset=3)
    assert len(drawn) == 3
    assert set(drawn) < set("234567")


SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 40), min_size=1, max_size=8)


def members(sizes: dict[str, int]) -> dict[str, str]:
    return {f"{category}{number}": category for category, size in sizes.items() for number in range(size)}


@given(SIZES, st.integers(1, 200), st.text(max_size=5))
def test_a_draw_keeps_the_shares(sizes: dict[str, int], count: int, salt: str) -> None:
    categories = members({f"{name}:": size for name, size in sizes.items()})
    total = len(categories)
    drawn = draw(categories, count, salt)
    assert drawn <= set(categories)
    assert len(drawn) == min(count, total)
    got = {f"{name}:": 0 for name in sizes}
    for one in drawn:
        got[categories[one]] += 1
    for name, size in sizes.items():
        exact = min(count, total) * size / total
        # One from above where a rare category was given its first sample.
        assert got[f"{name}:"] < exact + 1
        if count >= len(sizes):
            assert got[f"{name}:"] >= 1
        else:
            assert got[f"{name}:"] > exact - 1


@given(SIZES, st.integers(1, 50), st.randoms(use_true_random=False))
def test_a_draw_does_not_depend_on_the_order_of_the_data(sizes: dict[str, int], count: int, random: object) -> None:
    categories = members({f"{name}:": size for name, size in sizes.items()})
    shuffled = list(categories)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw({one: categories[one] for one in shuffled}, count, "s") == draw(categories, count, "s")


@given(st.integers(0, 12), st.one_of(st.integers(1, 12), st.floats(0.001, 0.999)), st.integers(1, 12), st.integers())
def test_any_choice_is_in_the_order_of_the_data(offset: int, limit: float, subset: int, seed: int) -> None:
    selection = Selection(limit=limit, offset=offset, subset=subset)
    if offset >= 10:
        with pytest.raises(UserError):
            choose(TEN, selection, seed)
        return
    ids = choose(TEN, selection, seed)
    assert ids == sorted(ids) == choose(TEN, selection, seed)
    assert 1 <= len(ids) <= min(subset, 10 - offset)


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        (Selection(), None),
        (Selection(limit=5), 5),
        (Selection(limit=5, offset=2, subset=1), 7),
        (Selection(limit=0.5), None),
        (Selection(limit=5, sample_ids=("a",)), None),
        (Selection(offset=2), None),
    ],
)
def test_how_many_rows_a_choice_can_reach(selection: Selection, rows: int | None) -> None:
    assert rows_needed(selection) == rows


def test_sample_ids_are_read_from_lines(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("\ufeff# a comment\n\n7\nmine\t2\n mine 3 \n7\nwith#mark\n", encoding="utf-8")
    assert read_sample_ids(path) == ("7", "mine 2", "mine 3", "with#mark")


@pytest.mark.parametrize(("text", "message"), [(None, "no such file"), (b"# no\n", "no sample"), (b"\xff", "read")])
def test_a_file_without_sample_ids_is_refused(tmp_path: Path, text: bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "ids.txt").write_bytes(text)
    with pytest.raises(UserError, match=message) as caught:
        read_sample_ids(tmp_path / "ids.txt")
    assert "\n" not in str(caught.value)


def test_ids_of_a_task_that_is_not_selected_are_refused() -> None:
    check_sample_ids(Selection(sample_ids=("7", "mine 2", "an id with spaces")), ["mine"])
    with pytest.raises(UserError, match="maestro_chartq is not among the selected tasks"):
        check_sample_ids(Selection(sample_ids=("maestro_chartq 2",)), ["maestro_chartqa"])
