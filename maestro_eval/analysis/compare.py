"""Comparison of systems: an accuracy per task, a macro mean per group, paired differences.

Compared systems agree in metric, protocol, task definition and the content of each paired sample; otherwise UserError
names what differs. There is no mean over all tasks: each tag of the tasks that were run is a group with a mean, and
so is each of the user's own sets. An umbrella tag (``maestro_mini`` is one of ``maestro_mini_main`` and
``maestro_mini_ood``) is none, and generated mini benchmarks are never averaged with real ones. A group's mean exists
only for systems that ran all of its tasks. ``Comparison.notes`` list what is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from msgspec.structs import replace

from maestro_eval.analysis import comparison
from maestro_eval.analysis.breakdown import by_category, further_measures, repeat_measures
from maestro_eval.analysis.contrasts import (
    SharedSamples,
    adjusted,
    category_differences,
    contrasts_of,
    pairwise,
    reported_contrasts,
    shared_samples,
)
from maestro_eval.analysis.notes import notes_on, other_readings
from maestro_eval.analysis.published import published_notes, reported_name
from maestro_eval.analysis.reference import Reference
from maestro_eval.analysis.sample_scores import readings, same_content, sampled
from maestro_eval.analysis.scored_run import Explored, MeasuredRun, measure, with_distinct_names
from maestro_eval.analysis.stats.estimates import count_failed
from maestro_eval.analysis.stats.intervals import mean_interval
from maestro_eval.analysis.stats.significance import rank_intervals
from maestro_eval.records import ContrastSpec, TaskRecord, UserError
from maestro_eval.scoring import RunScores


def compare(
    systems: Sequence[RunScores],
    contrasts: Sequence[ContrastSpec] = (),
    *,
    references: Sequence[Reference] = (),
    adjust: comparison.Adjust = "holm",
    family: comparison.FamilyScope = "system",
    groups: Mapping[str, Sequence[str]] | None = None,
) -> comparison.Comparison:
    """Compare systems with each other by ``contrasts``, and each with the published numbers of ``references``.

    Samples pair by id, repeats averaged; samples that only one side has are left out of the difference, and
    ``difference.n`` counts the pairs. ``adjust`` corrects the p-values within each ``family``. ``groups`` are the
    user's own sets of tasks by name, each with a mean. Systems that share a name get distinct names.
    UserError if a system has a reference's name, a contrast names an unknown system or has no sample in common,
    or two runs differ in metric, protocol, task definition or sample content.
    """
    # Expectations and bounds are no systems: they come last.
    systems = sorted(systems, key=lambda scores: scores.kind != "run")
    runs = [measure(scores) for scores in with_distinct_names(systems)]
    names = Counter([*(run.name for run in runs), *map(reported_name, references)])
    if equal := next((name for name, count in names.items() if count > 1), None):
        raise UserError(
            f"two runs have the system name {equal!r}; run one under another name with --name, or leave one out"
        )
    for a, b in combinations(runs, 2):
        _refuse_unlike(a, b)
    grouped = (*groups_of(runs), *own_groups(runs, groups or {}))
    by_name = {run.name: run for run in runs}
    differences: list[comparison.Contrast] = []
    by_category: list[comparison.CategoryDifferences] = []
    for spec in contrasts:
        system, baseline = _named(by_name, spec.system), _named(by_name, spec.baseline)
        differences += contrasts_of(system, baseline, grouped)
        by_category += category_differences(system, baseline)
    reported: list[comparison.ReportedContrast] = []
    for reference in references:
        for run in runs:
            reported += reported_contrasts(run, reference, grouped)
    ranks: list[comparison.Ranking] = []
    matrices: list[comparison.Pairwise] = []
    for group in grouped:
        # Systems that early stopping ended on one of its tasks have no mean.
        ranked = [run for run in runs if run.is_system and run.covers(group) and not run.ended_early(group.tasks)]
        shared = shared_samples(ranked, group.tasks) if len(ranked) > 1 else None
        if shared is not None:
            ranks.append(_ranking(group, shared))
            # Two systems have one difference, which is requested as a contrast.
            if len(shared.runs) > 2:
                matrices.append(pairwise(group, shared, adjust, differences))
    published = [note for reference in references for note in published_notes(runs, reported, reference)]
    other = [found for scores, run in zip(systems, runs, strict=True) for found in other_readings(scores, run)]
    return comparison.Comparison(
        systems=tuple(_result(run, grouped) for run in runs),
        groups=grouped,
        contrasts=adjusted(differences, adjust, family),
        notes=(*notes_on([run for run in runs if run.is_system], grouped), *published),
        readings=tuple(other),
        references=tuple(references),
        reported=adjusted(reported, adjust, family),
        ranks=tuple(ranks),
        by_category=adjusted(by_category, adjust, family),
        pairwise=tuple(matrices),
        adjust=adjust,
        family=family,
    )


def _result(run: MeasuredRun, groups: Sequence[comparison.Group]) -> comparison.SystemResult:
    source = run.source
    return comparison.SystemResult(
        run.name,
        run.manifest,
        run.protocol,
        {task: _task(run, task) for task in run.records},
        {group.name: comparison.ScopeAccuracy(**_accuracy(run, group.tasks)) for group in groups if run.covers(group)},
        source.tally.calls,
        source.tally.cached_calls,
        source.tally.missing_evidence,
        source.failures,
        source.kind,
        source.tally.attempt,
    )


def _ranking(group: comparison.Group, shared: SharedSamples) -> comparison.Ranking:
    intervals = rank_intervals(shared.strata)
    ranks = {run.name: each for run, each in zip(shared.runs, intervals, strict=True)}
    return comparison.Ranking(group.name, dict(sorted(ranks.items(), key=lambda item: item[1].rank)))


def _task(run: MeasuredRun, name: str) -> comparison.TaskAccuracy:
    record, outcomes = run.records[name], run.outcomes(name)
    return comparison.TaskAccuracy(
        **_accuracy(run, [name]),
        metric=record.metric,
        categories=by_category(record, outcomes),
        others=further_measures(run.scores[name].others),
    )


def _accuracy(run: MeasuredRun, tasks: Sequence[str]) -> dict[str, Any]:
    chosen = run.chosen(tasks)
    strata = sampled(chosen)
    return {
        "accuracy": mean_interval(strata),
        "n_failed": count_failed(strata),
        "n_lacking": sum(run.source.tally.lacking.get(task, 0) for task in tasks),
        "repeats": repeat_measures(chosen),
        "readings": readings(chosen),
    }


def _named(runs: Mapping[str, MeasuredRun], name: str) -> MeasuredRun:
    if name not in runs:
        raise UserError(f"no system is called {name!r}; the runs given hold {', '.join(map(repr, runs))}")
    return runs[name]


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


_PREFIX = "maestro_"
_MINI = "maestro_mini"


def is_mini(task: TaskRecord) -> bool:
    return task.name.startswith(_MINI) or _MINI in task.tags


def groups_of(runs: Sequence[MeasuredRun | Explored]) -> tuple[comparison.Group, ...]:
    tags: dict[str, dict[str, TaskRecord]] = {}
    for run in runs:
        for record in run.records.values():
            for tag in record.tags:
                tags.setdefault(tag, {})[record.name] = record
    found = []
    for tag, records in tags.items():
        umbrella = any(other.startswith(f"{tag}_") for other in tags)
        kinds = {is_mini(record) for record in records.values()}
        if not umbrella and len(kinds) == 1:
            members = dict.fromkeys(task for run in runs for task in run.manifest.groups.get(tag, ()))
            absent = tuple(task for task in members if task not in records)
            found.append(comparison.Group(_mean_name(tag, tags), tuple(records), kinds.pop(), absent))
    return tuple(replace(group, within=_container(group, found)) for group in found)


def own_groups(runs: Sequence[MeasuredRun], wanted: Mapping[str, Sequence[str]]) -> tuple[comparison.Group, ...]:
    """Return the user's own groups. A tag among the tasks means those of its tasks that were run.

    UserError for a task that was not run, and for a group that mixes mini benchmarks with others.
    """
    records = {record.name: record for run in runs for record in run.records.values()}
    used = {group.name for group in groups_of(runs)} | set(records)
    found = []
    for name, tasks in wanted.items():
        if name in used:
            raise UserError(f"--group {name}: is the name of a task or a group already; choose another")
        named = {task: tasks_named(task, records) for task in tasks}
        if missing := [task for task, found_tasks in named.items() if not found_tasks]:
            raise UserError(f"--group {name}: {missing[0]} was not run; there are {', '.join(records)}")
        members = tuple(dict.fromkeys(member for each in named.values() for member in each))
        if len({is_mini(records[member]) for member in members}) > 1:
            raise UserError(f"--group {name}: mixes generated mini benchmarks with others; they have no common mean")
        found.append(comparison.Group(name, members, is_mini(records[members[0]])))
    return tuple(found)


def tasks_named(name: str, records: Mapping[str, TaskRecord]) -> list[str]:
    names = {name, f"{_PREFIX}{name}"}
    found = [record.name for record in records.values() if record.name in names]
    return found or [record.name for record in records.values() if names & set(record.tags)]


def _container(group: comparison.Group, groups: Sequence[comparison.Group]) -> str:
    """Return the largest group that contains ``group``'s tasks, run or not; the first of several with equal tasks."""
    tasks, place = _members(group), groups.index(group)
    holders = [
        other
        for index, other in enumerate(groups)
        if tasks < _members(other) or (tasks == _members(other) and index < place)
    ]
    return max(holders, key=lambda other: len(_members(other))).name if holders else ""


def _members(group: comparison.Group) -> set[str]:
    return {*group.tasks, *group.absent}


def _mean_name(tag: str, tags: Mapping[str, Mapping[str, TaskRecord]]) -> str:
    short = tag.removeprefix(_PREFIX)
    tasks = {task for records in tags.values() for task in records}
    # Scopes are looked up by name alone, so a mean needs a name that no task and no other tag has.
    return f"mean_{tag}" if short in tasks or (short != tag and short in tags) else short
