"""Differences: between two systems, pair by pair, and between a system and a number that somebody reported.

A pair is one sample, by id and content hash, that both systems were asked. Failures are read in every way that
matters: the primary number counts them as wrong, the interval reaches to where the other reading would put it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from maestro_eval.analysis.comparison import Contrast, Group, ReportedContrast, ScopeKind
from maestro_eval.analysis.reference import Reference
from maestro_eval.analysis.sample_scores import (
    Reading,
    SampleOutcome,
    accuracy,
    cluster_codes,
    count_failed,
    same_content,
    sampled,
    strata_of,
    widened,
)
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.analysis.stats import (
    Estimate,
    Sampled,
    difference_interval,
    difference_p,
    reference_p,
)
from maestro_eval.records import UserError


class _Pair(Struct, frozen=True):
    """One sample as the two systems have it."""

    ours: SampleOutcome
    theirs: SampleOutcome

    @property
    def cluster(self) -> int:
        # One that never ran does not know its own.
        return self.ours.cluster or self.theirs.cluster

    @property
    def failed(self) -> bool:
        return self.ours.failed or self.theirs.failed


class _Stratum(Struct, frozen=True):
    weight: float
    pairs: tuple[_Pair, ...]
    unknown: bool


def contrasts_of(system: MeasuredRun, baseline: MeasuredRun, groups: Sequence[Group]) -> list[Contrast]:
    """``system`` against ``baseline`` on every task and group that both have; p-values are not adjusted yet.

    UserError where they share no task, or a task without sharing a sample of it.
    """
    shared = [task for task in system.records if task in baseline.records]
    if not shared:
        raise UserError(f"{system.name} and {baseline.name} have no task in common; run both on the same --tasks")
    found = [_contrast(system, baseline, task, "task", (task,)) for task in shared]
    for group in groups:
        if system.covers(group) and baseline.covers(group):
            found.append(_contrast(system, baseline, group.name, "mean", group.tasks))
    return found


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
        found.append(
            ReportedContrast(
                difference,
                reference_p(strata, reported.value),
                n_failed=failed,
                system=run.name,
                reference=reference,
                scope=scope,
                kind=kind,
                reported=reported,
            )
        )
    return found


def _contrast(
    system: MeasuredRun, baseline: MeasuredRun, scope: str, kind: ScopeKind, tasks: Sequence[str]
) -> Contrast:
    by_task = [_strata(system, baseline, task, share=1 / len(tasks)) for task in tasks]
    strata = [stratum for each in by_task for stratum in each]
    a, b = _sides(strata, "wrong", "wrong")
    difference = difference_interval(a, b)
    failed = sum(pair.failed for stratum in strata for pair in stratum.pairs)
    if failed:
        difference = widened(
            difference,
            low=difference_interval(*_sides(strata, "wrong", "right")),
            high=difference_interval(*_sides(strata, "right", "wrong")),
        )
    return Contrast(
        difference,
        difference_p(a, b),
        system=system.name,
        baseline=baseline.name,
        scope=scope,
        kind=kind,
        n_failed=failed,
        completed=_completed(by_task) if failed else None,
    )


def _strata(system: MeasuredRun, baseline: MeasuredRun, task: str, *, share: float) -> list[_Stratum]:
    names = (system.name, baseline.name)
    a, b = system.outcomes(task), baseline.outcomes(task)
    ids = same_content(task, a, b, names)
    if not ids:
        raise UserError(f"task {task}: {names[0]} and {names[1]} share no sample_id; run both on the same samples")
    # A sample that one side never ran is placed by the other.
    known = {i: a[i] if a[i].placed else b[i] for i in ids}
    return [
        _Stratum(part.weight * share, tuple(_Pair(a[i], b[i]) for i in part.ids), part.unknown)
        for part in strata_of(system.records[task], known)
    ]


def _sides(strata: Sequence[_Stratum], ours: Reading, theirs: Reading) -> tuple[list[Sampled], list[Sampled]]:
    """The strata of both systems, each under its reading of failures."""
    codes = cluster_codes([[pair.cluster for pair in stratum.pairs] for stratum in strata])

    def side(read: Callable[[_Pair], float]) -> list[Sampled]:
        return [
            Sampled(np.array([read(pair) for pair in stratum.pairs], dtype=np.float64), clusters, stratum.weight)
            for stratum, clusters in zip(strata, codes, strict=True)
        ]

    return side(lambda pair: pair.ours.value(ours)), side(lambda pair: pair.theirs.value(theirs))


def _completed(by_task: Sequence[Sequence[_Stratum]]) -> Estimate | None:
    """The difference over pairs without a failure; ``None`` where a task or a category is left without any."""
    kept = []
    for strata in by_task:
        left = [(stratum, tuple(pair for pair in stratum.pairs if not pair.failed)) for stratum in strata]
        if any(not pairs and not stratum.unknown for stratum, pairs in left):
            return None
        # Samples that never ran leave their weight to those of their task that did.
        total = sum(stratum.weight for stratum, pairs in left if pairs) * len(by_task)
        kept += [_Stratum(stratum.weight / total, pairs, stratum.unknown) for stratum, pairs in left if pairs]
    return difference_interval(*_sides(kept, "wrong", "wrong"))
