"""Hold runs against published numbers: the gap, whether chance explains it, and how large a gap can be excluded.

What counts as chance depends on the question that an interval answers:

- ``benchmark``: both sides were asked the same questions, so that which questions they are moves neither number. What
  moves both is that the same system answers otherwise when it is asked again. Of a random ``--subset`` the questions
  left out move ours besides, by the finite-population form.
- ``kind``: the two were asked different questions (another published n, a ``--limit``, a benchmark that ended early).
  Both are taken as drawn from all questions of their kind.

Where the published number of samples or of repeats is not known, the whole benchmark and one pass are assumed, and
``Gap.assumed`` names that. A published value is taken as rounded to a tenth of a point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from maestro_eval.analysis.comparison import Group, ScopeKind
from maestro_eval.analysis.groups import groups_of
from maestro_eval.analysis.published import SettingDifference, setting_differences
from maestro_eval.analysis.reference import Reference, ReportedValue
from maestro_eval.analysis.sample_scores import TaskOutcomes, accuracy, count_failed, parts_of, sampled, weighted_mean
from maestro_eval.analysis.scored_run import MeasuredRun, measure
from maestro_eval.analysis.stats import Estimate, standard_error
from maestro_eval.analysis.stats.means import t_quantile
from maestro_eval.records import RunManifest, Selection
from maestro_eval.runtime.prompt_facts import PromptFacts
from maestro_eval.scoring import RunScores

MARGIN = 0.01
"""The default margin, a point: a gap that surely lies within it is none that anybody asks for."""
_LEVEL = 0.95
# The variance of a value that was rounded to 0.001.
_ROUNDING = 0.001**2 / 12

ReproductionVerdict = Literal["reproduced", "compatible", "differs", "no published value", "not given"]
"""``reproduced``: a gap beyond the margin is excluded. ``compatible``: chance explains the gap. ``not given``: a mean
of which the run lacks a task."""

Question = Literal["benchmark", "kind"]
Assumed = Literal["n", "repeats"]


class Gap(Struct, frozen=True):
    """Ours minus the published value, with its 95 % interval over both sides' chance and all that failures hide.

    ``error`` is the standard error of the gap, ``theirs`` the part of it that is the published number's.
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
        """The gap, in either direction, beyond which every other is excluded."""
        return max(abs(self.low), abs(self.high))


class Reproduced(Struct, frozen=True):
    """One benchmark or mean. ``estimate`` has its usual 95 % interval; ``missing`` are tasks that a mean lacks."""

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
    """A run held against ``reference`` within ``margin``, and the settings in which the two differ or may differ."""

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
    """Hold a run against ``reference``, benchmark by benchmark and mean by mean; ``margin`` is a fraction.

    ``prompts`` are the facts of the run's first prompts, to list the samples that the released filter leaves out.
    """
    run = measure(scores)
    groups = groups_of([run])
    rows = (*_tasks(run, reference, groups, margin), *_means(run, reference, groups, margin))
    compared = [row.scope for row in rows if row.gap is not None]
    found = setting_differences(run.manifest, run.protocol, run.missing_evidence, reference, compared)
    if prompts is not None and prompts.overlong:
        here = f"{prompts.overlong:,} of {prompts.samples:,} asked"
        found += (
            SettingDifference(f"samples with prompts over {prompts.limit:,} tokens", "left out in training", here),
        )
    return Reproduction(run.name, run.manifest, run.protocol, reference, margin, rows, found)


def _tasks(run: MeasuredRun, reference: Reference, groups: Sequence[Group], margin: float) -> Iterator[Reproduced]:
    minis = {task for group in groups if group.mini for task in group.tasks}
    for task in run.records:
        yield _row(run, reference, task, "task", (task,), margin, mini=task in minis)


