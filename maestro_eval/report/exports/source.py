"""What every export reads: a run, its verdicts under one protocol, and the numbers that its table shows.

Rows are streamed, in key order, from the journal and the scores side by side; every planned rollout has one, those
that never ran too, so that nothing is lost without a word. Aggregate numbers come from ``analysis.compare`` alone:
an export says what the table says.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis import Comparison, SystemResult, compare, size_texts
from maestro_eval.analysis.scored_run import measure
from maestro_eval.journal import Journal, JournalCounts
from maestro_eval.records import (
    Answered,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Score,
    Selection,
    TaskRecord,
    Usage,
    UserError,
)
from maestro_eval.report.exports.uncertainty import standard_errors
from maestro_eval.scoring import RunScores, score_run

SECONDS_TO_US = 1_000_000


class Row(Struct, frozen=True):
    """A planned rollout: its verdict, and the record and the sample where it ran."""

    score: Score
    rollout: Rollout | None
    sample: Sample | None

    @property
    def answer(self) -> str | None:
        """The policy's answer, ``None`` where it gave none."""
        if self.rollout is None or not isinstance(self.rollout.outcome, Answered):
            return None
        return self.rollout.outcome.text


class Source(Struct, frozen=True):
    """A run to be exported. ``errors`` are the standard errors of its tasks' accuracies, by task.

    ``unscored`` counts the rollouts without a verdict: failed, never run, or not to be judged.
    """

    folder: Path
    scores: RunScores
    comparison: Comparison
    counts: JournalCounts
    errors: dict[str, float]
    unscored: int

    @property
    def manifest(self) -> RunManifest:
        return self.scores.manifest

    @property
    def protocol(self) -> str:
        return self.scores.protocol

    @property
    def result(self) -> SystemResult:
        """The system's numbers as in the table."""
        return self.comparison.systems[0]

    @property
    def tasks(self) -> list[TaskRecord]:
        """The tasks that have scores."""
        return [task for task in self.manifest.tasks if task.name in self.result.tasks]

    @property
    def started(self) -> datetime:
        return datetime.fromtimestamp(self.manifest.created_at, UTC)

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """Why its numbers are not those of the whole benchmarks, in one line each; none where they are."""
        return shortcomings(self.manifest, self.counts.planned - self.unscored, self.unscored)

    @property
    def accuracies(self) -> dict[str, float]:
        """The accuracy of each task, failures counted as wrong."""
        return {name: task.accuracy.value for name, task in self.result.tasks.items()}

    def rows(self, task: str | None = None) -> Iterator[Row]:
        """Every planned rollout, of ``task`` alone where that is given, in key order."""
        with Journal.open(self.folder, read_only=True) as journal:
            recorded = iter(journal.rollouts(task))
            waiting = next(recorded, None)
            for score in self.scores.scores:
                if task is not None and score.task != task:
                    continue
                if waiting is not None and waiting[0].key == _key(score):
                    yield Row(score, *waiting)
                    waiting = next(recorded, None)
                else:
                    yield Row(score, None, None)
            if waiting is not None:
                raise ValueError(f"no score for {waiting[0].key}: the scores are of another run")

    def samples(self, task: str) -> Iterator[list[Row]]:
        """The rows of each sample of ``task``, all its repeats together."""
        for _, group in groupby(self.rows(task), key=lambda row: row.score.sample_id):
            yield list(group)


def open_source(folder: Path, protocol: str) -> Source:
    """Score a run folder and arrange it for export. UserError where it is none, or holds no planned rollout."""
    with Journal.open(folder, read_only=True) as journal:
        counts = journal.counts()
    if not counts.planned:
        raise UserError(f"{folder}: the run has no planned rollouts; there is nothing to export")
    scores = score_run(folder, protocol)
    unscored = sum(score.value is None for score in scores.scores)
    return Source(folder, scores, compare([scores]), counts, standard_errors(measure(scores)), unscored)


def shortcomings(manifest: RunManifest, scored: int, unscored: int) -> tuple[str, ...]:
    """Why numbers are not those of the whole benchmarks, in one line each; none where they are."""
    failed = (
        [f"{unscored} of {scored + unscored} rollouts failed, never ran or could not be judged"] if unscored else []
    )
    return (*failed, *departures(manifest))


def departures(manifest: RunManifest) -> tuple[str, ...]:
    """In what a run departs from asking one system every sample under one setting, in one line each."""
    found = []
    if manifest.selection != Selection():
        found.append(f"a part of each benchmark: {manifest.selection.in_words}")
    found += [f"not the published benchmark: {text}" for text in size_texts(manifest)]
    if early := manifest.ended_early:
        ended = ", ".join(f"{stop.task} after {stop.samples} of {stop.planned} samples" for stop in early)
        found.append(f"ended early by a comparison, so that intervals are too narrow: {ended}")
    if manifest.accepted:
        found.append(f"settings changed during the run: {', '.join(change.field for change in manifest.accepted)}")
    if manifest.arms:
        found.append(f"an explore run: each repeat is another of {len(manifest.arms)} systems")
    if manifest.replay is not None:
        found.append(f"a replay of another run from turn {manifest.replay.at} on")
    return tuple(found)


def policy_usage(rollout: Rollout) -> Usage:
    """The tokens of the policy's own turns."""
    return Usage(
        sum(turn.usage.prompt_tokens for turn in rollout.turns),
        sum(turn.usage.completion_tokens for turn in rollout.turns),
    )


def iso_time(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _key(score: Score) -> RolloutKey:
    return RolloutKey(score.task, score.sample_id, score.repeat)
