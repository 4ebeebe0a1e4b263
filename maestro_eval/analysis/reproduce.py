"""Reproduction of published numbers: the gap, whether chance explains it, and how large a gap can be excluded.

The sources of chance depend on the question that an interval answers:

- ``benchmark``: both sides answered the same questions, so the choice of questions adds no variance. Both numbers vary
  because the same system answers differently when it is asked again. For a random ``--subset`` the omitted questions
  add variance to ours, with the finite-population correction.
- ``kind``: the two answered different questions (another published n, a ``--limit``, a benchmark that ended early).
  Both sets count as random samples of all questions of their kind.

If the published number of samples or repeats is unknown, the whole benchmark and one pass are assumed, and
``Gap.assumed`` lists it. Published values are assumed to be rounded to a tenth of a point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from maestro_eval.analysis.compare import groups_of
from maestro_eval.analysis.comparison import Group, ScopeKind
from maestro_eval.analysis.published import SettingDifference, setting_differences
from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.sample_scores import TaskOutcomes, accuracy, parts_of, sampled
from maestro_eval.analysis.scored_run import MeasuredRun, measure
from maestro_eval.analysis.stats.estimates import Estimate, count_failed, highest, t_quantile, weighted_mean
from maestro_eval.analysis.stats.intervals import standard_error
from maestro_eval.records import RunManifest, Selection
from maestro_eval.runtime import PromptFacts
from maestro_eval.scoring import RunScores

MARGIN = 0.01
"""The default margin, one point: a gap that is surely within it counts as reproduced."""
# The variance of a value that was rounded to 0.001.
_ROUNDING = 0.001**2 / 12

ReproductionVerdict = Literal["reproduced", "compatible", "differs", "no published value", "not given"]
"""``reproduced``: a gap beyond the margin is excluded. ``compatible``: chance explains the gap. ``not given``: the run
lacks a task of the mean."""

Question = Literal["benchmark", "kind"]
Assumed = Literal["n", "repeats"]


class Gap(Struct, frozen=True):
    """Ours minus the published value, with a 95 % interval over both sides' chance and both readings of failures.

    ``error`` is the standard error of the gap, ``theirs`` that of the published number.
    """

    value: float
    low: float
    high: float
    error: float
    theirs: float
    question: Question
    assumed: tuple[Assumed, ...]

    @property
    def excluded(self) -> float:
        """The size beyond which a gap in either direction is excluded."""
        return max(abs(self.low), abs(self.high))


class Reproduced(Struct, frozen=True):
    """The result on one benchmark or mean; ``missing`` are the tasks of a mean that the run does not have."""

    scope: str
    kind: ScopeKind
    verdict: ReproductionVerdict
    published: ReportedValue | None = None
    estimate: Estimate | None = None
    n_failed: int = 0
    gap: Gap | None = None
    missing: tuple[str, ...] = ()
    mini: bool = False


class Reproduction(Struct, frozen=True):
    """A run compared with ``reference`` within ``margin``, and the settings in which the two differ or may differ."""

    system: str
    manifest: RunManifest
    protocol: str
    reference: Reference
    margin: float
    rows: tuple[Reproduced, ...]
    differences: tuple[SettingDifference, ...]


def reproduce(
    scores: RunScores, reference: Reference, margin: float = MARGIN, *, prompts: PromptFacts | None = None
) -> Reproduction:
    """Compare a run with ``reference`` on each benchmark and mean; ``margin`` is a fraction.

    ``prompts`` are facts about the run's first prompts; they count the samples that the released filter leaves out.
    """
    run = measure(scores)
    rows = tuple(_rows(run, reference, margin))
    compared = [row.scope for row in rows if row.gap is not None]
    found = setting_differences(run, reference, compared)
    if prompts is not None and prompts.overlong:
        here = f"{prompts.overlong:,} of {prompts.samples:,} asked"
        found += (
            SettingDifference(f"samples with prompts over {prompts.limit:,} tokens", "left out in training", here),
        )
    return Reproduction(run.name, run.manifest, run.protocol, reference, margin, rows, found)


def _rows(run: MeasuredRun, reference: Reference, margin: float) -> Iterator[Reproduced]:
    groups = groups_of([run])
    given = [group for group in groups if run.covers(group) and run.has(reference.means.get(group.name, ()))]
    minis = {task for group in groups if group.mini for task in group.tasks}
    scopes: list[tuple[Group, ScopeKind]] = [(Group(task, (task,), task in minis), "task") for task in run.records]
    scopes += [(group, "mean") for group in given]
    for scope, kind in scopes:
        chosen = run.chosen(scope.tasks)
        published = reference.reported(scope.name, scope.tasks)
        gap = None if published is None else _gap(run, reference, published, chosen)
        verdict: ReproductionVerdict = "no published value" if gap is None else _verdict(gap, margin)
        yield Reproduced(
            scope.name, kind, verdict, published, accuracy(chosen), count_failed(sampled(chosen)), gap, (), scope.mini
        )
    names = {group.name for group in given}
    for name, tasks in reference.means.items():
        if name not in names:
            missing = tuple(task for task in tasks if task not in run.records)
            yield Reproduced(name, "mean", "not given", reference.values.get(name), missing=missing)
    for group in groups:
        if group.name not in names and group.name not in reference.means:
            yield Reproduced(group.name, "mean", "not given", missing=group.absent, mini=group.mini)


def _verdict(gap: Gap, margin: float) -> ReproductionVerdict:
    if gap.excluded <= margin:
        return "reproduced"
    return "compatible" if gap.low <= 0 <= gap.high else "differs"


def _gap(run: MeasuredRun, reference: Reference, published: ReportedValue, tasks: Sequence[TaskOutcomes]) -> Gap:
    # With settings from another source (``settings_from``), the repeats behind the numbers are unknown.
    repeats = None if reference.settings_from else reference.repeats
    passes = repeats or 1
    assumed: list[Assumed] = ["n"] if published.n is None else []
    assumed += [] if repeats else ["repeats"]
    question = _question(run, published, tasks)
    ours, theirs, freedom = _variances(run.manifest, tasks, passes)
    if question == "kind":
        spread = standard_error(sampled(tasks))
        n = sum(len(outcomes) for _, outcomes in tasks)
        # The variance over samples includes that of asking again, so it cannot be smaller.
        ours, freedom = max(ours, spread.error**2), spread.freedom
        theirs = max(theirs, spread.error**2 * n / (published.n or n))
    theirs += _ROUNDING
    error = math.sqrt(ours + theirs)
    reach = t_quantile(freedom) * error
    wrong = weighted_mean(sampled(tasks)) - published.value
    right = weighted_mean(highest(sampled(tasks))) - published.value
    return Gap(wrong, wrong - reach, right + reach, error, math.sqrt(theirs), question, tuple(assumed))


def _question(run: MeasuredRun, published: ReportedValue, tasks: Sequence[TaskOutcomes]) -> Question:
    manifest = run.manifest
    asked = Selection(subset=manifest.selection.subset)
    ended_early = {stop.task for stop in manifest.ended_early} & {task.name for task, _ in tasks}
    whole = asked.subset is None
    other = whole and published.n is not None and published.n != sum(len(outcomes) for _, outcomes in tasks)
    return "kind" if manifest.selection != asked or ended_early or other else "benchmark"


def _variances(manifest: RunManifest, tasks: Sequence[TaskOutcomes], passes: int) -> tuple[float, float, float]:
    """Return the variances of our and of the published number on the same questions, and the degrees of freedom.

    Stratum s of weight w, n samples and k repeats adds w² σ²/(n k); σ² is the mean variance within a sample. One pass
    does not show σ², so its maximum p (1 − p) is used. For a subset, a task adds f times that and (1 − f) times the
    variance of its mean over samples, where f is the share of its questions that were asked.
    """
    ours = theirs = freedom = 0.0
    for task in tasks:
        rerun, rerun_theirs, known = _rerun_variances(task, passes)
        freedom += known
        if manifest.selection.subset is not None:
            spread = standard_error(sampled([task]))
            record, outcomes = task
            # A benchmark of unknown size counts as infinite.
            share = min(1.0, len(outcomes) / record.published) if record.published else 0.0
            rerun = share * rerun + (1 - share) * spread.error**2
            freedom = min(freedom, spread.freedom)
        ours += rerun / len(tasks) ** 2
        theirs += rerun_theirs / len(tasks) ** 2
    return ours, theirs, freedom


def _rerun_variances(task: TaskOutcomes, passes: int) -> tuple[float, float, float]:
    """Return the variance of a task's mean from asking again: ours, that over ``passes``, and degrees of freedom."""
    ours = theirs = freedom = 0.0
    for stratum, (part, outcomes) in zip(sampled([task]), parts_of([task]), strict=True):
        n = len(part.ids)
        runs = [outcomes[i].runs for i in part.ids]
        repeats = min(map(len, runs))
        if repeats > 1:
            within = float(np.mean([np.var(each, ddof=1) for each in runs]))
            freedom += sum(len(each) - 1 for each in runs)
        else:
            right = (float(stratum.values.sum()) + 2) / (n + 4)
            within, freedom = right * (1 - right), math.inf
        ours += stratum.weight**2 * within / (n * max(1, repeats))
        theirs += stratum.weight**2 * within / (n * passes)
    return ours, theirs, freedom
