"""The records of a comparison: systems with their accuracies and means, groups of tasks, contrasts, notes."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from maestro_eval.analysis.breakdown import CategoryAccuracy, Measure
from maestro_eval.analysis.repeats import RepeatMeasures
from maestro_eval.analysis.stats import Estimate
from maestro_eval.types import RunManifest

Verdict = Literal["better", "worse", "not decided"]


class ContrastSpec(Struct, frozen=True):
    """The question whether ``system`` is better than ``baseline``, on each shared task and group."""

    system: str
    baseline: str


class TaskAccuracy(Struct, frozen=True):
    """A system's accuracy on a task. ``n_failed`` samples had a rollout that failed or never ran.

    ``categories`` are by name, of a task that has several. ``others`` are its further measures by the name under
    which they are shown. ``repeats`` is there where each sample was asked several times.
    """

    task: str
    accuracy: Estimate
    n_failed: int
    metric: str
    protocol: str
    categories: dict[str, CategoryAccuracy] = msgspec.field(default_factory=dict)
    others: dict[str, Measure] = msgspec.field(default_factory=dict)
    repeats: RepeatMeasures | None = None


class SystemResult(Struct, frozen=True):
    """A row of the table. ``means`` are by group name, of the groups whose tasks the system ran whole.

    ``calls`` are its model calls, ``cached_calls`` those that cost no request; ``missing_evidence`` counts by service
    what its experts had to do without.
    """

    name: str
    manifest: RunManifest
    protocol: str
    tasks: dict[str, TaskAccuracy]
    means: dict[str, Estimate]
    calls: int = 0
    cached_calls: int = 0
    missing_evidence: dict[str, int] = msgspec.field(default_factory=dict)


class Contrast(Struct, frozen=True):
    """System minus baseline on a scope: a task, or a group's mean. ``difference.n`` counts the pairs."""

    system: str
    baseline: str
    scope: str
    kind: Literal["task", "mean"]
    difference: Estimate

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0: nothing is adjusted for how many contrasts are looked at."""
        return self.difference.excludes_zero

    @property
    def verdict(self) -> Verdict:
        if not self.significant:
            return "not decided"
        return "better" if self.difference.low > 0 else "worse"


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


class Comparison(Struct, frozen=True):
    """All that a table needs. ``notes`` are lines on what was left out, and on what differs between systems."""

    systems: tuple[SystemResult, ...]
    groups: tuple[Group, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]
