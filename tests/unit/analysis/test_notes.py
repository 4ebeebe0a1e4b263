from __future__ import annotations

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis import compare
from maestro_eval.records import Accepted, Selection
from maestro_eval.scoring import RunScores

CHART = task_record("maestro_chartqa", (), released="chartqa")
ERQA = task_record("maestro_erqa", ())
WHOLE = Selection()


def run_of(system: str, selection: Selection = WHOLE, protocol: str = "official") -> RunScores:
    run = run_scores(system, [(task, scores_of(task, [1, 0])) for task in (CHART, ERQA)], protocol)
    return replace(run, manifest=replace(run.manifest, selection=selection))


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Selection(), "all samples"),
        (Selection(limit=20), "limit 20"),
        (Selection(limit=0.1, offset=5), "offset 5, limit 0.1"),
        (Selection(subset=0), "subset 0"),
        (Selection(sample_ids=("a", "b")), "2 sample ids given"),
    ],
)
def test_a_selection_is_said_in_a_few_words(selection: Selection, text: str) -> None:
    assert selection.in_words == text


def test_a_part_of_a_benchmark_is_not_the_benchmark() -> None:
    notes = compare([run_of("a", Selection(limit=20)), run_of("b", Selection(limit=20))]).notes
    assert notes == ("limit 20: a sample of the benchmark, not the benchmark",)


def test_runs_that_asked_different_parts_are_told_apart() -> None:
    notes = compare([run_of("a", Selection(limit=20)), run_of("b")]).notes
    assert "a: limit 20: a sample of the benchmark, not the benchmark" in notes
    assert "selection differs (a: limit 20; b: all samples)" in notes


def test_whole_runs_have_nothing_to_say() -> None:
    assert compare([run_of("a"), run_of("b")]).notes == ()


def test_released_names_the_tasks_that_have_no_released_scorer() -> None:
    (note,) = compare([run_of("a", protocol="released")]).notes
    assert note == "judged by the released scorer's fall-back, which reads \\boxed{} only: maestro_erqa"


def test_a_run_that_went_on_after_a_change_says_so_first() -> None:
    run = run_of("a", Selection(limit=20))
    accepted = (Accepted("registry", "a" * 64, "b" * 64, 1.0), Accepted("policy-model", "m1", "m2", 1.0))
    mixed = replace(run, manifest=replace(run.manifest, accepted=accepted))
    assert compare([mixed]).notes[0] == (
        "a mixes two settings or more: it continued with another "
        "registry (was aaaaaaaaaaaa, is bbbbbbbbbbbb), policy-model (was m1, is m2)"
    )
