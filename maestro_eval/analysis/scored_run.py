"""A run as a comparison sees it: its manifest, and by task what its scores come to."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.comparison import Group
from maestro_eval.analysis.sample_scores import Outcomes, TaskScores, read_scores
from maestro_eval.records import EarlyStop, RunManifest, TaskRecord, UserError
from maestro_eval.scoring import FailureGroup, RowKind, RunScores


class MeasuredRun(Struct, frozen=True):
    """A run's tasks that have scores, in the manifest's order. The scores themselves are not held."""

    manifest: RunManifest
    protocol: str
    records: dict[str, TaskRecord]
    scores: dict[str, TaskScores]
    calls: int
    cached_calls: int
    missing_evidence: dict[str, int]
    lacking: dict[str, int]
    failures: tuple[FailureGroup, ...]
    kind: RowKind = "run"

    @property
    def name(self) -> str:
        return self.manifest.system

    def outcomes(self, task: str) -> Outcomes:
        """The samples of a task that the run has."""
        return self.scores[task].samples

    def ended_early(self, tasks: Iterable[str]) -> bool:
        """Whether any of ``tasks`` ended before its last sample, by a comparison."""
        return bool({stop.task for stop in self.manifest.ended_early} & set(tasks))

    def stop_against(self, task: str, baseline: MeasuredRun) -> EarlyStop | None:
        """How the comparison with ``baseline`` ended by which ``task`` was watched; ``None`` where it was not by it."""
        stopping = self.manifest.stopping
        if stopping is None or stopping.protocol != self.protocol:
            return None
        began_at = stopping.began_at
        same = baseline.manifest.created_at == began_at if began_at else baseline.name == stopping.system
        return next((stop for stop in self.manifest.stopped if stop.task == task), None) if same else None

    def has(self, tasks: Iterable[str]) -> bool:
        """Whether the run has all of ``tasks``."""
        return all(task in self.records for task in tasks)

    def covers(self, group: Group) -> bool:
        """Whether there is a mean of ``group`` for this run: it has every task of the tag."""
        return not group.absent and self.has(group.tasks)


def measure(scores: RunScores) -> MeasuredRun:
    """Read ``scores`` in one pass. UserError for an explore run, whose repeats are many systems."""
    if scores.manifest.arms:
        raise UserError(
            f"{scores.manifest.system}: is an explore run, which is no system: its repeats are the "
            f"{len(scores.manifest.arms)} arms of its registry; give it as compare --explore"
        )
    by_task = read_scores(scores.scores)
    for name, best in read_scores(scores.all_right).items():
        samples = by_task[name].samples
        samples.update({i: replace(each, right=best.samples[i].wrong) for i, each in samples.items()})
    records = {task.name: task for task in scores.manifest.tasks if task.name in by_task}
    return MeasuredRun(
        scores.manifest,
        scores.protocol,
        records,
        {name: by_task[name] for name in records},
        scores.calls,
        scores.cached_calls,
        scores.missing_evidence,
        scores.lacking,
        scores.failures,
        scores.kind,
    )
