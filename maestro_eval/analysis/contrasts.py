"""Paired differences between two systems, and differences between a system and a reported number.

A pair is one sample, by id and content hash, that both systems were asked. The value counts failures as wrong; the
interval covers both readings of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis import sample_scores
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
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.analysis.stats import significance
from maestro_eval.analysis.stats.estimates import Estimate, PValue, Sampled, count_failed, differences, weighted_mean
from maestro_eval.analysis.stats.intervals import difference_interval, difference_intervals, mean_interval
from maestro_eval.records import TaskRecord, UserError

_Judged = TypeVar("_Judged", Contrast, ReportedContrast, CategoryDifferences)
# Iterations of ``_alike`` toward the common difference.
_STEPS = 50


class PairedTask(Struct, frozen=True):
    """The samples ``ids`` of a task as several systems have them, ``sides``."""

    record: TaskRecord
    sides: tuple[sample_scores.Outcomes, ...]
    ids: tuple[str, ...]

    def placed(self) -> dict[str, sample_scores.SampleOutcome]:
        """Return an outcome of each sample that knows its category and stratum, which one that never ran may not."""
        return {i: max((side[i] for side in self.sides), key=lambda one: one.placed) for i in self.ids}

    def cluster(self, sample_id: str) -> int:
        """Return the cluster, which is 0 on a side that never ran the sample."""
        return max(side[sample_id].cluster for side in self.sides)

    def failed(self, sample_id: str) -> bool:
        return any(side[sample_id].failed for side in self.sides)

    @property
    def n_failed(self) -> int:
        return sum(map(self.failed, self.ids))


PairedStrata = Sequence[tuple[sample_scores.Stratum, PairedTask]]
"""Strata, each with its task."""


class SharedSamples(Struct, frozen=True, eq=False):
    """The strata of each of ``runs`` on the samples that all have."""

    runs: tuple[MeasuredRun, ...]
    strata: list[list[Sampled]]


def contrasts_of(system: MeasuredRun, baseline: MeasuredRun, groups: Sequence[Group]) -> list[Contrast]:
    """Return ``system`` minus ``baseline`` on every task and group that both have; p-values are not adjusted.

    UserError if they share no task, or no sample of a shared task.
    """
    paired = _paired(system, baseline)
    scopes: list[tuple[str, ScopeKind, tuple[str, ...]]] = [(task, "task", (task,)) for task in paired]
    scopes += [(each.name, "mean", each.tasks) for each in groups if system.covers(each) and baseline.covers(each)]
    return [
        _contrast(system, baseline, scope, kind, {task: paired[task] for task in tasks})
        for scope, kind, tasks in scopes
    ]


def category_differences(system: MeasuredRun, baseline: MeasuredRun) -> list[CategoryDifferences]:
    """Return ``system`` minus ``baseline`` by category, for every shared task with several categories."""
    found = []
    for task, paired in _paired(system, baseline).items():
        places = paired.placed()
        names = category_names(places)
        if system.ended_early([task]) or baseline.ended_early([task]):
            continue
        if not 1 < len(names) <= MOST_CATEGORIES:
            continue
        parts = [replace(paired, ids=tuple(i for i in paired.ids if places[i].category == name)) for name in names]
        by_name = {
            name: CategoryDifference(difference_of([part]), part.n_failed)
            for name, part in zip(names, parts, strict=True)
        }
        p = significance.heterogeneity_p(_alike(parts))
        found.append(
            CategoryDifferences(system=system.name, baseline=baseline.name, scope=task, categories=by_name, p=p)
        )
    return found


def pairwise(group: Group, shared: SharedSamples, adjust: Adjust, contrasts: Sequence[Contrast]) -> Pairwise:
    """Return all differences between the systems on ``group``.

    A pair that is in ``contrasts`` with as many samples reuses that p, so that a difference has one p everywhere.
    """
    runs, strata = shared.runs, shared.strata
    order = sorted(range(len(runs)), key=lambda number: -round(weighted_mean(strata[number]), 12))
    pairs = list(combinations(order, 2))
    known = {
        (frozenset((each.system, each.baseline)), each.difference.n): each.p
        for each in contrasts
        if each.scope == group.name
    }
    tested = []
    found = difference_intervals(strata, pairs)
    for one, p, (a, b) in zip(found, significance.difference_ps(strata, pairs), pairs, strict=True):
        names = runs[a].name, runs[b].name
        same = known.get((frozenset(names), one.n)) or p
        failed = count_failed(differences(strata[a], strata[b]))
        tested.append(
            Contrast(one, same, None, failed, system=names[0], baseline=names[1], scope=group.name, kind="mean")
        )
    return Pairwise(group.name, tuple(runs[number].name for number in order), adjusted(tested, adjust, "all"))


def adjusted(contrasts: Sequence[_Judged], adjust: Adjust, family: FamilyScope) -> tuple[_Judged, ...]:
    """Return ``contrasts`` in their order, each with its p-value adjusted within its family."""
    families: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, contrast in enumerate(contrasts):
        if contrast.p is not None:
            families[_family(contrast, family)].append(number)
    found = list(contrasts)
    for members in families.values():
        values = [each.value for number in members if (each := contrasts[number].p) is not None]
        if adjust == "holm":
            values = significance.holm(values)
        elif adjust == "bh":
            # Imported here, because it is slow: the expected share of false rejections, for exploration only.
            from scipy.stats import false_discovery_control

            values = false_discovery_control(values).tolist()
        for number, p in zip(members, values, strict=True):
            found[number] = replace(found[number], p_adjusted=p)
    return tuple(found)


def _family(contrast: _Judged, family: FamilyScope) -> tuple[str, ...]:
    against = contrast.reference.name if isinstance(contrast, ReportedContrast) else contrast.baseline
    if family == "all":
        return ()
    return (contrast.kind, against, contrast.system) if family == "system" else (contrast.kind, against)


def shared_samples(runs: Sequence[MeasuredRun], tasks: Sequence[str]) -> SharedSamples | None:
    """Return the samples of ``tasks`` that all ``runs`` have; None if they share no sample of a task."""
    paired = []
    for task in tasks:
        sides = tuple(run.outcomes(task) for run in runs)
        paired.append(PairedTask(runs[0].records[task], sides, tuple(sorted(set.intersection(*map(set, sides))))))
    if not all(task.ids for task in paired):
        return None
    return SharedSamples(tuple(runs), sides_of(paired_strata(paired)))


def reported_contrasts(run: MeasuredRun, reference: Reference, groups: Sequence[Group]) -> list[ReportedContrast]:
    """Return ``run`` minus every number of ``reference`` for a task or mean that the run has."""
    scopes: list[tuple[str, ScopeKind, tuple[str, ...]]] = [(task, "task", (task,)) for task in run.records]
    scopes += [(group.name, "mean", group.tasks) for group in groups if run.covers(group) and not group.mini]
    found = []
    for scope, kind, tasks in scopes:
        reported = reference.reported(scope, tasks)
        if reported is None:
            continue
        chosen, early = run.chosen(tasks), run.ended_early(tasks)
        strata = sample_scores.sampled(chosen)
        found.append(
            ReportedContrast(
                mean_interval(strata).minus(reported.value),
                None if early else significance.reference_p(strata, reported.value),
                n_failed=count_failed(strata),
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
    """Return the first side minus the second: the mean over ``tasks``, each by its own aggregation."""
    return difference_interval(*sides_of(paired_strata(tasks)))


def paired_strata(tasks: Sequence[PairedTask]) -> list[tuple[sample_scores.Stratum, PairedTask]]:
    """Return the strata of all ``tasks``; their weights add up to 1."""
    return [
        (replace(part, weight=part.weight / len(tasks)), task)
        for task in tasks
        for part in sample_scores.strata_of(task.record, task.placed())
    ]


def sides_of(strata: PairedStrata) -> list[list[Sampled]]:
    parts, clusters = [part for part, _ in strata], [[task.cluster(i) for i in part.ids] for part, task in strata]
    return [
        sample_scores.as_strata(parts, clusters, [[task.sides[side][i] for i in part.ids] for part, task in strata])
        for side in range(len(strata[0][1].sides))
    ]


def _contrast(
    system: MeasuredRun, baseline: MeasuredRun, scope: str, kind: ScopeKind, paired: Mapping[str, PairedTask]
) -> Contrast:
    """Return the difference on ``paired``: the result of its own early stopping, if that ended the task.

    It is unjudged if another comparison ended one.
    """
    tasks = list(paired.values())
    failed = sum(task.n_failed for task in tasks)
    contrast = Contrast(
        difference_of(tasks),
        significance.difference_p(*sides_of(paired_strata(tasks))),
        system=system.name,
        baseline=baseline.name,
        scope=scope,
        kind=kind,
        n_failed=failed,
        completed=_completed(tasks) if failed else None,
    )
    stop, sign = system.stop_against(scope, baseline), 1
    if stop is None:
        stop, sign = baseline.stop_against(scope, system), -1
    if stop is not None and kind == "task":
        low, high = sorted((sign * stop.low, sign * stop.high))
        difference = Estimate(sign * stop.value, low, high, stop.samples, stop.method)
        return replace(
            contrast, difference=difference, p=PValue(stop.p, stop.method), direction_only=stop.direction_only
        )
    if system.ended_early(paired) or baseline.ended_early(paired):
        return replace(contrast, p=None, unjudged=True)
    return contrast


def _paired(system: MeasuredRun, baseline: MeasuredRun) -> dict[str, PairedTask]:
    names = (system.name, baseline.name)
    found = {}
    for task, record in system.records.items():
        if task in baseline.records:
            a, b = system.outcomes(task), baseline.outcomes(task)
            found[task] = PairedTask(record, (a, b), sample_scores.same_content(task, a, b, names))
            if not found[task].ids:
                raise UserError(
                    f"task {task}: {names[0]} and {names[1]} share no sample_id; run both on the same samples"
                )
    if not found:
        raise UserError(f"{names[0]} and {names[1]} have no task in common; run both on the same --tasks")
    return found


def _completed(tasks: Sequence[PairedTask]) -> Estimate | None:
    kept = sample_scores.narrowed(
        [(sample_scores.strata_of(task.record, task.placed()), task) for task in tasks],
        lambda task, i: not task.failed(i),
    )
    return None if kept is None else difference_interval(*sides_of(kept))


def _alike(parts: Sequence[PairedTask]) -> list[Sampled]:
    """Return the differences of each of ``parts``, with failures read so that the means are as equal as possible."""
    strata = [(sample_scores.Stratum(1 / len(parts), part.ids), part) for part in parts]
    paired = differences(*sides_of(strata))
    low, high = [each.lowest for each in paired], [each.highest for each in paired]
    least, most = (np.array([each.mean() for each in side]) for side in (low, high))
    sizes = np.array([len(each) for each in low])
    means: NDArray[np.float64] = (least + most) / 2
    for _ in range(_STEPS):
        means = np.clip(sizes @ means / sizes.sum(), least, most)
    shares = np.divide(means - least, most - least, out=np.zeros_like(means), where=most > least)
    return [
        each.read(below + share * (above - below))
        for each, below, above, share in zip(paired, low, high, shares, strict=True)
    ]
