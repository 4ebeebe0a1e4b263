"""Names on the command line become tasks, and a wrong name becomes a suggestion."""

import re
import sys
from pathlib import Path

import msgspec
import pytest

from maestro_eval.records import UserError
from maestro_eval.tasks import TaskSpec, define, list_tasks, localise, open_task, read_data_file, select_tasks

MAIN = [
    f"maestro_{name}"
    for name in (
        "chartqa",
        "geometry3k",
        "hrbench4k",
        "hrbench8k",
        "mathvision",
        "microvqa",
        "msearthmcq",
        "slake",
        "tallyqa",
        "vstar",
    )
]
OOD = ["maestro_erqa", "maestro_humanevalv", "maestro_ocrbench", "maestro_vlmsareblind"]
MINI_MAIN = [f"maestro_mini_{name}" for name in ("chartqa", "geometry3k", "tallyqa", "vstar")]
MINI_OOD = ["maestro_mini_ocrbench", "maestro_mini_vlmsareblind"]


def names(*asked: str, include: tuple[Path, ...] = ()) -> list[str]:
    return [spec.name for spec in select_tasks(asked, data={}, include=include)]


def test_a_tag_stands_for_its_tasks() -> None:
    assert names("maestro_main") == MAIN
    assert names("maestro_ood") == OOD
    assert names("maestro_mini_main", "maestro_mini_ood") == MINI_MAIN + MINI_OOD
    assert sorted(names("maestro_mini")) == sorted(MINI_MAIN + MINI_OOD)


def test_order_is_as_named_and_each_task_comes_once() -> None:
    assert names("maestro_vstar", "maestro_main") == ["maestro_vstar", *MAIN[:-1]]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("maestro_chartQA", "maestro_chartqa"), ("chartqa", "maestro_chartqa"), ("maestro_odd", "maestro_ood")],
)
def test_an_unknown_name_is_answered_with_close_ones(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"no task or tag '{typed}'; did you mean .*{meant}"):
        names(typed)


def test_a_file_without_a_task_is_named_by_who_asks_for_its_stem(tmp_path: Path) -> None:
    (tmp_path / "colours.yaml").write_text("dataset_path: local:colours\n")
    says = f"no task or tag 'colours': {tmp_path / 'colours.yaml'} has no `task:`; add `task: colours`"
    with pytest.raises(UserError, match=re.escape(says)):
        names("colours", include=(tmp_path,))


def test_a_name_far_from_all_is_answered_with_what_there_is() -> None:
    with pytest.raises(UserError, match="no task or tag 'xyz'; there are maestro_chartqa, "):
        names("xyz")


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="no task named"):
        names()


def test_data_of_a_task_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no task 'maestro_chartq'; did you mean 'maestro_chartqa'\?"):
        select_tasks(["maestro_chartqa"], data={"maestro_chartq": str(tmp_path)})


def test_data_of_other_tasks_is_passed_by(tmp_path: Path) -> None:
    (spec,) = select_tasks(["maestro_chartqa"], data={"maestro_tallyqa": str(tmp_path / "none.parquet")})
    assert (spec.name, spec.data) == ("maestro_chartqa", "")


def test_a_task_of_lmms_eval_is_passed_through(tmp_path: Path) -> None:
    specs = select_tasks(["lmms:chartqa", "maestro_vstar", "lmms:chartqa"], data={"lmms:chartqa": str(tmp_path)})
    assert [(spec.name, bool(spec.folder), spec.data) for spec in specs] == [
        ("lmms:chartqa", False, str(tmp_path)),
        ("maestro_vstar", True, ""),
    ]
    assert localise(specs[0]) is specs[0]
    with pytest.raises(UserError, match="lmms:chartqa: a task of lmms-eval has no task file"):
        define(specs[0])


def test_a_data_file_names_paths_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "data.yaml"
    file.write_text("maestro_chartqa: ../chartqa\nmaestro_vstar: /data/vstar.parquet\n")
    assert read_data_file(file) == {
        "maestro_chartqa": str(tmp_path / "chartqa"),
        "maestro_vstar": "/data/vstar.parquet",
    }


@pytest.mark.parametrize("written", ["a: 1", "a:", 'a: ""', "a: [b]", "1: b"])
def test_a_data_file_of_anything_else_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / "data.yaml").write_text(written + "\n")
    with pytest.raises(UserError, match=r"data\.yaml:1: .*: expected TASK: PATH"):
        read_data_file(tmp_path / "data.yaml")


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
        (
            "maestro_chartqa",
            r"pip install 'maestro-eval\[hub\]' .*ChartQA \(split test\) .* --data maestro_chartqa=PATH",
        ),
        ("maestro_tallyqa", "with the columns image: image, question: string, answer: integer"),
    ],
)
def test_a_task_without_data_says_how_to_get_it(name: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
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
    with pytest.raises(UserError, match=r"'maestro_chartqu' \(in group hollow\); did you mean 'maestro_chartqa'"):
        names("hollow", include=(tmp_path,))


def test_a_name_may_not_be_defined_twice(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: maestro_chartqa\n")
    with pytest.raises(UserError, match=r"maestro_chartqa is defined in .* too"):
        names("maestro_chartqa", include=(tmp_path,))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        names("maestro_main", include=(tmp_path / "none",))
