"""Differences: between two systems, pair by pair, and between a system and a number that somebody reported.

A pair is one sample, by id and content hash, that both systems were asked. Failures are read in every way that
matters: the primary number counts them as wrong, the interval reaches to where the other reading would put it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.breakdown import MOST_CATEGORIES, category_names
from maestro_eval.analysis.comparison import (
    Adjust,
    CategoryDifference,
    CategoryDifferences,
    Contrast,
    FamilyScope,
    Group,
    Pairwise,
    ReportedContrast,
    ScopeKind,
)
from maestro_eval.analysis.reference import Reference
from maestro_eval.analysis.sample_scores import (
    Outcomes,
    Reading,
    SampleOutcome,
    accuracy,
    cluster_codes,
    count_failed,
    over_failures,
    same_content,
    sampled,
    strata_of,
    weighted_mean,
    widened,
)
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.analysis.stats import (
    Estimate,
    PValue,
    Sampled,
    benjamini_hochberg,
    difference_interval,
    difference_intervals,
    difference_p,
    difference_ps,
    heterogeneity_p,
    holm,
    reference_p,
)
from maestro_eval.records import TaskRecord, UserError

_Judged = TypeVar("_Judged", Contrast, ReportedContrast, CategoryDifferences)
# Steps to the difference that is as near to all categories as their failures allow.
_STEPS = 50


class PairedTask(Struct, frozen=True):
    """The samples ``ids`` of a task as two systems have them."""

    record: TaskRecord
    ours: Outcomes
    theirs: Outcomes
    ids: tuple[str, ...]

    def placed(self) -> dict[str, SampleOutcome]:
        """Either side's outcome of each sample: one that never ran is placed by the other."""
        return {i: self.ours[i] if self.ours[i].placed else self.theirs[i] for i in self.ids}

    def failed(self, sample_id: str) -> bool:
        return self.ours[sample_id].failed or self.theirs[sample_id].failed


class PairedStratum(Struct, frozen=True):
    """Pairs that are averaged together, and their weight."""

    weight: float
    pairs: tuple[tuple[SampleOutcome, SampleOutcome], ...]
    unknown: bool = False

    @property
    def failed(self) -> int:
        return sum(ours.failed or theirs.failed for ours, theirs in self.pairs)


def contrasts_of(system: MeasuredRun, baseline: MeasuredRun, groups: Sequence[Group]) -> list[Contrast]:
    """``system`` against ``baseline`` on every task and group that both have; p-values are not adjusted yet.

    UserError where they share no task, or a task without sharing a sample of it.
    """
    paired = _paired(system, baseline)
    names = (system.name, baseline.name)
    found = [_contrast(*names, task, "task", [each]) for task, each in paired.items()]
    for group in groups:
        if system.covers(group) and baseline.covers(group):
            found.append(_contrast(*names, group.name, "mean", [paired[task] for task in group.tasks]))
    by_name = {group.name: group.tasks for group in groups}
    return [
        _after_stops(each, system, baseline, (each.scope,) if each.kind == "task" else by_name[each.scope])
        for each in found
    ]


def category_differences(system: MeasuredRun, baseline: MeasuredRun) -> list[CategoryDifferences]:
    """``system`` against ``baseline`` by category, on every task that has several and that both have."""
    found = []
    for task, paired in _paired(system, baseline).items():
        places = paired.placed()
        names = category_names(places)
        if system.ended_early([task]) or baseline.ended_early([task]):
            continue
        if not 1 < len(names) <= MOST_CATEGORIES:
            continue
        parts = [replace(paired, ids=tuple(i for i in paired.ids if places[i].category == name)) for name in names]
        differences = {
            name: CategoryDifference(difference_of([part]), sum(map(part.failed, part.ids)))
            for name, part in zip(names, parts, strict=True)
        }
        p = heterogeneity_p(_alike(parts))
        found.append(
            CategoryDifferences(system=system.name, baseline=baseline.name, scope=task, categories=differences, p=p)
        )
    return found


def pairwise(runs: Sequence[MeasuredRun], group: Group, adjust: Adjust) -> Pairwise | None:
    """All differences between ``runs`` on ``group``, which they all have; ``None`` where they share no samples."""
    strata = paired_strata(runs, group.tasks)
    if not strata:
        return None
    best = paired_strata(runs, group.tasks, "right")
    order = sorted(range(len(runs)), key=lambda number: -round(weighted_mean(strata[number]), 12))
    pairs = list(combinations(order, 2))
    wrong, right = (
        np.stack([np.concatenate([each.values for each in row]) for row in side]) for side in (strata, best)
    )
    open_ = [int(((wrong[a] != right[a]) | (wrong[b] != right[b])).sum()) for a, b in pairs]
    found = difference_intervals(strata, pairs)
    if any(open_):
        # The optimistic readings are numbered behind the others.
        read, n = [*strata, *best], len(runs)
        low = difference_intervals(read, [(a, n + b) for a, b in pairs])
        high = difference_intervals(read, [(n + a, b) for a, b in pairs])
        found = [
            widened(one, low=least, high=most) if failed else one
            for one, least, most, failed in zip(found, low, high, open_, strict=True)
        ]
    contrasts = [
        Contrast(one, p, None, failed, system=runs[a].name, baseline=runs[b].name, scope=group.name, kind="mean")
        for one, p, failed, (a, b) in zip(found, difference_ps(strata, pairs), open_, pairs, strict=True)
    ]
    return Pairwise(group.name, tuple(runs[number].name for number in order), adjusted(contrasts, adjust, "all"))


