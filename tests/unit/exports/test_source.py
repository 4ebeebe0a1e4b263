"""Every planned rollout has a row, and the numbers are the table's."""

from __future__ import annotations

from pathlib import Path
from statistics import stdev

import pytest
from msgspec import structs

from maestro_eval.analysis import compare
from maestro_eval.exports.source import departures, open_source, shortcomings
from maestro_eval.records import Accepted, Candidate, EarlyStop, Replay, Selection, UserError
from maestro_eval.scoring import score_run
from tests.unit.exports.export_worlds import CHARTQA, HOME, manifest_of


def test_every_planned_rollout_has_a_row_and_those_that_never_ran_have_no_record(broken: Path) -> None:
    rows = list(open_source(broken, "official").rows())
    assert [(row.score.sample_id, row.score.repeat) for row in rows] == [
        (sample, repeat) for sample in "012" for repeat in (0, 1)
    ]
    assert [row.rollout is None for row in rows] == [False] * 5 + [True]
    assert [row.answer for row in rows] == ["7", "8", None, "7", None, None]


def test_the_rows_of_a_task_are_those_of_no_other(whole: Path) -> None:
    source = open_source(whole, "official")
    assert len(list(source.rows())) == sum(len(list(source.rows(task.name))) for task in source.tasks) == 5
    assert [len(rows) for rows in source.samples("maestro_chartqa")] == [1, 1, 1]


def test_the_numbers_are_those_of_the_table(broken: Path) -> None:
    source = open_source(broken, "official")
    expected = compare([score_run(broken)]).systems[0].tasks["maestro_chartqa"]
    assert source.result.tasks["maestro_chartqa"] == expected
    assert source.accuracies == {"maestro_chartqa": expected.accuracy.value}


def test_the_standard_error_of_independent_samples_is_that_of_their_mean(whole: Path) -> None:
    source = open_source(whole, "official")
    assert source.errors["maestro_chartqa"] == pytest.approx(stdev([1, 0, 0]) / 3**0.5)


def test_a_run_is_short_of_its_benchmarks_by_failures_and_by_selection(broken: Path, whole: Path) -> None:
    manifest = open_source(broken, "official").manifest
    assert shortcomings(manifest, 4, 2)[0].startswith("2 of 6 rollouts")
    assert len(shortcomings(manifest, 6, 0)) == 1
    assert shortcomings(open_source(whole, "official").manifest, 5, 0) == ()
    assert manifest.selection != Selection()


def test_what_departs_from_one_system_under_one_setting_is_said() -> None:
    manifest = manifest_of([CHARTQA])
    assert departures(manifest) == ()
    stop = EarlyStop("maestro_chartqa", "base", 0.05, 0.01, 120, 2500, 0.1, 0.02, 0.2)
    changed = structs.replace(
        manifest,
        stopped=(stop,),
        accepted=(Accepted("registry", "a", "b", 0.0),),
        candidates=(Candidate("random"), Candidate("router")),
        replay=Replay(f"{HOME}/runs/base", 1),
    )
    said = departures(changed)
    assert len(said) == 4
    assert "maestro_chartqa after 120 of 2500 samples" in said[0]
    assert "registry" in said[1]
    assert "another of 2 systems" in said[2]
    assert "alice" not in said[3]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="manifest"):
        open_source(tmp_path, "official")
