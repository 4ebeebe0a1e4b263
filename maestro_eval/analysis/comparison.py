"""The records of a comparison: systems with their accuracies and means, groups of tasks, contrasts, ranks, notes."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from maestro_eval.analysis.breakdown import CategoryAccuracy, Measure, RepeatMeasures
from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.sample_scores import Readings
from maestro_eval.analysis.stats import Estimate, PValue, RankInterval
from maestro_eval.records import RunManifest
from maestro_eval.scoring import FailureGroup, RowKind

ALPHA = 0.05
"""The level of every verdict, after adjustment."""

SMALL = 0.05
"""A difference of which the whole interval lies within ± this is called none beyond its interval's farther end."""

Verdict = Literal["better", "worse", "no difference", "undecided"]
"""``no difference``: not significant, and no larger one than ``SMALL`` is in the interval. ``undecided``: the rest."""

ScopeKind = Literal["task", "mean"]
Adjust = Literal["holm", "bh", "none"]
"""How p-values are adjusted within a family: Holm's step-down method, Benjamini and Hochberg's, not at all."""

FamilyScope = Literal["system", "baseline", "all"]
"""The p-values that are adjusted together. ``system``: the tasks of one system against its baseline, and apart from
them its means, so that no verdict depends on which other systems are listed. ``baseline``: those of all systems against
one baseline, likewise. ``all``: every contrast."""


class ContrastSpec(Struct, frozen=True):
    """The question whether ``system`` is better than ``baseline``, on each shared task and group."""

    system: str
    baseline: str


class TaskAccuracy(Struct, frozen=True):
    """A system's accuracy on a task. ``n_failed`` samples had a rollout that failed or never ran.

    ``categories`` are by name, of a task that has several. ``others`` are its further measures by the name under
    which they are shown. ``repeats`` is there where each sample was asked several times, ``readings`` where
    something failed. ``n_lacking`` rollouts ended well without evidence that a service failed to give.
    """

    task: str
    accuracy: Estimate
    n_failed: int
    metric: str
    protocol: str
    categories: dict[str, CategoryAccuracy] = msgspec.field(default_factory=dict)
    others: dict[str, Measure] = msgspec.field(default_factory=dict)
    repeats: RepeatMeasures | None = None
    readings: Readings | None = None
    n_lacking: int = 0


class SystemResult(Struct, frozen=True):
    """A row of the table. ``means`` are by group name, of the groups whose tasks the system ran whole.

    A row of another ``kind`` than a run's is an expectation or a bound: it is no system, and has no rank.
    ``calls`` are its model calls, ``cached_calls`` those that cost no request; ``missing_evidence`` counts by service
    what its experts had to do without. ``mean_readings`` are by group name, of the means in which something failed.
    ``failures`` are the causes of the rollouts that have no score. ``mean_repeats`` are by group name, of groups all of
    whose tasks were asked the same number of times.
    """

    name: str
    manifest: RunManifest
    protocol: str
    tasks: dict[str, TaskAccuracy]
    means: dict[str, Estimate]
    calls: int = 0
    cached_calls: int = 0
    missing_evidence: dict[str, int] = msgspec.field(default_factory=dict)
    mean_readings: dict[str, Readings] = msgspec.field(default_factory=dict)
    failures: tuple[FailureGroup, ...] = ()
    kind: RowKind = "run"
    mean_repeats: dict[str, RepeatMeasures] = msgspec.field(default_factory=dict)


class _Judged(Struct, frozen=True):
    """A difference with its test. The interval is of this one difference, and reaches over what failures hide.

    ``p`` reads failures as wrong; ``p_adjusted`` is it within its family. ``n_failed`` of the samples have a failed
    rollout on either side. ``unjudged``: a benchmark ended early by another comparison, so that there is no verdict.
    """

    difference: Estimate
    p: PValue | None = None
    p_adjusted: float | None = None
    n_failed: int = 0
    unjudged: bool = False

    @property
    def significant(self) -> bool:
        """The adjusted p is below ``ALPHA``, and no reading of the failures lets the interval reach 0."""
        if self.unjudged or (self.n_failed and not self.difference.excludes_zero):
            return False
        return self.difference.excludes_zero if self.p_adjusted is None else self.p_adjusted < ALPHA

    @property
    def bound(self) -> float:
        """The largest difference, in either direction, that the interval holds."""
        return max(abs(self.difference.low), abs(self.difference.high))

    @property
    def verdict(self) -> Verdict:
        if self.significant:
            return "better" if self.difference.value > 0 else "worse"
        return "no difference" if self.bound <= SMALL and not self.unjudged else "undecided"


class Contrast(_Judged, frozen=True, kw_only=True):
    """System minus baseline on a scope: a task, or a group's mean. ``difference.n`` counts the pairs.

    ``completed`` is the difference over the pairs without a failure, missing where none failed or none is left.
    ``direction_only``: a benchmark ended early by this comparison, which knows the sign of the difference alone.
    """

    system: str
    baseline: str
    scope: str
    kind: ScopeKind
    completed: Estimate | None = None
    direction_only: bool = False

    @property
    def significant(self) -> bool:
        """As of any difference; a decision on the direction alone has been one under all readings of failures."""
        if self.direction_only:
            return self.p_adjusted is None or self.p_adjusted < ALPHA
        return super().significant


class CategoryDifference(Struct, frozen=True):
    """System minus baseline on one category. ``n_failed`` of the pairs have a failed rollout on either side."""

    difference: Estimate
    n_failed: int


class CategoryDifferences(Struct, frozen=True, kw_only=True):
    """A task's differences by category, and the test whether they are equal, with its p within its family.

    ``p`` reads failures so that the differences are as alike as they may be.
    """

    system: str
    baseline: str
    scope: str
    categories: dict[str, CategoryDifference]
    p: PValue
    p_adjusted: float | None = None
    kind: ScopeKind = "task"


class Pairwise(Struct, frozen=True):
    """Every system minus every one behind it in ``systems`` (the best mean first) on group ``scope``.

    On the samples that all of them have; the p-values of one group are adjusted together.
    """

    scope: str
    systems: tuple[str, ...]
    contrasts: tuple[Contrast, ...]


class ReportedContrast(_Judged, frozen=True, kw_only=True):
    """System minus a reported number, which is taken as fixed: a test of one sample, nothing is paired."""

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
    """The tasks that share a tag, of those that were run. ``name`` is the tag without ``maestro_``.

    ``mini`` says that they are generated, ``absent`` names the tag's tasks that no system here has run. ``within``
    names the group that holds all of this one's tasks, where there is one.
    """

    name: str
    tasks: tuple[str, ...]
    mini: bool
    absent: tuple[str, ...] = ()
    within: str = ""


class OtherReading(Struct, frozen=True):
    """The accuracy of a system's task as shown, and under another protocol."""

    system: str
    task: str
    protocol: str
    shown: float
    reads: float


class Comparison(Struct, frozen=True):
    """All that a table needs. ``notes`` are lines on what was left out, and on what differs between systems;
    ``readings`` are the accuracies that another scoring protocol reads otherwise.

    ``references`` are the published numbers that stand beside the systems, ``reported`` the systems held against
    them. ``by_category`` are the contrasts of tasks with several categories, ``pairwise`` those of all systems with
    each other on each group that three or more have. ``adjust`` and ``family`` say how p-values were adjusted.
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
        """How many of ``systems``, from the first, are runs; those behind are expectations and bounds."""
        return sum(system.kind == "run" for system in self.systems)