def adjusted(contrasts: Sequence[_Judged], adjust: Adjust, family: FamilyScope) -> tuple[_Judged, ...]:
    """``contrasts`` in their order, each with its p-value as adjusted within its family."""
    families: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, contrast in enumerate(contrasts):
        if contrast.p is not None:
            families[_family(contrast, family)].append(number)
    found = list(contrasts)
    for members in families.values():
        values = [each.value for number in members if (each := contrasts[number].p) is not None]
        if adjust != "none":
            values = holm(values) if adjust == "holm" else benjamini_hochberg(values)
        for number, p in zip(members, values, strict=True):
            found[number] = replace(found[number], p_adjusted=p)
    return tuple(found)


def _family(contrast: _Judged, family: FamilyScope) -> tuple[str, ...]:
    against = contrast.reference.name if isinstance(contrast, ReportedContrast) else contrast.baseline
    if family == "all":
        return ()
    return (contrast.kind, against, contrast.system) if family == "system" else (contrast.kind, against)


def paired_strata(runs: Sequence[MeasuredRun], tasks: Sequence[str], reading: Reading = "wrong") -> list[list[Sampled]]:
    """The strata of ``tasks`` for each of ``runs``, on the samples that all of them have, by a reading of failures.

    Empty where they share no sample of a task.
    """
    ids = {task: sorted(set.intersection(*(set(run.outcomes(task)) for run in runs))) for task in tasks}
    if not all(ids.values()):
        return []
    parts = []
    for task, shared in ids.items():
        known = {i: max((run.outcomes(task)[i] for run in runs), key=lambda one: one.placed) for i in shared}
        parts += [(task, part.weight / len(tasks), part.ids) for part in strata_of(runs[0].records[task], known)]
    codes = cluster_codes(
        [[max(run.outcomes(task)[i].cluster for run in runs) for i in chosen] for task, _, chosen in parts]
    )
    return [
        [
            Sampled(
                np.array([run.outcomes(task)[i].value(reading) for i in chosen], dtype=np.float64), clusters, weight
            )
            for (task, weight, chosen), clusters in zip(parts, codes, strict=True)
        ]
        for run in runs
    ]


def reported_contrasts(run: MeasuredRun, reference: Reference, groups: Sequence[Group]) -> list[ReportedContrast]:
    """``run`` against every number of ``reference`` that is of a task or a mean that the run has."""
    scopes: list[tuple[str, ScopeKind, tuple[str, ...]]] = [(task, "task", (task,)) for task in run.records]
    scopes += [(group.name, "mean", group.tasks) for group in groups if run.covers(group) and not group.mini]
    found = []
    for scope, kind, tasks in scopes:
        reported = reference.reported(scope, tasks)
        if reported is None:
            continue
        chosen = [(run.records[task], run.outcomes(task)) for task in tasks]
        ours, strata = accuracy(chosen), sampled(chosen, lambda outcome: outcome.wrong)
        failed = sum(count_failed(outcomes.values()) for _, outcomes in chosen)
        difference = Estimate(
            ours.value - reported.value, ours.low - reported.value, ours.high - reported.value, ours.n, ours.method
        )
        early = run.ended_early(tasks)
        found.append(
            ReportedContrast(
                difference,
                None if early else reference_p(strata, reported.value),
                n_failed=failed,
                unjudged=early,
                system=run.name,
                reference=reference,
                scope=scope,
                kind=kind,
                reported=reported,
            )
        )
    return found


def difference_of(tasks: Sequence[PairedTask]) -> Estimate:
    """Ours − theirs: the mean over ``tasks``, each by its own aggregation, with failures as bounds."""
    return _difference(paired_parts(tasks))


def paired_parts(tasks: Sequence[PairedTask]) -> list[PairedStratum]:
    """The strata of all ``tasks``, their weights adding up to 1."""
    return [
        PairedStratum(part.weight / len(tasks), tuple((task.ours[i], task.theirs[i]) for i in part.ids), part.unknown)
        for task in tasks
        for part in strata_of(task.record, task.placed())
    ]


