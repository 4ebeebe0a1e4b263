"""The registry-swap report: what the same system gains and loses with another registry, and through which entries.

Definitions and what may be concluded from them are in docs/swap.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from maestro_eval.analysis.compare import compare
from maestro_eval.analysis.comparison import Comparison, Contrast, ContrastSpec, Group
from maestro_eval.analysis.contrasts import difference_of
from maestro_eval.analysis.explored import Explored
from maestro_eval.analysis.groups import is_mini
from maestro_eval.analysis.swap.adoption import adoptions, credits, explored_of, interference
from maestro_eval.analysis.swap.pairs import SplitTask, Uses, domain_difference, split, stratum_effect
from maestro_eval.analysis.swap.records import Domain, DomainEffect, EntryChanges, ScopeEffect, Swap
from maestro_eval.analysis.swap.robustness import robustness
from maestro_eval.analysis.swap.settings import entry_changes, labelled, settle_settings
from maestro_eval.records import RunManifest, TaskRecord, UserError
from maestro_eval.scoring import RunScores

_IN, _OUT = re.compile(r"(.*_)?main"), re.compile(r"(.*_)?ood")


def swap_report(
    base: RunScores,
    augmented: RunScores,
    uses: Uses,
    *,
    allow: Collection[str] = (),
    explored: Explored | None = None,
    variants: Sequence[RunScores] = (),
) -> Swap:
    """What changed from ``base`` to ``augmented``; ``uses`` are the augmented run's calls of ``new_entries``.

    ``explored`` is an explore run of the augmented registry, ``variants`` are runs of either registry in a variant.
    UserError where the runs differ in more than the registry and what ``allow`` names, or not in it, and wherever
    ``compare`` refuses them.
    """
    allowed = settle_settings(base.manifest, augmented.manifest, allow)
    _refuse_same_registry(base.manifest, augmented.manifest)
    references = [augmented, base]
    base, augmented = labelled([base, augmented], _words(base.manifest, augmented.manifest))
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
        interference=interference(tasks, domains, uses),
        credits=credits(base, augmented, uses, changes.new),
        notes=(*_notes(augmented.manifest, changes, effects, found), *comparison.notes),
        robustness=robustness(references, variants, allow) if variants else None,
        contrasts=comparison.contrasts,
    )


def new_entries(base: RunManifest, augmented: RunManifest) -> tuple[str, ...]:
    """The entries that only the augmented run could call as they are."""
    return entry_changes(base.registry, augmented.registry).new


def domain_of(task: TaskRecord) -> Domain:
    """ "out" for a task with a tag ``…ood``, "in" for one with ``…main``; "" with neither, or both."""
    out = any(_OUT.fullmatch(tag) for tag in task.tags)
    inside = any(_IN.fullmatch(tag) for tag in task.tags)
    if out == inside:
        return ""
    return "out" if out else "in"


def _effects(
    comparison: Comparison, tasks: Mapping[str, SplitTask], domains: Mapping[str, Domain]
) -> Iterator[ScopeEffect]:
    groups = {group.name: group for group in comparison.groups}
    for contrast in comparison.contrasts:
        group = groups[contrast.scope] if contrast.kind == "mean" else None
        names = group.tasks if group else (contrast.scope,)
        yield _effect(contrast, [tasks[name] for name in names], {domains[name] for name in names}, group)


def _effect(
    contrast: Contrast, tasks: Sequence[SplitTask], domains: Collection[Domain], group: Group | None
) -> ScopeEffect:
    return ScopeEffect(
        scope=contrast.scope,
        kind=contrast.kind,
        domain=next(iter(domains)) if len(domains) == 1 else "",
        mini=group.mini if group else is_mini(tasks[0].whole.record),
        whole=contrast.difference,
        touched=stratum_effect(tasks, touched=True),
        untouched=stratum_effect(tasks, touched=False),
        unplaced=sum(task.unplaced for task in tasks),
    )


def _domains(tasks: Mapping[str, SplitTask], domains: Mapping[str, Domain]) -> Iterator[DomainEffect]:
    for mini in (False, True):
        sides = {
            side: {
                name: task.whole
                for name, task in tasks.items()
                if domains[name] == side and is_mini(task.whole.record) == mini
            }
            for side in ("in", "out")
        }
        inside, out = list(sides["in"].values()), list(sides["out"].values())
        if inside and out:
            yield DomainEffect(
                mini=mini,
                in_domain=difference_of(inside),
                out_of_domain=difference_of(out),
                difference=domain_difference(out, inside),
                in_tasks=tuple(sides["in"]),
                out_tasks=tuple(sides["out"]),
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
    """The tasks of a domain's tag that were not run."""
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


def _words(base: RunManifest, augmented: RunManifest) -> tuple[str, str]:
    names = base.registry.name, augmented.registry.name
    return names if names[0] != names[1] else ("base", "augmented")
