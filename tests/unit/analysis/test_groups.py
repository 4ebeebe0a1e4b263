from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis import Comparison, compare

SEEN, UNSEEN = ("maestro_main", "maestro_seen"), ("maestro_main", "maestro_unseen")
TAGS = {"chartqa": SEEN, "slake": SEEN, "vstar": UNSEEN, "mathvision": UNSEEN}


def compared(tags: Mapping[str, Sequence[str]], groups: Mapping[str, tuple[str, ...]] | None = None) -> Comparison:
    tasks = [task_record(name, each) for name, each in tags.items()]
    run = run_scores("a", [(task, scores_of(task, [1, 0])) for task in tasks])
    return compare([replace(run, manifest=replace(run.manifest, groups=dict(groups or {})))])


def test_a_group_within_another_names_it() -> None:
    groups = {group.name: group.within for group in compared(TAGS).groups}
    assert groups == {"main": "", "seen": "main", "unseen": "main"}


def test_what_was_not_run_counts_in_what_lies_within_what() -> None:
    members = {"maestro_main": tuple(TAGS), "maestro_seen": ("chartqa", "slake")}
    comparison = compared({"chartqa": SEEN, "slake": SEEN}, members)
    assert {group.name: group.within for group in comparison.groups} == {"main": "", "seen": "main"}
    assert list(comparison.systems[0].means) == ["seen"]


def test_of_two_groups_with_the_same_tasks_the_first_holds_the_other() -> None:
    comparison = compared({"x": ("one", "two"), "y": ("one", "two")})
    assert {group.name: group.within for group in comparison.groups} == {"one": "", "two": "one"}


def test_groups_that_overlap_stand_apart() -> None:
    comparison = compared({"x": ("one",), "y": ("one", "two"), "z": ("two",)})
    assert {group.name: group.within for group in comparison.groups} == {"one": "", "two": ""}


def test_the_largest_group_holds_all_that_lie_within() -> None:
    comparison = compared({"x": ("a1", "b1", "c1"), "y": ("b1", "c1"), "z": ("c1",)})
    assert {group.name: group.within for group in comparison.groups} == {"a1": "c1", "b1": "c1", "c1": ""}
