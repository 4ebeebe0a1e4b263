"""The registry-swap report: gains and losses of the same system with another registry, and the entries that cause them.

docs/swap.md has the definitions and the valid conclusions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from maestro_eval.analysis.compare import compare, is_mini
from maestro_eval.analysis.comparison import Comparison, Contrast, ScopeAccuracy, ScopeKind
from maestro_eval.analysis.contrasts import difference_of
from maestro_eval.analysis.sample_scores import Bounds
from maestro_eval.analysis.scored_run import Explored, with_distinct_names
from maestro_eval.analysis.stats.estimates import Estimate
from maestro_eval.analysis.swap.adoption import (
    Adoption,
    Credit,
    Domain,
    SplitTask,
    StratumEffect,
    Uses,
    adoptions,
    credits,
    domain_difference,
    explored_of,
    split,
    stratum_effect,
)
from maestro_eval.analysis.swap.settings import Allowed, EntryChanges, entry_changes, settle_settings
from maestro_eval.records import ContrastSpec, RegistryVariant, RunManifest, TaskRecord, UserError
from maestro_eval.registry import variant_text
from maestro_eval.scoring import RunScores

_What = Literal["permuted", "renamed", "without", "several"]


class VariantRun(Struct, frozen=True):
    """A run of the same registry in another variant; ``scopes`` are its contrasts with ``reference``.

    An omitted entry's contribution is the negated difference.
    """

    system: str
    variant: str
    what: _What
    left_out: str
    reference: str
    scopes: tuple[Contrast, ...]


class OrderSpread(Struct, frozen=True):
    """Accuracy on a scope over ``orders`` listing orders: mean and range (max − min) of the permuted runs.

    If a rollout failed, the bounds are set, and ``low`` and ``high`` cover all readings of failures.
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
    runs: tuple[VariantRun, ...]
    orders: tuple[OrderSpread, ...]


def _robustness(
    references: Sequence[RunScores], variants: Sequence[RunScores], allow: Collection[str] = ()
) -> Robustness:
    """Compare each variant with the first of ``references`` that has the same registry.

    UserError for a run of another registry, for one that is no variant, and for one that differs in more than the
    variant and what ``allow`` names.
    """
    runs: list[VariantRun] = []
    orders: dict[tuple[str, str, ScopeKind], list[ScopeAccuracy]] = {}
    for given in variants:
        first, second = with_distinct_names([_reference(references, given), given])
        settle_settings(first.manifest, second.manifest, {*allow, "variant"}, flag="--variants")
        _refuse_other_registry(first.manifest, second.manifest)
        comparison = compare([first, second], [ContrastSpec(second.manifest.system, first.manifest.system)])
        reference, varied = comparison.systems
        what, left_out = _what(first.manifest.registry.variant, second.manifest.registry.variant)
        for each in comparison.contrasts if what == "permuted" else ():
            place = (reference.name, each.scope, each.kind)
            orders.setdefault(place, [reference.scopes[each.scope]]).append(varied.scopes[each.scope])
        variant = variant_text(second.manifest.registry.variant) or "as it stands"
        runs.append(VariantRun(varied.name, variant, what, left_out, reference.name, comparison.contrasts))
    return Robustness(tuple(runs), tuple(_spread(*place, *found) for place, found in orders.items()))


def _ends(found: ScopeAccuracy) -> Bounds:
    value = found.accuracy.value
    return Bounds(found.readings.worst, found.readings.best) if found.readings else Bounds(value, value)


def _spread(reference: str, scope: str, kind: ScopeKind, listed: ScopeAccuracy, *orders: ScopeAccuracy) -> OrderSpread:
    values, ends = [each.accuracy.value for each in orders], [_ends(each) for each in orders]
    lows, highs = [each.low for each in ends], [each.high for each in ends]
    failed = any(each.readings for each in orders)
    # A range needs two orders; the failures of a single one give none.
    widest = max((high - low for i, high in enumerate(highs) for j, low in enumerate(lows) if i != j), default=0.0)
    return OrderSpread(
        reference,
        scope,
        kind,
        len(orders),
        listed.accuracy.value,
        fmean(values),
        min(lows),
        max(highs),
        max(values) - min(values),
        _ends(listed) if listed.readings else None,
        Bounds(fmean(lows), fmean(highs)) if failed else None,
        Bounds(max(0.0, max(lows) - min(highs)), max(0.0, widest)) if failed else None,
    )


