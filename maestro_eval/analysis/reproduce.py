"""Whether a run reproduces published numbers: equivalence within a margin that is stated before looking.

Not to find a difference is no reproduction. A number is ``reproduced`` where two one-sided tests at 5 % put the true
gap within the margin, ``not reproduced`` where its 90 % interval lies wholly beyond the margin, and ``inconclusive``
otherwise, with how much more it would take. Failed rollouts are read as wrong and as right; where the two readings
disagree, nothing is decided.

What counts as chance depends on what was asked:

- ``rerun``: the whole benchmark, each sample several times, at the published temperature. The published number is
  over the same samples, so that which samples they are moves neither; what moves both is that the same system answers
  otherwise when asked again. The error is σ √(1/k + 1/k₀), σ being the deviation of one pass (``rerun_deviation``),
  k our repeats and k₀ the published ones, 1 where that is not known.
- ``sampling``: anything else. Our samples are taken as drawn from all that could be asked, and the published number
  as fixed. This is far stricter: few benchmarks are large enough to show equivalence within a point.

The margin is one point, or the noise where that is more: σ for ``rerun``, the standard error for ``sampling``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.comparison import Group, ScopeKind
from maestro_eval.analysis.groups import groups_of
from maestro_eval.analysis.measured import MeasuredRun, measure
from maestro_eval.analysis.outcomes import Reading, TaskOutcomes, accuracy, count_failed, sampled, weighted_mean
from maestro_eval.analysis.published import SettingDifference, setting_differences
from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.repeats import rerun_deviation
from maestro_eval.analysis.stats import Estimate, Sampled, equivalence, needed_for_equivalence, standard_error
from maestro_eval.analysis.stats.distributions import t_quantile, t_tail
from maestro_eval.scoring import RunScores
from maestro_eval.types import RunManifest, Selection

ALPHA = 0.05
POWER = 0.8
LEAST_MARGIN = 0.01
"""One point: closer than this nobody asks for."""

ReproductionVerdict = Literal["reproduced", "not reproduced", "inconclusive", "no published value", "not given"]
"""``not given``: a mean of which the run lacks a task."""

Noise = Literal["rerun", "sampling"]


class Needed(Struct, frozen=True):
    """What a verdict would take, were there no true gap (80 % power): so many ``of`` in all; ``None``: nothing would.

    Samples for ``sampling``; for ``rerun`` answers to each sample.
    """

    number: int | None
    of: Literal["samples", "repeats"]


class Tested(Struct, frozen=True):
    """The test behind a verdict. ``low`` to ``high`` is the 90 % interval, reaching over both readings of failures.

    ``p`` is the larger of the two readings'. ``noise`` says what counted as chance, ``error`` how much there is.
    """

    margin: float
    noise: Noise
    error: float
    low: float
    high: float
    p: float
    needed: Needed | None = None


class Reproduced(Struct, frozen=True):
    """One benchmark or mean. ``estimate`` has its usual 95 % interval; ``missing`` are tasks that a mean lacks."""

    scope: str
    kind: ScopeKind
    verdict: ReproductionVerdict
    published: ReportedValue | None = None
    estimate: Estimate | None = None
    n_failed: int = 0
    tested: Tested | None = None
    missing: tuple[str, ...] = ()
    mini: bool = False


class Reproduction(Struct, frozen=True):
    """A run held against ``reference``: the verdicts, and the settings in which the two differ or may differ."""

    system: str
    manifest: RunManifest
    protocol: str
    reference: Reference
    rows: tuple[Reproduced, ...]
    differences: tuple[SettingDifference, ...]


def reproduce(scores: RunScores, reference: Reference) -> Reproduction:
    """Hold a run against ``reference``, benchmark by benchmark and mean by mean."""
    run = measure(scores)
    groups = groups_of([run])
    rows = (*_tasks(run, reference, groups), *_means(run, reference, groups))
    compared = [row.scope for row in rows if row.tested is not None]
    found = setting_differences(run.manifest, run.protocol, run.missing_evidence, reference, compared)
    return Reproduction(run.name, run.manifest, run.protocol, reference, rows, found)


def _tasks(run: MeasuredRun, reference: Reference, groups: Sequence[Group]) -> Iterator[Reproduced]:
    minis = {task for group in groups if group.mini for task in group.tasks}
    for task in run.records:
        yield _row(run, reference, task, "task", (task,), mini=task in minis)


def _means(run: MeasuredRun, reference: Reference, groups: Sequence[Group]) -> Iterator[Reproduced]:
    given = [group for group in groups if run.covers(group) and run.has(reference.means.get(group.name, ()))]
    for group in given:
        yield _row(run, reference, group.name, "mean", group.tasks, mini=group.mini)
    names = {group.name for group in given}
    for name, tasks in reference.means.items():
        if name not in names:
            missing = tuple(task for task in tasks if task not in run.records)
            yield Reproduced(name, "mean", "not given", reference.values.get(name), missing=missing)
    for group in groups:
        if group.name not in names and group.name not in reference.means:
            yield Reproduced(group.name, "mean", "not given", missing=group.absent, mini=group.mini)


def _row(
    run: MeasuredRun, reference: Reference, scope: str, kind: ScopeKind, tasks: Sequence[str], *, mini: bool
) -> Reproduced:
    chosen = [(run.records[task], run.outcomes(task)) for task in tasks]
    estimate = accuracy(chosen)
    failed = sum(count_failed(outcomes.values()) for _, outcomes in chosen)
    published = reference.reported(scope, tasks)
    if published is None:
        return Reproduced(scope, kind, "no published value", None, estimate, failed, mini=mini)
    deviation = _same_samples(run, reference, published, chosen)
    if deviation is None:
        verdict, tested = _by_sampling(chosen, published.value, failed)
    else:
        verdict, tested = _by_rerun(run, reference, chosen, published.value, deviation)
    return Reproduced(scope, kind, verdict, published, estimate, failed, tested, mini=mini)


def _same_samples(
    run: MeasuredRun, reference: Reference, published: ReportedValue, tasks: Sequence[TaskOutcomes]
) -> float | None:
    """The deviation of one pass, where only rerunning tells the run from what was published; else ``None``."""
    manifest = run.manifest
    other_samples = published.n is not None and published.n != sum(len(outcomes) for _, outcomes in tasks)
    other_heat = reference.temperature is not None and reference.temperature != manifest.sampling.temperature
    ended_early = {stop.task for stop in manifest.stopped} & {task.name for task, _ in tasks}
    if manifest.selection != Selection() or ended_early or other_samples or other_heat:
        return None
    return rerun_deviation(tasks)


def _by_sampling(tasks: Sequence[TaskOutcomes], published: float, failed: int) -> tuple[ReproductionVerdict, Tested]:
    strata = _strata(tasks, "wrong")
    error = standard_error(strata).error
    margin = max(LEAST_MARGIN, error)
    found = [equivalence(each, published, margin) for each in (strata, _strata(tasks, "right"))[: 2 if failed else 1]]
    low, high = min(each.low for each in found), max(each.high for each in found)
    verdict = _verdict(low, high, published, margin, [each.equivalent for each in found])
    # With more samples the error shrinks, and the margin with it down to the least.
    needed = Needed(_needed_samples(strata), "samples") if verdict == "inconclusive" else None
    return verdict, Tested(margin, "sampling", error, low, high, max(each.p for each in found), needed)


def _needed_samples(strata: Sequence[Sampled]) -> int | None:
    try:
        return needed_for_equivalence(strata, LEAST_MARGIN, power=POWER, alpha=ALPHA)
    except ValueError:
        return None


def _by_rerun(
    run: MeasuredRun, reference: Reference, tasks: Sequence[TaskOutcomes], published: float, deviation: float
) -> tuple[ReproductionVerdict, Tested]:
    ours, theirs = run.manifest.repeats, reference.repeats or 1
    margin = max(LEAST_MARGIN, deviation)
    error = deviation * math.sqrt(1 / ours + 1 / theirs)
    freedom = sum(len(outcomes) for _, outcomes in tasks) * (ours - 1)
    values = [weighted_mean(_strata(tasks, reading)) for reading in ("wrong", "right")]
    reach = t_quantile(1 - ALPHA, freedom) * error
    low, high = min(values) - reach, max(values) + reach
    p = max(_outside(value - published, margin, error, freedom) for value in values)
    verdict = _verdict(low, high, published, margin, [p <= ALPHA])
    needed = Needed(_needed_repeats(deviation, margin, theirs), "repeats") if verdict == "inconclusive" else None
    return verdict, Tested(margin, "rerun", error, low, high, p, needed)


def _outside(gap: float, margin: float, error: float, freedom: float) -> float:
    """The larger p of the two one-sided tests that the true gap is outside the margin."""
    if error <= 0:
        return 0.0 if abs(gap) <= margin else 1.0
    return max(t_tail((margin + gap) / error, freedom), t_tail((margin - gap) / error, freedom))


def _needed_repeats(deviation: float, margin: float, theirs: int) -> int | None:
    """The least k with (z(1−α) + z((1+power)/2)) σ √(1/k + 1/k₀) ≤ margin; ``None`` where k₀ alone is too noisy."""
    reach = t_quantile(1 - ALPHA, math.inf) + t_quantile((1 + POWER) / 2, math.inf)
    room = (margin / (reach * deviation)) ** 2 - 1 / theirs if deviation > 0 else math.inf
    return max(2, math.ceil(1 / room)) if room > 0 else None


def _verdict(
    low: float, high: float, published: float, margin: float, equivalent: Sequence[bool]
) -> ReproductionVerdict:
    if all(equivalent):
        return "reproduced"
    beyond = low > published + margin or high < published - margin
    return "not reproduced" if beyond else "inconclusive"


def _strata(tasks: Sequence[TaskOutcomes], reading: Reading) -> list[Sampled]:
    return sampled(tasks, lambda outcome: outcome.value(reading))
