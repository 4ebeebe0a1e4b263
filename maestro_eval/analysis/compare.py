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

import msgspec
from msgspec import Struct

from maestro_eval.analysis.outcomes import (
    Outcomes,
    Reading,
    accuracy,
    count_failed,
    same_content,
    strata_of,
    task_outcomes,
    widened,
)
from maestro_eval.analysis.stats import Estimate, stratified_difference
from maestro_eval.scoring import RunScores
from maestro_eval.types import RunManifest, TaskRecord, UserError

_PREFIX = "maestro_"
_MINI = "maestro_mini"

Verdict = Literal["better", "worse", "not decided"]


class ContrastSpec(Struct, frozen=True):
    """The question whether ``system`` is better than ``baseline``, on each shared task and group."""

    system: str
    baseline: str


class TaskAccuracy(Struct, frozen=True):
    """A system's accuracy on a task. ``n_failed`` samples had a rollout that failed or never ran."""

    task: str
    accuracy: Estimate
    n_failed: int
    metric: str
    protocol: str


class SystemResult(Struct, frozen=True):
    """A row of the table. ``means`` are by group name, of the groups whose tasks the system ran whole.

    ``calls`` are its model calls, ``cached_calls`` those that cost no request; ``missing_evidence`` counts by service
    what its experts had to do without.
    """

    name: str
    manifest: RunManifest
    protocol: str
    tasks: dict[str, TaskAccuracy]
    means: dict[str, Estimate]
    calls: int = 0
    cached_calls: int = 0
    missing_evidence: dict[str, int] = msgspec.field(default_factory=dict)


class Contrast(Struct, frozen=True):
    """System minus baseline on a scope: a task, or a group's mean. ``difference.n`` counts the pairs."""

    system: str
    baseline: str
    scope: str
    kind: Literal["task", "mean"]
    difference: Estimate

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0: nothing is adjusted for how many contrasts are looked at."""
        return self.difference.excludes_zero

    @property
    def verdict(self) -> Verdict:
        if not self.significant:
            return "not decided"
        return "better" if self.difference.low > 0 else "worse"


class Group(Struct, frozen=True):
    """The tasks that share a tag, of those that were run. ``name`` is the tag without ``maestro_``.

    ``mini`` says that they are generated, ``absent`` names the tag's tasks that no system here has run.
    """

    name: str
    tasks: tuple[str, ...]
    mini: bool
    absent: tuple[str, ...] = ()


class Comparison(Struct, frozen=True):
    """All that a table needs. ``notes`` are lines on what was left out, and on what differs between systems."""

    systems: tuple[SystemResult, ...]
    groups: tuple[Group, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]


class _Run(Struct, frozen=True):
    """A run's scores by task, in the manifest's order, with each task's record."""

    name: str
    manifest: RunManifest
    protocol: str
    records: dict[str, TaskRecord]
    outcomes: dict[str, Outcomes]
    calls: int
    cached_calls: int
    missing_evidence: dict[str, int]


def compare(systems: Sequence[RunScores], contrasts: Sequence[ContrastSpec] = ()) -> Comparison:
    """Accuracies and means of every system, and the contrasts asked for.

    Samples pair by id, repeats averaged; samples that only one side has are left out of the difference, and
    ``difference.n`` says how many remain. UserError where two systems share a name, a contrast names an unknown
    system or has no sample in common, or two runs differ in metric, protocol, task definition or sample content.
    """
    runs = [_run(scores) for scores in systems]
    _refuse_equal_names(runs)
    for a, b in combinations(runs, 2):
        _refuse_unlike(a, b)
    groups = _groups(runs)
    by_name = {run.name: run for run in runs}
    differences: list[Contrast] = []
    for spec in contrasts:
        differences += _contrasts(_named(by_name, spec.system), _named(by_name, spec.baseline), groups)
    return Comparison(
        systems=tuple(_result(run, groups) for run in runs),
        groups=groups,
        contrasts=tuple(differences),
        notes=(
            *_incomplete_groups(runs, groups),
            *_missing_evidence(runs),
            *_differing_samples(runs),
            *_differing_rules(runs),
        ),
    )


def is_mini(task: TaskRecord) -> bool:
    """Whether a task is one of the generated mini benchmarks, which resemble a benchmark and are not it."""
    return task.name.startswith(_MINI) or _MINI in task.tags


def _run(scores: RunScores) -> _Run:
    outcomes = task_outcomes(scores.scores)
    records = {task.name: task for task in scores.manifest.tasks if task.name in outcomes}
    return _Run(
        scores.manifest.system,
        scores.manifest,
        scores.protocol,
        records,
        {name: outcomes[name] for name in records},
        scores.calls,
        scores.cached_calls,
        scores.missing_evidence,
    )


def _result(run: _Run, groups: Sequence[Group]) -> SystemResult:
    tasks = {
        name: TaskAccuracy(
            name,
            accuracy([(record, run.outcomes[name])]),
            count_failed(run.outcomes[name].values()),
            record.metric,
            run.protocol,
        )
        for name, record in run.records.items()
    }
    means = {
        group.name: accuracy([(run.records[task], run.outcomes[task]) for task in group.tasks])
        for group in groups
        if _covers(run, group)
    }
    return SystemResult(
        run.name, run.manifest, run.protocol, tasks, means, run.calls, run.cached_calls, run.missing_evidence
    )


def _contrasts(system: _Run, baseline: _Run, groups: Sequence[Group]) -> list[Contrast]:
    shared = [task for task in system.records if task in baseline.records]
    if not shared:
        raise UserError(f"{system.name} and {baseline.name} have no task in common; run both on the same --tasks")
    found = [_contrast(system, baseline, task, "task", (task,)) for task in shared]
    for group in groups:
        if _covers(system, group) and _covers(baseline, group):
            found.append(_contrast(system, baseline, group.name, "mean", group.tasks))
    return found


