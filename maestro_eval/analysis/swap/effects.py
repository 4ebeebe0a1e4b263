"""Differences over paired tasks: of a task or a mean, within a stratum, and of one domain against the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from maestro_eval.analysis.sample_scores import Reading, SampleOutcome, cluster_codes, strata_of, widened
from maestro_eval.analysis.stats import Estimate, Sampled, difference_in_differences, difference_interval
from maestro_eval.analysis.swap.pairs import PairedTask, SplitTask
from maestro_eval.analysis.swap.records import StratumEffect

_Part = tuple[float, list[tuple[SampleOutcome, SampleOutcome]]]
_Sides = tuple[list[Sampled], list[Sampled]]


def difference(tasks: Sequence[PairedTask]) -> Estimate:
    """Augmented − base: the mean over ``tasks``, each by its own aggregation. Failures as wrong, and as bounds.

    ``compare`` says the same of a task and of a group.
    """
    return _difference(_parts(tasks))


def stratum_effect(tasks: Sequence[SplitTask], *, touched: bool) -> StratumEffect:
    """The pairs of one stratum. Within a task it is the plain mean over the samples that have any.

    A mean over several tasks weighs those equally that have any. ``part`` is with the weights of the whole difference:
    the parts of both strata add up to it.
    """
    chosen = [task.touched if touched else task.untouched for task in tasks]
    there = [replace(task, record=replace(task.record, aggregation="mean")) for task in chosen if task.rollouts]
    rollouts, all_rollouts = sum(task.pairs for task in chosen), sum(task.whole.pairs for task in tasks)
    return StratumEffect(
        rollouts,
        rollouts / all_rollouts,
        difference(there) if there else None,
        float(np.mean([_contribution(task.whole, each) for task, each in zip(tasks, chosen, strict=True)])),
    )


def domain_difference(out: Sequence[PairedTask], inside: Sequence[PairedTask]) -> Estimate:
    """(mean difference over ``out``) − (mean difference over ``inside``): by how much more the swap moved the former.

    The bounds of failures take those of ``out`` for the one reading and those of ``inside`` for the other.
    """
    treated, control = _parts(out), _parts(inside)

    def found(ours: Reading, theirs: Reading) -> Estimate:
        # One call of cluster_codes over both domains: a picture may stand in a benchmark of either.
        sides = _sides([*treated, *control], ours, theirs)
        others = _sides([*treated, *control], theirs, ours)
        cut = len(treated)
        return difference_in_differences((sides[0][:cut], sides[1][:cut]), (others[0][cut:], others[1][cut:]))

    primary = found("wrong", "wrong")
    if not _any_failed([*treated, *control]):
        return primary
    return widened(primary, low=found("wrong", "right"), high=found("right", "wrong"))


def _difference(parts: Sequence[_Part]) -> Estimate:
    primary = difference_interval(*_sides(parts, "wrong", "wrong"))
    if not _any_failed(parts):
        return primary
    return widened(
        primary,
        low=difference_interval(*_sides(parts, "wrong", "right")),
        high=difference_interval(*_sides(parts, "right", "wrong")),
    )


def _parts(tasks: Sequence[PairedTask]) -> list[_Part]:
    """The strata of all tasks with their weights in the mean, each with its pairs."""
    found: list[_Part] = []
    for task in tasks:
        ours, theirs = task.augmented, task.base
        # A sample that one side never ran is placed by the other.
        known = {i: ours[i] if ours[i].placed else theirs[i] for i in task.ids}
        found += [
            (part.weight / len(tasks), [(ours[i], theirs[i]) for i in part.ids])
            for part in strata_of(task.record, known)
        ]
    return found


def _sides(parts: Sequence[_Part], ours: Reading, theirs: Reading) -> _Sides:
    codes = cluster_codes([[a.cluster or b.cluster for a, b in pairs] for _, pairs in parts])
    sides: _Sides = ([], [])
    for (weight, pairs), clusters in zip(parts, codes, strict=True):
        for side, values in zip(
            sides, ([a.value(ours) for a, _ in pairs], [b.value(theirs) for _, b in pairs]), strict=True
        ):
            side.append(Sampled(np.array(values, dtype=np.float64), clusters, weight))
    return sides


def _any_failed(parts: Sequence[_Part]) -> bool:
    return any(a.failed or b.failed for _, pairs in parts for a, b in pairs)


def _contribution(whole: PairedTask, stratum: PairedTask) -> float:
    """What the stratum's pairs add to the task's whole difference, failures as wrong."""
    known = {i: whole.augmented[i] if whole.augmented[i].placed else whole.base[i] for i in whole.ids}
    return sum(
        part.weight
        / len(part.ids)
        * sum(
            (stratum.augmented[i].wrong - stratum.base[i].wrong) * stratum.rollouts[i] / whole.rollouts[i]
            for i in part.ids
            if i in stratum.rollouts
        )
        for part in strata_of(whole.record, known)
    )
