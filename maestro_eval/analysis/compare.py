"""Hold systems against each other: an accuracy per task, a macro mean per group, paired differences.

Promises: what is compared was measured the same way (metric, protocol, task definition, and the content of each
paired sample), else UserError names what differs; generated mini benchmarks are never averaged with real ones;
there is no mean over all tasks; a group's mean exists only for systems that ran all of its tasks. What was left
out for such a reason is said in ``Comparison.notes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from maestro_eval.analysis.breakdown import by_category, further_measures, repeat_measures
from maestro_eval.analysis.comparison import (
    Adjust,
    CategoryDifferences,
    Comparison,
    Contrast,
    ContrastSpec,
    FamilyScope,
    Group,
    Pairwise,
    Ranking,
    ReportedContrast,
    SystemResult,
    TaskAccuracy,
)
from maestro_eval.analysis.contrasts import (
    adjusted,
    category_differences,
    contrasts_of,
    paired_strata,
    pairwise,
    reported_contrasts,
)
from maestro_eval.analysis.groups import groups_of, own_groups
from maestro_eval.analysis.names import told_apart
from maestro_eval.analysis.notes import notes_on, other_readings
from maestro_eval.analysis.published import published_notes, reported_name
from maestro_eval.analysis.reference import Reference
from maestro_eval.analysis.sample_scores import (
    TaskOutcomes,
    accuracy,
    count_failed,
    readings,
    same_content,
    weighted_mean,
)
from maestro_eval.analysis.scored_run import MeasuredRun, measure
from maestro_eval.analysis.stats import rank_intervals
from maestro_eval.records import UserError
from maestro_eval.scoring import RunScores


def compare(
    systems: Sequence[RunScores],
    contrasts: Sequence[ContrastSpec] = (),
    *,
    references: Sequence[Reference] = (),
    adjust: Adjust = "holm",
    family: FamilyScope = "system",
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Accuracies and means of every system, the contrasts asked for, and each system against each reported number.

    Samples pair by id, repeats averaged; samples that only one side has are left out of the difference, and
    ``difference.n`` says how many remain. ``adjust`` corrects the p-values within what ``family`` makes one. ``groups``
    are sets of tasks of the user's own, by name, each with a mean. Systems that share a name are told apart.
    UserError where a system is called as a reference, a contrast names an unknown system or has no sample in common,
    or two runs differ in metric, protocol, task definition or sample content.
    """
    # What is no system comes last.
    systems = sorted(systems, key=lambda scores: scores.kind != "run")
    runs = [measure(scores) for scores in told_apart(systems)]
    _refuse_equal_names([*(run.name for run in runs), *(reported_name(reference) for reference in references)])
    for a, b in combinations(runs, 2):
        _refuse_unlike(a, b)
    grouped = (*groups_of(runs), *own_groups(runs, groups or {}))
    by_name = {run.name: run for run in runs}
    differences: list[Contrast] = []
    by_category: list[CategoryDifferences] = []
    for spec in contrasts:
        system, baseline = _named(by_name, spec.system), _named(by_name, spec.baseline)
        differences += contrasts_of(system, baseline, grouped)
        by_category += category_differences(system, baseline)
    reported: list[ReportedContrast] = []
    for reference in references:
        for run in runs:
            reported += reported_contrasts(run, reference, grouped)
    published = [note for reference in references for note in published_notes(runs, reported, reference)]
    apart = [found for scores, run in zip(systems, runs, strict=True) for found in other_readings(scores, run)]
    return Comparison(
        systems=tuple(_result(run, grouped) for run in runs),
        groups=grouped,
        contrasts=adjusted(differences, adjust, family),
        notes=(*notes_on([run for run in runs if run.kind == "run"], grouped), *published),
        readings=tuple(apart),
        references=tuple(references),
        reported=adjusted(reported, adjust, family),
        ranks=tuple(_rankings(runs, grouped)),
        by_category=adjusted(by_category, adjust, family),
        pairwise=tuple(_pairwise(runs, grouped, adjust)),
        adjust=adjust,
        family=family,
    )


