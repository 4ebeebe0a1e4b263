"""Rollouts beside their scores, read side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_worlds import small_manifest
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis.scored_run import scored_rollouts
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Answered,
    MalformedAction,
    Resolution,
    Rollout,
    RolloutKey,
    Sample,
    Turn,
)

TASK = task_record("signs")


def _turn(expert: str | None, skill: str | None) -> Turn:
    return Turn("…", MalformedAction("…"), resolution=Resolution(expert, skill, "exact"))


def _run(folder: Path, ids: list[str], *, ran: list[str]) -> None:
    plan = [RolloutKey("signs", sample_id) for sample_id in ids]
    with Journal.create(folder, small_manifest(TASK), plan) as journal:
        journal.commit(
            [
                Finished(
                    Rollout(RolloutKey("signs", i), Answered("7"), (), "", "h", 0),
                    Sample("signs", i, "?", ("7",), content_hash="h"),
                )
                for i in ran
            ]
        )


def test_each_rollout_comes_with_its_own_score_and_one_that_never_ran_is_passed_over(tmp_path: Path) -> None:
    _run(tmp_path / "run", ["s000", "s001", "s002"], ran=["s000", "s002"])
    scores = run_scores("a", [(TASK, scores_of(TASK, [1.0, None, 0.0]))])
    found = [(each.rollout.key.sample_id, each.score.value) for each in scored_rollouts(tmp_path / "run", scores)]
    assert found == [("s000", 1.0), ("s002", 0.0)]


def test_scores_of_another_run_are_refused(tmp_path: Path) -> None:
    _run(tmp_path / "run", ["s000", "s009"], ran=["s009"])
    with pytest.raises(ValueError, match="another run"):
        list(scored_rollouts(tmp_path / "run", run_scores("a", [(TASK, scores_of(TASK, [1.0]))])))


def test_a_call_to_nobody_is_unresolved_and_no_search() -> None:
    turns = (_turn("reader", "Read_Text"), _turn(None, "Read_Text"), _turn("counter", "Count_Things"))
    rollout = Rollout(RolloutKey("signs", "s"), Answered("7"), turns, "", "h", 0)
    assert [each.pair for each in rollout.searches] == ["reader@@Read_Text", "counter@@Count_Things"]
