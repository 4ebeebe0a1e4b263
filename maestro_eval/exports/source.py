"""The input of every export: a run, its verdicts under one protocol, and its accuracies.

Rows are streamed in key order from the journal and the scores together. Every planned rollout has a row, even if it
never ran. Aggregate numbers come only from ``analysis.compare``, so that an export agrees with the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis import Comparison, SystemResult, compare, measure, size_texts
from maestro_eval.exports.uncertainty import standard_errors
from maestro_eval.journal import Journal, JournalCounts
from maestro_eval.records import (
    Answered,
    Rollout,
    RunManifest,
    Sample,
    Score,
    Selection,
    TaskRecord,
    Usage,
    UserError,
)
from maestro_eval.scoring import RunScores, score_run

SECONDS_TO_US = 1_000_000


class Row(Struct, frozen=True):
    """A planned rollout: its verdict, and its record and sample if it ran."""

    score: Score
    rollout: Rollout | None
    sample: Sample | None

    @property
    def answer(self) -> str | None:
        """The policy's answer, or None if it did not answer."""
        if self.rollout is None or not isinstance(self.rollout.outcome, Answered):
            return None
        return self.rollout.outcome.text


class Source(Struct, frozen=True):
    """A run to export. ``errors`` are the standard errors of its tasks' accuracies, by task.

    ``unscored`` counts the rollouts without a verdict: they failed, never ran, or could not be judged.
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
        """The system's numbers, as the table shows them."""
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
        """The run's `shortcomings`."""
        return shortcomings(self.manifest, self.counts.planned - self.unscored, self.unscored)

    @property
    def accuracies(self) -> dict[str, float]:
        """The accuracy of each task, failures counted as wrong."""
        return {name: task.accuracy.value for name, task in self.result.tasks.items()}

    def rows(self, task: str | None = None) -> Iterator[Row]:
        """Iterate over the planned rollouts (of ``task``, if given) in key order."""
        with Journal.open(self.folder, read_only=True) as journal:
            recorded = iter(journal.rollouts(task))
            waiting = next(recorded, None)
            for score in self.scores.scores:
                if task is not None and score.task != task:
                    continue
                if waiting is not None and waiting[0].key == score.key:
                    yield Row(score, *waiting)
                    waiting = next(recorded, None)
                else:
                    yield Row(score, None, None)
            if waiting is not None:
                raise ValueError(f"no score for {waiting[0].key}: the scores are of another run")

    def samples(self, task: str) -> Iterator[list[Row]]:
        """Iterate over the samples of ``task``, each as the rows of its repeats."""
        for _, group in groupby(self.rows(task), key=lambda row: row.score.sample_id):
            yield list(group)


def open_source(folder: Path, protocol: str) -> Source:
    """Score a run folder for export. Raise UserError if it is no run or plans no rollout."""
    with Journal.open(folder, read_only=True) as journal:
        counts = journal.counts()
    if not counts.planned:
        raise UserError(f"{folder}: the run has no planned rollouts; there is nothing to export")
    scores = score_run(folder, protocol)
    unscored = sum(score.value is None for score in scores.scores)
    return Source(folder, scores, compare([scores]), counts, standard_errors(measure(scores)), unscored)


def shortcomings(manifest: RunManifest, scored: int, unscored: int) -> tuple[str, ...]:
    """List the reasons, one line each, why a run's accuracies are not those of the whole benchmarks."""
    failed = (
        [f"{unscored} of {scored + unscored} rollouts failed, never ran or could not be judged"] if unscored else []
    )
    return (*failed, *departures(manifest))


def departures(manifest: RunManifest) -> tuple[str, ...]:
    """List, one line each, how a run differs from one system on every sample under one setting."""
    found = []
    if manifest.selection != Selection():
        found.append(f"a part of each benchmark: {manifest.selection.in_words}")
    found += [f"not the published benchmark: {text}" for text in size_texts(manifest)]
    if early := manifest.ended_early:
        ended = ", ".join(f"{stop.task} after {stop.samples} of {stop.planned} samples" for stop in early)
        found.append(f"ended early by a comparison, so that intervals are too narrow: {ended}")
    if manifest.accepted:
        found.append(f"settings changed during the run: {', '.join(change.field for change in manifest.accepted)}")
    if manifest.candidates:
        found.append(f"an explore run: each repeat is another of {len(manifest.candidates)} systems")
    if manifest.replay is not None:
        found.append(f"a replay of another run from turn {manifest.replay.at} on")
    return tuple(found)


def policy_usage(rollout: Rollout) -> Usage:
    """Sum the tokens of the policy's own turns."""
    return Usage(
        sum(turn.usage.prompt_tokens for turn in rollout.turns),
        sum(turn.usage.completion_tokens for turn in rollout.turns),
    )


def iso_time(seconds: float) -> str:
    """Format Unix seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