def _reference(references: Sequence[RunScores], variant: RunScores) -> RunScores:
    ours = variant.manifest.registry
    for reference in references:
        theirs = reference.manifest.registry
        if theirs.path == ours.path:
            if theirs.variant == ours.variant:
                raise UserError(
                    f"--variants: {variant.manifest.system} is {variant_text(ours.variant) or 'no variant'}, as "
                    f"{reference.manifest.system} is; give runs of --permute-registry, --rename-experts or --without"
                )
            return reference
    known = " nor ".join(reference.manifest.registry.path for reference in references)
    raise UserError(f"--variants: {variant.manifest.system} is of the registry {ours.path}, which is neither {known}")


def _refuse_other_registry(reference: RunManifest, variant: RunManifest) -> None:
    """Refuse runs whose registry file changed in between, since then more than the variant differs."""
    ours, theirs = variant.registry, reference.registry
    if ours.variant.rename or theirs.variant.rename or set(ours.services) != set(theirs.services):
        # Descriptions, or the evidence of skills, then differ by design.
        return
    changed = entry_changes(theirs, ours).changed
    if changed:
        raise UserError(
            f"--variants: {', '.join(changed[:3])} of the registry {ours.path} differs between {reference.system} and "
            f"{variant.system}; run both with the same registry file"
        )


def _what(reference: RegistryVariant, variant: RegistryVariant) -> tuple[_What, str]:
    left_out = [name for name in variant.without if name not in reference.without]
    differing: list[_What] = []
    if reference.permute != variant.permute:
        differing.append("permuted")
    if reference.rename != variant.rename:
        differing.append("renamed")
    if set(reference.without) != set(variant.without):
        alone = len(left_out) == 1 and set(reference.without) < set(variant.without)
        differing.append("without" if alone else "several")
    what = differing[0] if len(differing) == 1 else "several"
    return what, left_out[0] if what == "without" else ""


_IN, _OUT = re.compile(r"(.*_)?main"), re.compile(r"(.*_)?ood")


class ScopeEffect(Contrast, frozen=True, kw_only=True):
    """The effect of the swap on a task or a group's mean: the contrast of ``compare``, and that of each stratum.

    Rollouts that never ran are in neither stratum.
    """

    domain: Domain
    mini: bool
    touched: StratumEffect
    untouched: StratumEffect


class DomainEffect(Struct, frozen=True):
    """Out-of-domain minus in-domain. Each side is the mean over its tasks that both runs have."""

    mini: bool
    in_domain: Estimate
    out_of_domain: Estimate
    difference: Estimate
    in_tasks: tuple[str, ...]
    out_tasks: tuple[str, ...]


class Swap(Struct, frozen=True):
    """The whole report. ``notes`` are lines for the reader of the numbers."""

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
    credits: tuple[Credit, ...]
    notes: tuple[str, ...]
    robustness: Robustness | None = None


def swap_report(
    base: RunScores,
    augmented: RunScores,
    uses: Uses,
    *,
    allow: Collection[str] = (),
    explored: Explored | None = None,
    variants: Sequence[RunScores] = (),
) -> Swap:
    """Report the effect of the swap from ``base`` to ``augmented``; ``uses`` are the latter's calls of ``new_entries``.

    ``explored`` is an explore run of the augmented registry, ``variants`` are runs of either registry in a variant.
    UserError if the runs differ in more than the registry and what ``allow`` names, or not in the registry, and if
    ``compare`` refuses them.
    """
    allowed = settle_settings(base.manifest, augmented.manifest, allow)
    _refuse_same_registry(base.manifest, augmented.manifest)
    references = [augmented, base]
    base, augmented = with_distinct_names([base, augmented])
    names = base.manifest.system, augmented.manifest.system
    changes = entry_changes(base.manifest.registry, augmented.manifest.registry)
    comparison = compare([base, augmented], [ContrastSpec(names[1], names[0])])
    tasks = split(base, augmented, uses)
    domains: dict[str, Domain] = {name: domain_of(task.whole.record) for name, task in tasks.items()}
    within = None if explored is None else explored_of(explored, augmented)
    effects = tuple(_effects(comparison, tasks, domains))
    found = tuple(_domains(tasks, domains))
    return Swap(
        base=names[0],
        augmented=names[1],
        protocol=augmented.protocol,
        base_registry=base.manifest.registry.name,
        augmented_registry=augmented.manifest.registry.name,
        entries=changes,
        allowed=allowed,
        effects=effects,
        domains=found,
        adoption=adoptions(tasks, domains, uses, changes.new, within),
        credits=credits(base, augmented, uses, changes.new),
        notes=(*_notes(augmented.manifest, changes, effects, found), *comparison.notes),
        robustness=_robustness(references, variants, allow) if variants else None,
    )


