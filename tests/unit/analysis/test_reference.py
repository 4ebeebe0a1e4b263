from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from maestro_eval.analysis.reference import load_reference, reference_names
from maestro_eval.files import bundled
from maestro_eval.records import UserError

MEANS = {"main": ["maestro_chartqa", "maestro_slake"]}
FILE: dict[str, Any] = {
    "schema": 1,
    "system": "S-1",
    "source": {"citation": "somebody", "where": "table 2", "date": 2026},
    "registry": "base",
    "means": MEANS,
    "values": {
        "main": {"value": 70.5, "mark": "P"},
        "maestro_chartqa": {"value": 80, "n": 2500, "mark": "D", "registry": "augmented"},
        "maestro_slake": {"value": None, "n": None, "mark": "P"},
    },
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(FILE | changes, sort_keys=False))
    return path


def test_values_are_fractions_with_their_mark_and_registry(tmp_path: Path) -> None:
    reference = load_reference(written(tmp_path))
    assert (reference.name, reference.system, reference.date) == ("mine", "S-1", "2026")
    main, chart = reference.values["main"], reference.values["maestro_chartqa"]
    assert (main.value, main.n, main.mark, main.registry) == (0.705, None, "P", "base")
    assert (chart.value, chart.n, chart.mark, chart.registry) == (0.8, 2500, "D", "augmented")


def test_an_empty_value_is_not_published(tmp_path: Path) -> None:
    assert "maestro_slake" not in load_reference(written(tmp_path)).values


def test_a_mean_is_only_that_of_its_own_tasks(tmp_path: Path) -> None:
    reference = load_reference(written(tmp_path))
    assert reference.reported("main", ["maestro_slake", "maestro_chartqa"]) is reference.values["main"]
    assert reference.reported("main", ["maestro_chartqa"]) is None
    assert reference.reported("maestro_chartqa", ["maestro_chartqa"]) is reference.values["maestro_chartqa"]
    assert reference.reported("ood", ["maestro_erqa"]) is None


def test_a_task_of_the_users_own_is_as_good_as_any(tmp_path: Path) -> None:
    path = written(tmp_path, values={"our_internal_benchmark": {"value": 12, "mark": "P"}})
    assert load_reference(path).values["our_internal_benchmark"].value == 0.12


@pytest.mark.parametrize(
    ("changes", "line", "complaint"),
    [
        ({"values": {"maestro_chatqa": {"value": 3, "mark": "P"}}}, 13, "values.maestro_chatqa.*'maestro_chartqa'"),
        ({"values": {"main": {"value": 0.7, "mark": "P"}}}, 14, r"values.main.value: .*percent, say 70 and not 0.7"),
        ({"values": {"main": {"value": 170, "mark": "P"}}}, 14, "values.main.value: .*100"),
        ({"values": {"main": {"value": float("nan"), "mark": "P"}}}, 14, "values.main.value"),
        ({"values": {"main": {"value": 70}}}, 13, "values.main: a value needs its mark"),
        ({"values": {"main": {"value": 70, "mark": "X"}}}, 15, "values.main.mark"),
        ({"values": {"main": {"vlaue": 70, "mark": "P"}}}, 14, "values.main.vlaue: unknown field; .*'value'"),
        ({"source": {"citation": "x", "were": "y"}}, 5, "source.were: unknown field; did you mean 'where'"),
        ({"source": {"citation": "x"}}, 3, "source.where: this field is missing"),
        ({"protocl": "released"}, 17, "protocl: unknown field; did you mean 'protocol'"),
        ({"protocol": "lenient"}, 17, "protocol: .*released"),
        ({"schema": 2}, 1, "schema"),
        ({"means": {"main": []}}, 9, "means.main"),
    ],
)
def test_what_is_wrong_is_told_by_file_line_field_and_mend(
    tmp_path: Path, changes: dict[str, Any], line: int, complaint: str
) -> None:
    path = written(tmp_path, **{"values": {"main": {"value": 70.5, "mark": "P", "n": 1}}} | changes)
    with pytest.raises(UserError, match=complaint) as raised:
        load_reference(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(raised.value)


def test_an_unknown_name_is_met_with_a_near_one() -> None:
    with pytest.raises(UserError, match="no bundled reference; did you mean 'maestro-4b'"):
        load_reference("maestro4b")


def test_the_template_is_no_reference_by_name_and_fits_the_schema(tmp_path: Path) -> None:
    assert "template" not in reference_names()
    with pytest.raises(UserError, match="no bundled reference"):
        load_reference("template")
    template = load_reference(bundled("references") / "template.yaml")
    assert template.values == {}
    text = (bundled("references") / "template.yaml").read_text()
    benchmarks = [scope for scope in yaml.safe_load(text)["values"] if scope.startswith("maestro_")]
    assert sorted(benchmarks) == sorted(task for tasks in template.means.values() for task in tasks)
    assert len(benchmarks) == 14


@pytest.mark.parametrize("name", ["gemini-2.5-pro", "gpt-5", "maestro-4b"])
def test_the_bundled_ones_hold_means_of_the_groups_that_the_tasks_make(name: str) -> None:
    reference = load_reference(name)
    assert name in reference_names()
    tagged: dict[str, set[str]] = {}
    for path in bundled("tasks").glob("maestro_*.yaml"):
        for tag in yaml.load(path.read_text(), yaml.BaseLoader)["tag"]:
            tagged.setdefault(tag, set()).add(path.stem)
    for mean, tasks in reference.means.items():
        assert set(tasks) == tagged[f"maestro_{mean}"]
    assert reference.values
    assert all(0.5 < value.value < 0.8 for value in reference.values.values())
