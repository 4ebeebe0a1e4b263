from __future__ import annotations

import pytest
from view_worlds import AUGMENTED, BASE, TASK

from maestro_eval.view.comparing import select as select_rollouts
from maestro_eval.view.filters import Around, Filters, Selected, read_filters
from maestro_eval.view.library import Library
from maestro_eval.view.search import words_of


@pytest.fixture
def select(library: Library, ids: dict[str, str]):
    def selected(run: str, **fields: str) -> Selected:
        library.begin_page()
        return select_rollouts(library, library.get(ids[run]), read_filters(fields))

    return selected


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 6),
        ({"verdict": "right"}, 3),
        ({"verdict": "wrong"}, 2),
        ({"outcome": "failed"}, 1),
        ({"cause": "expert: http 404"}, 1),
        ({"task": TASK, "verdict": "wrong"}, 2),
        ({"task": "another"}, 0),
        ({"expert": "counter"}, 6),
        ({"expert": "seer"}, 0),
        ({"skill": "Count_Things", "verdict": "right"}, 3),
        ({"turns": "2"}, 6),
        ({"turns": "3-9"}, 0),
        ({"turns": "x"}, 0),
        ({"repeat": "0"}, 6),
        ({"repeat": "1"}, 0),
        ({"repeat": "²"}, 0),
        ({"fair": "right", "official": "wrong"}, 0),
        ({"q": "counted"}, 0),
        ({"q": "answer is"}, 6),
        ({"q": "observations: answer"}, 6),
        ({"q": '"unclosed (answer'}, 0),
        ({"q": '"answer is"'}, 6),
        ({"q": '"Answer IS"'}, 6),
        ({"q": '"is answer"'}, 0),
        ({"q": 'the "answer is"'}, 6),
        ({"q": 'observations: "answer is"'}, 6),
        ({"q": 'question: "answer is"'}, 0),
        ({"q": '"is answer" OR zebra'}, 6),
        ({"q": "(answer"}, 6),
        ({"q": "!!!"}, 0),
    ],
)
def test_a_filter_keeps_what_it_names(select, fields: dict[str, str], count: int) -> None:
    assert select(BASE, **fields).count == count


@pytest.mark.parametrize(
    ("change", "count"), [("gained", 1), ("lost", 0), ("both right", 3), ("both wrong", 1), ("unknown", 1)]
)
def test_changes_against_another_run_are_a_filter(select, ids: dict[str, str], change: str, count: int) -> None:
    assert select(AUGMENTED, other=ids[BASE], change=change).count == count


def test_a_gain_and_a_loss_change_places_with_the_runs(select, ids: dict[str, str]) -> None:
    assert select(BASE, other=ids[AUGMENTED], change="lost").count == 1


def test_rollouts_that_called_an_entry_which_the_other_registry_lacks(select, ids: dict[str, str]) -> None:
    touched = select(AUGMENTED, new=ids[BASE])
    assert touched.count == 3
    assert select(AUGMENTED, new=ids[BASE], expert="counter").count == 0


def test_counts_say_what_each_value_of_a_filter_would_leave(select) -> None:
    selected = select(BASE, verdict="wrong")
    assert selected.counts("verdict") == {"right": 3, "wrong": 2, "unjudged": 1}
    assert selected.counts("outcome") == {"answered": 2}
    assert selected.counts("expert") == {"counter": 2}


def test_the_next_rollout_is_the_next_under_the_filter(select) -> None:
    selected = select(BASE, verdict="right", sort="-order")
    ranks = [int(rank) for rank in selected.ordered]
    assert selected.around(ranks[1]) == Around(ranks[0], ranks[2], 2, 3)
    assert selected.around(ranks[0]).before is None
    assert selected.around(1 if 1 not in ranks else 0).place == 0


def test_an_address_comes_back_as_it_was() -> None:
    filters = Filters(verdict="wrong", task="a&b=c", q='"x y" OR z', sort="-seconds", page=3, protocol="fair")
    from urllib.parse import parse_qsl

    assert read_filters(dict(parse_qsl(filters.query(page=3)[1:]))) == filters


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "²"])
def test_a_senseless_page_is_a_page_all_the_same(select, page: str) -> None:
    assert len(select(BASE, page=page).page()) == 6


def test_a_phrase_is_looked_for_in_bounded_many_rollouts(select, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestro_eval.view.search.MOST_READ", 2)
    found = select(BASE, q='"the answer"')
    assert found.count == 2
    assert "first 2 of 6 rollouts" in found.note


@pytest.mark.parametrize(("text", "words"), [("Ça va, Été_42?", ["ca", "va", "ete", "42"]), ("", []), ("!", [])])
def test_words_are_those_of_the_index(text: str, words: list[str]) -> None:
    assert words_of(text) == words