def new_entries(base: RunManifest, augmented: RunManifest) -> tuple[str, ...]:
    return entry_changes(base.registry, augmented.registry).new


def domain_of(task: TaskRecord) -> Domain:
    """Return "out" for a task with a tag ``…ood``, "in" for one with ``…main``; "" with neither, or both."""
    inside, out = (any(domain.fullmatch(tag) for tag in task.tags) for domain in (_IN, _OUT))
    return "" if inside == out else "out" if out else "in"


def _effects(
    comparison: Comparison, tasks: Mapping[str, SplitTask], domains: Mapping[str, Domain]
) -> Iterator[ScopeEffect]:
    groups = {group.name: group.tasks for group in comparison.groups}
    for contrast in comparison.contrasts:
        names = groups[contrast.scope] if contrast.kind == "mean" else (contrast.scope,)
        split = [tasks[name] for name in names]
        of_tasks = {domains[name] for name in names}
        yield ScopeEffect(
            **asdict(contrast),
            domain=of_tasks.pop() if len(of_tasks) == 1 else "",
            mini=is_mini(split[0].whole.record),
            touched=stratum_effect(split, touched=True),
            untouched=stratum_effect(split, touched=False),
        )


def _domains(tasks: Mapping[str, SplitTask], domains: Mapping[str, Domain]) -> Iterator[DomainEffect]:
    for mini in (False, True):
        inside, out = (
            [task.whole for name, task in tasks.items() if domains[name] == side and is_mini(task.whole.record) == mini]
            for side in ("in", "out")
        )
        if inside and out:
            yield DomainEffect(
                mini=mini,
                in_domain=difference_of(inside),
                out_of_domain=difference_of(out),
                difference=domain_difference(out, inside),
                in_tasks=tuple(each.record.name for each in inside),
                out_tasks=tuple(each.record.name for each in out),
            )


def _notes(
    augmented: RunManifest, changes: EntryChanges, effects: Sequence[ScopeEffect], domains: Sequence[DomainEffect]
) -> Iterator[str]:
    if not changes.new:
        yield "nothing is new in the augmented registry, so that no rollout is touched: was the base given second?"
    if changes.prompt:
        yield "the templates of the orchestrator's prompt differ too: untouched rollouts may differ for that reason"
    if changes.removed:
        yield (
            "entries were removed: a rollout that called one in the base run is in the stratum of its augmented partner"
        )
    if augmented.repeats > 1:
        yield "strata are of rollouts, paired by repeat: a sample is in both where only some of its repeats are touched"
    for effect in effects:
        found = effect.untouched.difference
        if found is not None and found.excludes_zero:
            yield (
                f"{effect.scope}: untouched rollouts differ, where 0 is expected: the other prompt, chance, or which "
                "rollouts stay untouched may be why; the touched difference has the same in it"
            )
    for each in domains:
        for side, tasks in (("in-domain", each.in_tasks), ("out-of-domain", each.out_tasks)):
            if missing := _missing(augmented, tasks):
                yield f"the {side} mean of the difference in differences is without {', '.join(missing)}"


def _missing(manifest: RunManifest, tasks: Sequence[str]) -> list[str]:
    tags = {tag for record in manifest.tasks if record.name in tasks for tag in record.tags}
    wanted = [tag for tag in tags if _IN.fullmatch(tag) or _OUT.fullmatch(tag)]
    members = dict.fromkeys(task for tag in sorted(wanted) for task in manifest.groups.get(tag, ()))
    return [task for task in members if task not in tasks]


def _refuse_same_registry(base: RunManifest, augmented: RunManifest) -> None:
    if base.registry.hash == augmented.registry.hash:
        raise UserError(
            f"swap: {base.system} and {augmented.system} have the same registry ({augmented.registry.name}, hash "
            f"{augmented.registry.hash[:12]}); give a run with another one"
        )
