"""The records of a comparison: systems with their accuracies and means, groups of tasks, contrasts, ranks, notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from maestro_eval.analysis.breakdown import Accuracy, Measure, RepeatMeasures
from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.sample_scores import Readings
from maestro_eval.analysis.stats.estimates import Estimate, PValue
from maestro_eval.analysis.stats.significance import RankInterval
from maestro_eval.records import RunManifest
from maestro_eval.scoring import FailureGroup, RowKind

ALPHA = 0.05
"""The level of every verdict, after adjustment."""

SMALL = 0.05
"""A difference whose whole interval is within ± this counts as no difference."""

Verdict = Literal["better", "worse", "no difference", "undecided"]
"""``no difference``: not significant, and the interval is within ± ``SMALL``. ``undecided``: all other cases."""

ScopeKind = Literal["task", "mean"]
Adjust = Literal["holm", "bh", "none"]
"""The adjustment of p-values within a family: Holm's step-down method, Benjamini and Hochberg's, or none."""

FamilyScope = Literal["system", "baseline", "all"]
"""The p-values that are adjusted together. ``system``: one system against its baseline, tasks and means separately, so
that no verdict depends on which other systems are listed. ``baseline``: all systems against one baseline, tasks and
means separately. ``all``: every contrast."""


class ScopeAccuracy(Accuracy, frozen=True):
    """A system's accuracy on a task, or its mean over a group.

    ``repeats`` is set if each sample has several repeats, ``readings`` if something failed.
    """

    repeats: RepeatMeasures | None = None
    readings: Readings | None = None


class TaskAccuracy(ScopeAccuracy, frozen=True, kw_only=True):
    """A system's accuracy on a task. ``categories`` are by name, if the task has several.

    ``others`` are its further measures by displayed name.
    """

    metric: str
    categories: dict[str, Accuracy] = msgspec.field(default_factory=dict)
    others: dict[str, Measure] = msgspec.field(default_factory=dict)


class SystemResult(Struct, frozen=True):
    """A row of the table. ``means`` are by group name, for the groups of which the system ran all tasks.

    A row whose ``kind`` is not ``run`` is an expectation or a bound: it is no system, and has no rank.
    ``calls`` are its model calls, ``cached_calls`` those answered by the cache; ``missing_evidence`` counts by service
    the evidence that its experts did not get. ``failures`` are the causes of the rollouts that have no score.
    ``attempt`` is the latest attempt in its journal that is among the scores, 0 if unknown.
    """

    name: str
    manifest: RunManifest
    protocol: str
    tasks: dict[str, TaskAccuracy]
    means: dict[str, ScopeAccuracy]
    calls: int = 0
    cached_calls: int = 0
    missing_evidence: dict[str, int] = msgspec.field(default_factory=dict)
    failures: tuple[FailureGroup, ...] = ()
    kind: RowKind = "run"
    attempt: int = 0

    @property
    def scopes(self) -> Mapping[str, ScopeAccuracy]:
        return {**self.tasks, **self.means}

    @property
    def n_failed(self) -> int:
        return sum(task.n_failed for task in self.tasks.values())

    @property
    def n_lacking(self) -> int:
        return sum(task.n_lacking for task in self.tasks.values())


def main_scopes(tasks: Iterable[str], means: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of a system's main numbers: its groups' means; its tasks if it has one only, or no mean."""
    names, groups = tuple(tasks), tuple(means)
    return names if len(names) == 1 or not groups else groups


class _Judged(Struct, frozen=True):
    """A difference with its test. The interval is that of this difference alone, over every reading of failures.

    ``p`` counts failures as wrong; ``p_adjusted`` is adjusted within its family. ``n_failed`` of the samples have a
    failed rollout on either side. ``unjudged``: another comparison ended a benchmark early, so there is no verdict.
    """

    difference: Estimate
    p: PValue | None = None
    p_adjusted: float | None = None
    n_failed: int = 0
    unjudged: bool = False

    @property
    def significant(self) -> bool:
        """Return whether the adjusted p is below ``ALPHA`` and every reading of failures excludes 0."""
        if self.unjudged or (self.n_failed and not self.difference.excludes_zero):
            return False
        return self.difference.excludes_zero if self.p_adjusted is None else self.p_adjusted < ALPHA

    @property
    def bound(self) -> float:
        """The largest difference, in either direction, that is in the interval."""
        return max(abs(self.difference.low), abs(self.difference.high))

    @property
    def verdict(self) -> Verdict:
        if self.significant:
            return "better" if self.difference.value > 0 else "worse"
        return "no difference" if self.bound <= SMALL and not self.unjudged else "undecided"