def sides(strata: Sequence[PairedStratum], ours: Reading, theirs: Reading) -> tuple[list[Sampled], list[Sampled]]:
    """The strata of both systems, each under its reading of failures."""
    # One that never ran does not know its cluster.
    codes = cluster_codes([[a.cluster or b.cluster for a, b in stratum.pairs] for stratum in strata])

    def side(read: Callable[[tuple[SampleOutcome, SampleOutcome]], float]) -> list[Sampled]:
        return [
            Sampled(np.array([read(pair) for pair in stratum.pairs], dtype=np.float64), clusters, stratum.weight)
            for stratum, clusters in zip(strata, codes, strict=True)
        ]

    return side(lambda pair: pair[0].value(ours)), side(lambda pair: pair[1].value(theirs))


def _difference(strata: Sequence[PairedStratum]) -> Estimate:
    failed = any(stratum.failed for stratum in strata)
    return over_failures(lambda ours, theirs: difference_interval(*sides(strata, ours, theirs)), failed=failed)


def _contrast(system: str, baseline: str, scope: str, kind: ScopeKind, tasks: Sequence[PairedTask]) -> Contrast:
    strata = paired_parts(tasks)
    failed = sum(stratum.failed for stratum in strata)
    return Contrast(
        _difference(strata),
        difference_p(*sides(strata, "wrong", "wrong")),
        system=system,
        baseline=baseline,
        scope=scope,
        kind=kind,
        n_failed=failed,
        completed=_completed(tasks) if failed else None,
    )


def _after_stops(contrast: Contrast, system: MeasuredRun, baseline: MeasuredRun, tasks: Sequence[str]) -> Contrast:
    """``contrast`` as its looks leave it where a task was watched by it, and unjudged where one ended by another."""
    stop, sign = system.stop_against(contrast.scope, baseline), 1
    if stop is None:
        stop, sign = baseline.stop_against(contrast.scope, system), -1
    if stop is not None and contrast.kind == "task":
        low, high = sorted((sign * stop.low, sign * stop.high))
        difference = Estimate(sign * stop.value, low, high, stop.samples, stop.method)
        return replace(
            contrast, difference=difference, p=PValue(stop.p, stop.method), direction_only=stop.direction_only
        )
    if system.ended_early(tasks) or baseline.ended_early(tasks):
        return replace(contrast, p=None, unjudged=True)
    return contrast


def _paired(system: MeasuredRun, baseline: MeasuredRun) -> dict[str, PairedTask]:
    """The samples that both have of each task that both have."""
    names = (system.name, baseline.name)
    found = {}
    for task, record in system.records.items():
        if task in baseline.records:
            a, b = system.outcomes(task), baseline.outcomes(task)
            found[task] = PairedTask(record, a, b, same_content(task, a, b, names))
            if not found[task].ids:
                raise UserError(
                    f"task {task}: {names[0]} and {names[1]} share no sample_id; run both on the same samples"
                )
    if not found:
        raise UserError(f"{names[0]} and {names[1]} have no task in common; run both on the same --tasks")
    return found


def _completed(tasks: Sequence[PairedTask]) -> Estimate | None:
    """The difference over pairs without a failure; ``None`` where a task or a category is left without any."""
    kept = []
    for task in tasks:
        left = [
            replace(part, pairs=tuple(pair for pair in part.pairs if not (pair[0].failed or pair[1].failed)))
            for part in paired_parts([task])
        ]
        if any(not part.pairs and not part.unknown for part in left):
            return None
        # Samples that never ran leave their weight to those of their task that did.
        total = sum(part.weight for part in left if part.pairs) * len(tasks)
        kept += [replace(part, weight=part.weight / total) for part in left if part.pairs]
    return difference_interval(*sides(kept, "wrong", "wrong"))


def _alike(parts: Sequence[PairedTask]) -> list[Sampled]:
    """The differences of each of ``parts``, their failures read so that the means are as alike as they may be."""
    codes = cluster_codes([[part.ours[i].cluster or part.theirs[i].cluster for i in part.ids] for part in parts])
    low = [np.array([part.ours[i].wrong - part.theirs[i].right for i in part.ids]) for part in parts]
    high = [np.array([part.ours[i].right - part.theirs[i].wrong for i in part.ids]) for part in parts]
    least, most = (np.array([each.mean() for each in side]) for side in (low, high))
    sizes = np.array([len(each) for each in low])
    means: NDArray[np.float64] = (least + most) / 2
    for _ in range(_STEPS):
        means = np.clip(sizes @ means / sizes.sum(), least, most)
    shares = np.divide(means - least, most - least, out=np.zeros_like(means), where=most > least)
    return [
        Sampled(below + share * (above - below), clusters, 1 / len(parts), signed=True)
        for below, above, share, clusters in zip(low, high, shares, codes, strict=True)
    ]
