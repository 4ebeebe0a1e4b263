"""Hold systems against each other: an accuracy per task, a macro mean per group, paired differences.

Promises: what is compared was measured the same way (metric, protocol, task definition, and the content of each
paired sample), else UserError names what differs; generated mini benchmarks are never averaged with real ones;
there is no mean over all tasks; a group's mean exists only for systems that ran all of its tasks. What was left
out for such a reason is said in ``Comparison.notes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from maestro_eval.analysis.breakdown import by_category, further_measures
from maestro_eval.analysis.comparison import Comparison, Contrast, ContrastSpec, Group, SystemResult, TaskAccuracy
from maestro_eval.analysis.groups import groups_of
from maestro_eval.analysis.measured import MeasuredRun, measure
from maestro_eval.analysis.notes import notes_on
from maestro_eval.analysis.outcomes import Reading, accuracy, count_failed, same_content, strata_of, widened
from maestro_eval.analysis.repeats import repeat_measures
from maestro_eval.analysis.stats import Estimate, stratified_difference
from maestro_eval.scoring import RunScores
from maestro_eval.types import UserError


def compare(systems: Sequence[RunScores], contrasts: Sequence[ContrastSpec] = ()) -> Comparison:
    """Accuracies and means of every system, and the contrasts asked for.

    Samples pair by id, repeats averaged; samples that only one side has are left out of the difference, and
    ``difference.n`` says how many remain. UserError where two systems share a name, a contrast names an unknown
    system or has no sample in common, or two runs differ in metric, protocol, task definition or sample content.
    """
    runs = [measure(scores) for scores in systems]
    _refuse_equal_names(runs)
    for a, b in combinations(runs, 2):
        _refuse_unlike(a, b)
    groups = groups_of(runs)
    by_name = {run.name: run for run in runs}
    differences: list[Contrast] = []
    for spec in contrasts:
        differences += _contrasts(_named(by_name, spec.system), _named(by_name, spec.baseline), groups)
    return Comparison(
        systems=tuple(_result(run, groups) for run in runs),
        groups=groups,
        contrasts=tuple(differences),
        notes=notes_on(runs, groups),
    )


def _result(run: MeasuredRun, groups: Sequence[Group]) -> SystemResult:
    return SystemResult(
        run.name,
        run.manifest,
        run.protocol,
        {task: _task(run, task) for task in run.records},
        {
            group.name: accuracy([(run.records[task], run.outcomes(task)) for task in group.tasks])
            for group in groups
            if run.covers(group)
        },
        run.calls,
        run.cached_calls,
        run.missing_evidence,
    )


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
        repeat_measures(record, outcomes),
    )


def _contrasts(system: MeasuredRun, baseline: MeasuredRun, groups: Sequence[Group]) -> list[Contrast]:
    shared = [task for task in system.records if task in baseline.records]
    if not shared:
        raise UserError(f"{system.name} and {baseline.name} have no task in common; run both on the same --tasks")
    found = [_contrast(system, baseline, task, "task", (task,)) for task in shared]
    for group in groups:
        if system.covers(group) and baseline.covers(group):
            found.append(_contrast(system, baseline, group.name, "mean", group.tasks))
    return found


def _contrast(
    system: MeasuredRun, baseline: MeasuredRun, scope: str, kind: Literal["task", "mean"], tasks: Sequence[str]
) -> Contrast:
    pairs = {task: _pair(system, baseline, task) for task in tasks}

    def difference(ours: Reading, theirs: Reading) -> Estimate:
        values, weights = [], []
        for task, ids in pairs.items():
            a, b = system.outcomes(task), baseline.outcomes(task)
            # A sample that one side never ran is placed by the other.
            known = {i: a[i] if a[i].placed else b[i] for i in ids}
            for stratum in strata_of(system.records[task], known):
                values.append(([a[i].value(ours) for i in stratum.ids], [b[i].value(theirs) for i in stratum.ids]))
                weights.append(stratum.weight / len(pairs))
        return stratified_difference(values, weights)

    primary = difference("wrong", "wrong")
    if any(run.outcomes(task)[i].failed for run in (system, baseline) for task, ids in pairs.items() for i in ids):
        primary = widened(primary, low=difference("wrong", "right"), high=difference("right", "wrong"))
    return Contrast(system.name, baseline.name, scope, kind, primary)


def _pair(system: MeasuredRun, baseline: MeasuredRun, task: str) -> tuple[str, ...]:
    names = (system.name, baseline.name)
    ids = same_content(task, system.outcomes(task), baseline.outcomes(task), names)
    if not ids:
        raise UserError(f"task {task}: {names[0]} and {names[1]} share no sample_id; run both on the same samples")
    return ids


def _named(runs: Mapping[str, MeasuredRun], name: str) -> MeasuredRun:
    if name not in runs:
        raise UserError(f"no system is called {name!r}; the runs given hold {', '.join(map(repr, runs))}")
    return runs[name]


def _refuse_equal_names(runs: Sequence[MeasuredRun]) -> None:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two runs have the system name {name!r}; leave one out, or run it under another name")


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