def _means(run: MeasuredRun, reference: Reference, groups: Sequence[Group], margin: float) -> Iterator[Reproduced]:
    given = [group for group in groups if run.covers(group) and run.has(reference.means.get(group.name, ()))]
    for group in given:
        yield _row(run, reference, group.name, "mean", group.tasks, margin, mini=group.mini)
    names = {group.name for group in given}
    for name, tasks in reference.means.items():
        if name not in names:
            missing = tuple(task for task in tasks if task not in run.records)
            yield Reproduced(name, "mean", "not given", reference.values.get(name), missing=missing)
    for group in groups:
        if group.name not in names and group.name not in reference.means:
            yield Reproduced(group.name, "mean", "not given", missing=group.absent, mini=group.mini)


def _row(
    run: MeasuredRun,
    reference: Reference,
    scope: str,
    kind: ScopeKind,
    tasks: Sequence[str],
    margin: float,
    *,
    mini: bool,
) -> Reproduced:
    chosen = [(run.records[task], run.outcomes(task)) for task in tasks]
    estimate = accuracy(chosen)
    failed = sum(count_failed(outcomes.values()) for _, outcomes in chosen)
    published = reference.reported(scope, tasks)
    if published is None:
        return Reproduced(scope, kind, "no published value", None, estimate, failed, mini=mini)
    gap = _gap(run, reference, published, chosen)
    return Reproduced(scope, kind, _verdict(gap, margin), published, estimate, failed, gap, mini=mini)


def _verdict(gap: Gap, margin: float) -> ReproductionVerdict:
    if gap.excluded <= margin:
        return "reproduced"
    return "compatible" if gap.low <= 0 <= gap.high else "differs"


def _gap(run: MeasuredRun, reference: Reference, published: ReportedValue, tasks: Sequence[TaskOutcomes]) -> Gap:
    # Repeats that some code has by default are not those that a number was published of.
    repeats = None if reference.settings_from else reference.repeats
    passes = repeats or 1
    assumed: list[Assumed] = ["n"] if published.n is None else []
    assumed += [] if repeats else ["repeats"]
    question = _question(run, published, tasks)
    ours, theirs, freedom = _variances(run.manifest, tasks, passes)
    if question == "kind":
        spread = standard_error(sampled(tasks, lambda outcome: outcome.wrong))
        n = sum(len(outcomes) for _, outcomes in tasks)
        # The floor is the chance of answering again, below which no spread of a sample's values lies.
        ours, freedom = max(ours, spread.error**2), spread.freedom
        theirs = max(theirs, spread.error**2 * n / (published.n or n))
    theirs += _ROUNDING
    error = math.sqrt(ours + theirs)
    reach = t_quantile((1 + _LEVEL) / 2, freedom) * error
    wrong = weighted_mean(sampled(tasks, lambda outcome: outcome.wrong)) - published.value
    right = weighted_mean(sampled(tasks, lambda outcome: outcome.right)) - published.value
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

    Stratum s of weight w, n samples and k repeats adds w² σ²/(n k), σ² being the mean variance within a sample. One
    pass shows none of it: then σ² is p (1 − p), the most that it can be. Of a subset, a task adds f times that and
    (1 − f) times the variance of its mean over samples, with f the share of its questions that were asked.
    """
    ours = theirs = freedom = 0.0
    for task in tasks:
        again, again_theirs, known = _again([task], passes)
        freedom += known
        if manifest.selection.subset is not None:
            spread = standard_error(sampled([task], lambda outcome: outcome.wrong))
            record, outcomes = task
            # Where the size of the benchmark is not known, it is taken as endless.
            share = min(1.0, len(outcomes) / record.published) if record.published else 0.0
            again = share * again + (1 - share) * spread.error**2
            freedom = min(freedom, spread.freedom)
        ours += again / len(tasks) ** 2
        theirs += again_theirs / len(tasks) ** 2
    return ours, theirs, freedom


def _again(tasks: Sequence[TaskOutcomes], passes: int) -> tuple[float, float, float]:
    """Return the variance of the mean of ``tasks`` from asking again: ours, that over ``passes``, the freedom."""
    ours = theirs = freedom = 0.0
    for stratum, (part, outcomes) in zip(sampled(tasks, lambda outcome: outcome.wrong), parts_of(tasks), strict=True):
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
