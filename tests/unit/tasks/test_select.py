"""Names on the command line become tasks, and a wrong name becomes a suggestion."""

from pathlib import Path

import msgspec
import pytest

from maestro_eval.tasks import TaskSpec, list_tasks, open_task, select_tasks
from maestro_eval.types import UserError

MAIN = ["maestro_chartqa", "maestro_geometry3k", "maestro_tallyqa", "maestro_vstar"]
OOD = ["maestro_ocrbench", "maestro_vlmsareblind"]


def names(*asked: str, include: tuple[Path, ...] = ()) -> list[str]:
    return [spec.name for spec in select_tasks(asked, data={}, include=include)]


def test_a_tag_stands_for_its_tasks() -> None:
    assert names("maestro_main") == MAIN
    assert names("maestro_ood") == OOD
    minis = [name.replace("maestro_", "maestro_mini_") for name in (*MAIN, *OOD)]
    assert names("maestro_mini_main", "maestro_mini_ood") == minis
    assert sorted(names("maestro_mini")) == sorted(minis)


def test_order_is_as_named_and_each_task_comes_once() -> None:
    assert names("maestro_vstar", "maestro_main") == ["maestro_vstar", *MAIN[:3]]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("maestro_chartQA", "maestro_chartqa"), ("chartqa", "maestro_chartqa"), ("maestro_odd", "maestro_ood")],
)
def test_an_unknown_name_is_answered_with_close_ones(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"no task or tag '{typed}'; did you mean .*{meant}"):
        names(typed)


def test_a_name_far_from_all_is_answered_with_what_there_is() -> None:
    with pytest.raises(UserError, match="no task or tag 'xyz'; there are maestro_chartqa, "):
        names("xyz")


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="no task named"):
        names()


def test_data_of_a_task_that_is_not_selected_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"maestro_chartq is not among .*did you mean maestro_chartqa"):
        select_tasks(["maestro_chartqa"], data={"maestro_chartq": str(tmp_path)})


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--data maestro_chartqa=.*none\.parquet: no such file"):
        select_tasks(["maestro_chartqa"], data={"maestro_chartqa": str(tmp_path / "none.parquet")})


def test_data_paths_hold_in_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    (spec,) = select_tasks(["maestro_chartqa"], data={"maestro_chartqa": "data"})
    assert spec.data == str(tmp_path / "data")
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TaskSpec) == spec


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("maestro_mini_chartqa", "maestro-eval tasks make-mini --out DIR"),
        ("maestro_chartqa", r"lmms-lab-encoder/ChartQA \(split test\) .* --data maestro_chartqa=PATH"),
        ("maestro_tallyqa", "with the columns image: image, question: string, answer: integer"),
    ],
)
def test_a_task_without_data_says_how_to_get_it(name: str, advice: str) -> None:
    (spec,) = select_tasks([name], data={})
    with pytest.raises(UserError, match=f"^{name}: no data given; .*{advice}"):
        open_task(spec)


def test_tasks_and_groups_of_a_named_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text("task: mine\ntag: [ours, maestro_main]\nunknown_key: 1\n")
    (tmp_path / "_template.yaml").write_text("test_split: test\n")
    (tmp_path / "group.yaml").write_text("group: both\ntask: [mine, maestro_ood]\n")
    assert names("both", include=(tmp_path,)) == ["mine", *OOD]
    assert names("ours", include=(tmp_path,)) == ["mine"]
    assert names("maestro_main", include=(tmp_path,)) == [*MAIN, "mine"]
    assert "mine" in [entry.name for entry in list_tasks((tmp_path,))]


def test_a_group_that_holds_itself_or_nothing_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("group: ring\ntask: [chain]\n")
    (tmp_path / "b.yaml").write_text("group: chain\ntask: [ring]\n")
    (tmp_path / "c.yaml").write_text("group: hollow\ntask: [maestro_chartqu]\n")
    with pytest.raises(UserError, match="ring -> chain -> ring"):
        names("ring", include=(tmp_path,))
    with pytest.raises(UserError, match=r"'maestro_chartqu' \(in group hollow\); did you mean maestro_chartqa"):
        names("hollow", include=(tmp_path,))


def test_a_name_may_not_be_defined_twice(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: maestro_chartqa\n")
    with pytest.raises(UserError, match=r"maestro_chartqa is defined in .* too"):
        names("maestro_chartqa", include=(tmp_path,))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        names("maestro_main", include=(tmp_path / "none",))
