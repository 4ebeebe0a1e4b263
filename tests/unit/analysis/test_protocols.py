"""Where another protocol reads a run otherwise, as the notes of a comparison say it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from maestro_eval.analysis import compare
from maestro_eval.report.report import protocol_notes
from maestro_eval.scoring import RunScores
from tests.unit.analysis.analysis_runs import run_scores, scores_of, task_record

TASKS = [task_record(f"maestro_{name}", (), released="chartqa") for name in ("a", "b", "c", "d", "e")]
RIGHT, HALF, WRONG = [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]


def run(system: str, official: Sequence[Sequence[float]], **elsewhere: Sequence[Sequence[float]]) -> RunScores:
    """A run of as many tasks as values are given for."""

    def scores(values: Sequence[Sequence[float]]) -> RunScores:
        return run_scores(system, [(task, scores_of(task, each)) for task, each in zip(TASKS, values, strict=False)])

    others = {protocol: scores(values).scores for protocol, values in elsewhere.items()}
    return replace(scores(official), elsewhere=others)


def test_a_protocol_that_reads_more_than_a_point_apart_has_a_line() -> None:
    one = run("one", [HALF], fair=[RIGHT], strict=[HALF], released=[WRONG])
    assert tuple(protocol_notes(compare([one]))) == (
        "released reads 0.0 for one on maestro_a (50.0); in brackets what official reads",
        "fair reads 100.0 for one on maestro_a (50.0); in brackets what official reads",
    )


def test_a_task_without_a_released_rule_has_no_released_reading() -> None:
    own = task_record("mine", ())
    right, wrong = (run_scores("one", [(own, scores_of(own, values))]) for values in (RIGHT, WRONG))
    assert compare([replace(right, elsewhere={"released": wrong.scores})]).readings == ()


def test_a_point_or_less_is_no_difference() -> None:
    assert compare([run("one", [[1.0] * 99 + [0.0]], fair=[[1.0] * 100])]).readings == ()


def test_the_widest_differences_are_named_and_the_others_counted() -> None:
    one = run("one", [RIGHT, RIGHT, HALF, RIGHT, RIGHT], strict=[HALF, WRONG, HALF, WRONG, HALF])
    assert tuple(protocol_notes(compare([one]))) == (
        "strict reads 0.0 for one on maestro_b (100.0), 0.0 for one on maestro_d (100.0), 50.0 for one on maestro_a "
        "(100.0), and otherwise in 1 more cells; in brackets what official reads",
    )