def _contrast(
    system: _Run, baseline: _Run, scope: str, kind: Literal["task", "mean"], tasks: Sequence[str]
) -> Contrast:
    pairs = {task: _pair(system, baseline, task) for task in tasks}

    def difference(ours: Reading, theirs: Reading) -> Estimate:
        values, weights = [], []
        for task, ids in pairs.items():
            a, b = system.outcomes[task], baseline.outcomes[task]
            # A sample that one side never ran has its category from the other.
            known = {i: a[i] if a[i].category else b[i] for i in ids}
            for stratum in strata_of(system.records[task], known):
                values.append(([a[i].value(ours) for i in stratum.ids], [b[i].value(theirs) for i in stratum.ids]))
                weights.append(stratum.weight / len(pairs))
        return stratified_difference(values, weights)

    primary = difference("wrong", "wrong")
    if any(run.outcomes[task][i].failed for run in (system, baseline) for task, ids in pairs.items() for i in ids):
        primary = widened(primary, low=difference("wrong", "right"), high=difference("right", "wrong"))
    return Contrast(system.name, baseline.name, scope, kind, primary)


def _pair(system: _Run, baseline: _Run, task: str) -> tuple[str, ...]:
    names = (system.name, baseline.name)
    ids = same_content(task, system.outcomes[task], baseline.outcomes[task], names)
    if not ids:
        raise UserError(f"task {task}: {names[0]} and {names[1]} share no sample_id; run both on the same samples")
    return ids


def _groups(runs: Sequence[_Run]) -> tuple[Group, ...]:
    """The groups in the order in which their tags first appear; tags that gather several groups are not one."""
    tags: dict[str, dict[str, TaskRecord]] = {}
    for run in runs:
        for record in run.records.values():
            for tag in record.tags:
                tags.setdefault(tag, {})[record.name] = record
    found = []
    for tag, records in tags.items():
        # maestro_mini stands above maestro_mini_main and maestro_mini_ood: its mean would mix the two.
        umbrella = any(other.startswith(f"{tag}_") for other in tags)
        kinds = {is_mini(record) for record in records.values()}
        if not umbrella and len(kinds) == 1:
            members = dict.fromkeys(task for run in runs for task in run.manifest.groups.get(tag, ()))
            absent = tuple(task for task in members if task not in records)
            found.append(Group(_mean_name(tag, tags), tuple(records), kinds.pop(), absent))
    return tuple(found)


def _mean_name(tag: str, tags: Mapping[str, Mapping[str, TaskRecord]]) -> str:
    short = tag.removeprefix(_PREFIX)
    tasks = {task for records in tags.values() for task in records}
    # A scope is found by its name alone, so a mean may not be called as a task or another tag is.
    return f"mean_{tag}" if short in tasks or (short != tag and short in tags) else short


def _covers(run: _Run, group: Group) -> bool:
    return not group.absent and all(task in run.records for task in group.tasks)


def _named(runs: Mapping[str, _Run], name: str) -> _Run:
    if name not in runs:
        raise UserError(f"no system is called {name!r}; the runs given hold {', '.join(map(repr, runs))}")
    return runs[name]


def _refuse_equal_names(runs: Sequence[_Run]) -> None:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two runs have the system name {name!r}; leave one out, or run it under another name")


def _refuse_unlike(a: _Run, b: _Run) -> None:
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
        same_content(task, a.outcomes[task], b.outcomes[task], (a.name, b.name))


def _incomplete_groups(runs: Sequence[_Run], groups: Sequence[Group]) -> list[str]:
    unasked = [
        f"there is no mean of {group.name}: it needs {', '.join(group.absent)} too" for group in groups if group.absent
    ]
    return unasked + [
        f"{run.name} has no mean of {group.name}: it did not run {', '.join(missing)}"
        for group in groups
        if not group.absent
        for run in runs
        if (missing := [task for task in group.tasks if task not in run.records]) and len(missing) < len(group.tasks)
    ]


def _missing_evidence(runs: Sequence[_Run]) -> list[str]:
    return [
        f"{run.name} went without the evidence of {service} for {count} images"
        for run in runs
        for service, count in run.missing_evidence.items()
    ]


def _differing_samples(runs: Sequence[_Run]) -> list[str]:
    lines = []
    for task in dict.fromkeys(task for run in runs for task in run.records):
        samples = {run.name: run.outcomes[task].keys() for run in runs if task in run.records}
        if len({frozenset(ids) for ids in samples.values()}) > 1:
            counts = "; ".join(f"{name}: {len(ids)}" for name, ids in samples.items())
            lines.append(f"{task}: the systems were asked different samples ({counts}); only shared ones are paired")
    return lines


def _differing_rules(runs: Sequence[_Run]) -> list[str]:
    """What may move scores and is not what the systems are named for: said, not refused."""
    settings = [
        {"seed": run.manifest.seed, "repeats": run.manifest.repeats}
        | {f"regime.{key}": value for key, value in msgspec.to_builtins(run.manifest.regime).items()}
        | {f"sampling.{key}": value for key, value in msgspec.to_builtins(run.manifest.sampling).items()}
        for run in runs
    ]
    lines = []
    for field in settings[0] if settings else ():
        values = [setting[field] for setting in settings]
        if any(value != values[0] for value in values):
            listed = "; ".join(f"{run.name}: {value}" for run, value in zip(runs, values, strict=True))
            lines.append(f"{field} differs ({listed})")
    return lines
