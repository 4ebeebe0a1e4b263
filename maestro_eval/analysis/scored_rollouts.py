"""The rollouts of a run beside their verdicts: what every question about calls, costs and reasons reads.

A table of accuracies needs scores alone (``outcomes``); who was called, what it cost and why an answer was wrong
needs the rollout too. Both lie in key order in their own files and are read side by side, streamed: a run of a
million rollouts passes through in constant memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.records import Resolution, Rollout, RolloutKey, Sample, Score, Turn
from maestro_eval.scoring import RunScores


class Episode(Struct, frozen=True):
    """A rollout that stands in the journal, the sample that it saw, and its score."""

    rollout: Rollout
    sample: Sample
    score: Score


class Search(Struct, frozen=True):
    """A call that reached an expert through a skill: the turn's number, from 0, and the turn itself."""

    number: int
    turn: Turn
    expert: str
    skill: str

    @property
    def pair(self) -> str:
        """``EXPERT@@SKILL``, as a policy writes it."""
        return f"{self.expert}@@{self.skill}"


def episodes(folder: Path, scores: RunScores, task: str | None = None) -> Iterator[Episode]:
    """Every rollout of ``folder`` with its score among ``scores``, in key order; those that never ran have none.

    ValueError where the scores are of another run.
    """
    judged = iter(scores.scores)
    with Journal.open(folder, read_only=True) as journal:
        for rollout, sample in journal.rollouts(task):
            yield Episode(rollout, sample, _score_of(rollout.key, judged))


def searches(rollout: Rollout) -> list[Search]:
    """The calls of ``rollout`` that reached an expert and a skill of the registry, in order."""
    return [
        Search(number, turn, found.expert, found.skill)
        for number, turn in enumerate(rollout.turns)
        if (found := turn.resolution) is not None and found.expert is not None and found.skill is not None
    ]


def unresolved(rollout: Rollout) -> list[Resolution]:
    """What ``rollout`` asked of an expert or skill that the registry does not have."""
    return [
        turn.resolution
        for turn in rollout.turns
        if turn.resolution is not None and None in (turn.resolution.expert, turn.resolution.skill)
    ]


def _score_of(key: RolloutKey, judged: Iterator[Score]) -> Score:
    for score in judged:
        if (score.task, score.sample_id, score.repeat) == (key.task, key.sample_id, key.repeat):
            return score
    raise ValueError(f"no score for {key.task}/{key.sample_id}/{key.repeat}: the scores are of another run")