def _result(run: MeasuredRun, groups: Sequence[Group]) -> SystemResult:
    return SystemResult(
        run.name,
        run.manifest,
        run.protocol,
        {task: _task(run, task) for task in run.records},
        {group.name: accuracy(_of(run, group.tasks)) for group in groups if run.covers(group)},
        run.calls,
        run.cached_calls,
        run.missing_evidence,
        {
            group.name: found
            for group in groups
            if run.covers(group) and (found := readings(_of(run, group.tasks))) is not None
        },
        run.failures,
        run.kind,
        {
            group.name: repeats
            for group in groups
            if run.covers(group) and (repeats := repeat_measures(_of(run, group.tasks))) is not None
        },
    )


def _of(run: MeasuredRun, tasks: Sequence[str]) -> list[TaskOutcomes]:
    return [(run.records[task], run.outcomes(task)) for task in tasks]


def _ranked(runs: Sequence[MeasuredRun], group: Group) -> list[MeasuredRun]:
    """Those that have a mean of ``group`` and are judged by it: what ended early by one comparison is by no other."""
    return [run for run in runs if run.kind == "run" and run.covers(group) and not run.ended_early(group.tasks)]


def _pairwise(runs: Sequence[MeasuredRun], groups: Sequence[Group], adjust: Adjust) -> Iterator[Pairwise]:
    for group in groups:
        ranked = _ranked(runs, group)
        # Of two there is one difference, which is asked for as a contrast.
        if len(ranked) > 2 and (found := pairwise(ranked, group, adjust)) is not None:
            yield found


def _rankings(runs: Sequence[MeasuredRun], groups: Sequence[Group]) -> Iterator[Ranking]:
    for group in groups:
        ranked = _ranked(runs, group)
        strata = paired_strata(ranked, group.tasks) if len(ranked) > 1 else []
        if strata:
            names = (run.name for run in ranked)
            best = paired_strata(ranked, group.tasks, "right")
            hidden = [weighted_mean(right) - weighted_mean(wrong) for right, wrong in zip(best, strata, strict=True)]
            ranks = dict(zip(names, rank_intervals(strata, hidden), strict=True))
            yield Ranking(group.name, dict(sorted(ranks.items(), key=lambda item: item[1].rank)))


def _task(run: MeasuredRun, name: str) -> TaskAccuracy:
    record, outcomes = run.records[name], run.outcomes(name)
    return TaskAccuracy(
        name,
        accuracy([(record, outcomes)]),
        count_failed(outcomes.values()),
        record.metric,
        run.protocol,
        by_category(record, outcomes),
        further_measures(run.scores[name].others),
        repeat_measures([(record, outcomes)]),
        readings([(record, outcomes)]),
        run.lacking.get(name, 0),
    )


def _named(runs: Mapping[str, MeasuredRun], name: str) -> MeasuredRun:
    if name not in runs:
        raise UserError(f"no system is called {name!r}; the runs given hold {', '.join(map(repr, runs))}")
    return runs[name]


def _refuse_equal_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"two runs have the system name {name!r}; run one under another name with --name, or leave one out"
            )


def _refuse_unlike(a: MeasuredRun, b: MeasuredRun) -> None:
    if a.protocol != b.protocol:
        raise UserError(
            f"protocol differs: {a.name} was scored by {a.protocol!r}, {b.name} by {b.protocol!r}; "
            "score both by the same protocol"
        )
    for task, ours in a.records.items():
        theirs = b.records.get(task)
        if theirs is None:
            continue
        for field in ("metric", "aggregation", "hash"):
            if getattr(ours, field) != getattr(theirs, field):
                raise UserError(
                    f"task {task}: {field} differs: {getattr(ours, field)!r} in {a.name}, "
                    f"{getattr(theirs, field)!r} in {b.name}; run both with the same task definition"
                )
        same_content(task, a.outcomes(task), b.outcomes(task), (a.name, b.name))