class Contrast(_Judged, frozen=True, kw_only=True):
    """System minus baseline on a scope: a task, or a group's mean. ``difference.n`` counts the pairs.

    ``completed`` is the difference over the pairs without a failure, None if none failed or none is left.
    ``direction_only``: this comparison ended a benchmark early, and only the sign of the difference is known.
    """

    system: str
    baseline: str
    scope: str
    kind: ScopeKind
    completed: Estimate | None = None
    direction_only: bool = False

    @property
    def significant(self) -> bool:
        """Return whether the difference is significant; a decision on the direction already covers every reading."""
        if self.direction_only:
            return self.p_adjusted is None or self.p_adjusted < ALPHA
        return super().significant


class CategoryDifference(Struct, frozen=True):
    """System minus baseline on one category. ``n_failed`` of the pairs have a failed rollout on either side."""

    difference: Estimate
    n_failed: int


class CategoryDifferences(Struct, frozen=True, kw_only=True):
    """A task's differences by category, and the test whether they are equal.

    ``p`` reads failures so that the differences are as equal as possible; ``p_adjusted`` is adjusted within its family.
    """

    system: str
    baseline: str
    scope: str
    categories: dict[str, CategoryDifference]
    p: PValue
    p_adjusted: float | None = None
    kind: ScopeKind = "task"


class Pairwise(Struct, frozen=True):
    """Each system minus each later one in ``systems`` (the best mean first) on group ``scope``.

    The differences are over the samples that all systems have; the p-values of one group are adjusted together.
    """

    scope: str
    systems: tuple[str, ...]
    contrasts: tuple[Contrast, ...]


class ReportedContrast(_Judged, frozen=True, kw_only=True):
    """System minus a reported number, by a one-sample test that treats the number as fixed."""

    system: str
    reference: Reference
    scope: str
    kind: ScopeKind
    reported: ReportedValue


class Ranking(Struct, frozen=True):
    """The systems' ranks by the mean of group ``scope``, on the samples that all of them have; the best first."""

    scope: str
    ranks: dict[str, RankInterval]


class Group(Struct, frozen=True):
    """The tasks with a common tag that were run. ``name`` is the tag without ``maestro_``.

    ``mini`` marks generated tasks, ``absent`` names the tag's tasks that no system here ran. ``within`` names a larger
    group that contains this one's tasks, if there is one.
    """

    name: str
    tasks: tuple[str, ...]
    mini: bool
    absent: tuple[str, ...] = ()
    within: str = ""


class OtherReading(Struct, frozen=True):
    """The accuracy of a system on a task as ``shown``, and as another protocol ``reads`` it."""

    system: str
    task: str
    protocol: str
    shown: float
    reads: float


class Comparison(Struct, frozen=True):
    """The whole comparison. ``notes`` are lines on what is left out and on what differs between systems.

    ``readings`` are the accuracies that differ under another scoring protocol. ``references`` are the published
    numbers, ``reported`` the systems compared with them. ``by_category`` are the contrasts of tasks with several
    categories, ``pairwise`` those of all systems on each group that three or more have. ``adjust`` and ``family`` say
    how p-values are adjusted.
    """

    systems: tuple[SystemResult, ...]
    groups: tuple[Group, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]
    readings: tuple[OtherReading, ...] = ()
    references: tuple[Reference, ...] = ()
    reported: tuple[ReportedContrast, ...] = ()
    ranks: tuple[Ranking, ...] = ()
    by_category: tuple[CategoryDifferences, ...] = ()
    pairwise: tuple[Pairwise, ...] = ()
    adjust: Adjust = "holm"
    family: FamilyScope = "system"

    @property
    def peers(self) -> int:
        """The number of runs, which come first in ``systems``; expectations and bounds follow."""
        return sum(system.kind == "run" for system in self.systems)
