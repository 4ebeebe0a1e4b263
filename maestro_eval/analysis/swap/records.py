"""The records of a registry swap: the same system with a base registry and with another one, and what the change did.

All differences are augmented − base, paired. Counts of samples are fractions where a sample has several repeats.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.comparison import Contrast, ScopeKind
from maestro_eval.analysis.sample_scores import Bounds
from maestro_eval.analysis.stats import Estimate

Domain = Literal["in", "out", ""]
"""Whether the base registry was made for a benchmark; "" where its tags do not say."""


class EntryChanges(Struct, frozen=True):
    """What the augmented registry's entries are to the base's, as ``experts.NAME``, ``services.NAME``, ``skills.NAME``.

    ``changed`` have the name of an entry of the base and another content. ``prompt`` says that the templates of the
    orchestrator's prompt differ too.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    prompt: bool = False

    @property
    def new(self) -> tuple[str, ...]:
        """The entries that a rollout of the base run could not call: those added, and those changed."""
        return (*self.added, *self.changed)


class Allowed(Struct, frozen=True):
    """A setting in which the runs differ besides the registry, by leave of ``--allow``: its values in both."""

    field: str
    base: str
    augmented: str


class StratumEffect(Struct, frozen=True):
    """The rollouts of a scope that called a new entry, or those that did not.

    ``rollouts`` counts them, ``share`` is their part of the scope's, ``difference`` the mean difference over their
    samples (missing where there is none), ``part`` what they contribute to the scope's whole difference, and
    ``part_bounds`` what failures may make of that, where a rollout failed or never ran.
    """

    rollouts: int
    share: float
    difference: Estimate | None
    part: float
    part_bounds: Bounds | None = None


class ScopeEffect(Struct, frozen=True):
    """The swap on a task, or on a group's mean. ``unplaced`` rollouts never ran and are in neither stratum."""

    scope: str
    kind: ScopeKind
    domain: Domain
    mini: bool
    whole: Estimate
    touched: StratumEffect
    untouched: StratumEffect
    unplaced: int = 0


class DomainEffect(Struct, frozen=True):
    """Out-of-domain minus in-domain. Each side is the mean over its tasks that both runs have."""

    mini: bool
    in_domain: Estimate
    out_of_domain: Estimate
    difference: Estimate
    in_tasks: tuple[str, ...]
    out_tasks: tuple[str, ...]


class Choices(Struct, frozen=True):
    """Of how many explored samples the best new pair scores higher than the best old one, as high, or lower.

    Of ``open`` ones failures hide which.
    A pair is an expert through a skill; it is new where either is. ``adopted_…`` are how many of these samples were
    touched (with repeats, the shares of touched rollouts added up).
    """

    new_better: int
    equal: int
    old_better: int
    adopted_new_better: float
    adopted_equal: float
    adopted_old_better: float
    open: int = 0


class Adoption(Struct, frozen=True):
    """How far a task's rollouts took up the new entries, and what became of the samples where they did.

    ``calls`` reached an expert, ``new_calls`` of them through or with a new entry. Of ``touched`` samples ``gained``
    score higher than in the base run, ``lost`` lower, ``same`` the same, and ``failed`` cannot be told.
    """

    task: str
    domain: Domain
    calls: int
    new_calls: int
    touched: int
    gained: int
    lost: int
    same: int
    failed: int
    choices: Choices | None = None

    @property
    def share(self) -> float | None:
        """The part of the calls that went to new entries."""
        return self.new_calls / self.calls if self.calls else None


class Credit(Struct, frozen=True):
    """What is attributed to one entry: ``calls`` that named it, samples gained and lost by what it said last.

    ``entry`` is empty for what no new entry had a part in.
    """

    entry: str
    calls: int
    gains: float
    losses: float

    @property
    def net(self) -> float:
        return self.gains - self.losses


class LostSample(Struct, frozen=True):
    """An in-domain sample that a new entry cost. ``entries`` are the new ones that its last call named."""

    task: str
    sample_id: str
    base: float
    augmented: float
    entries: tuple[str, ...]


class Interference(Struct, frozen=True):
    """In-domain samples that were touched and lost; ``samples`` lists the first of them.

    ``gained`` counts those touched and gained, ``lost_untouched`` and ``gained_untouched`` the same without a call of
    a new entry: what moves by noise and by the longer prompt.
    """

    lost: int
    gained: int
    lost_untouched: int
    gained_untouched: int
    samples: tuple[LostSample, ...]


class VariantScope(Struct, frozen=True):
    """A variant minus its reference on a task or group; for an entry left out, its contribution is the negative.

    ``bounds`` are those of ``accuracy`` where something failed.
    """

    scope: str
    kind: ScopeKind
    accuracy: float
    difference: Estimate
    bounds: Bounds | None = None


class VariantRun(Struct, frozen=True):
    """A run of the same registry in another variant; ``reference`` is the system that it is held against."""

    system: str
    variant: str
    what: Literal["permuted", "renamed", "without", "several"]
    left_out: str
    reference: str
    scopes: tuple[VariantScope, ...]


class OrderSpread(Struct, frozen=True):
    """Accuracy on a scope over ``orders`` listing orders: mean and range (max − min) of the permuted runs.

    The bounds are there where a rollout failed; ``low`` and ``high`` then reach over what failures hide.
    """

    reference: str
    scope: str
    kind: ScopeKind
    orders: int
    listed: float
    mean: float
    low: float
    high: float
    range: float
    listed_bounds: Bounds | None = None
    mean_bounds: Bounds | None = None
    range_bounds: Bounds | None = None


class Robustness(Struct, frozen=True):
    """What variants of the two runs say."""

    runs: tuple[VariantRun, ...]
    orders: tuple[OrderSpread, ...]


class Swap(Struct, frozen=True):
    """The whole report. ``notes`` are lines on what a reader must know of these numbers.

    ``contrasts`` are those of ``compare``, one for each of ``effects``.
    """

    base: str
    augmented: str
    protocol: str
    base_registry: str
    augmented_registry: str
    entries: EntryChanges
    allowed: tuple[Allowed, ...]
    effects: tuple[ScopeEffect, ...]
    domains: tuple[DomainEffect, ...]
    adoption: tuple[Adoption, ...]
    interference: Interference | None
    credits: tuple[Credit, ...]
    notes: tuple[str, ...]
    robustness: Robustness | None = None
    contrasts: tuple[Contrast, ...] = ()
