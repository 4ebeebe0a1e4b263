"""``results.json``: a comparison for other programs, in the format that ``results.schema.json`` fixes.

The file is written whole from the runs given, never merged into an older one, so it holds what one comparison
held and nothing stale. Numbers are fractions rounded to 6 decimals, p-values to 4 digits. Fields are only ever added
to schema 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from maestro_eval.analysis import (
    CategoryDifferences,
    Comparison,
    Contrast,
    Estimate,
    Group,
    Measure,
    Readings,
    Reference,
    RepeatMeasures,
    ReportedContrast,
    SystemResult,
    TaskAccuracy,
)
from maestro_eval.files import write_atomic

_DECIMALS = 6


class CategoryEntry(Struct, frozen=True):
    """A task's accuracy on one category."""

    value: float
    low: float
    high: float
    n: int
    n_failed: int


class MeasureEntry(Struct, frozen=True):
    """The mean of a further measure over the ``n`` samples that have one; any numbers, not only fractions."""

    value: float
    low: float | None
    high: float | None
    n: int
    method: str


class MeanEntry(Struct, frozen=True):
    """A mean with its interval."""

    value: float
    low: float
    high: float


class GroupEntry(Struct, frozen=True, omit_defaults=True):
    """A macro mean over the tasks of a group. ``completed`` and ``failures_right`` are there where something failed."""

    value: float
    low: float
    high: float
    n: int
    n_failed: int
    method: str
    completed: MeanEntry | None = None
    failures_right: float | None = None
    repeats: RepeatsEntry | None = None


class RepeatsEntry(Struct, frozen=True):
    """What ``k`` answers to each sample tell. ``pass_at`` is by j, and empty where values are not all 0 or 1.

    ``rerun_sd`` is the standard deviation of one pass's accuracy by asking the same system again.
    """

    k: int
    avg: MeanEntry
    pass_at: dict[str, MeanEntry]
    majority: MeanEntry
    rerun_sd: float


class TaskEntry(Struct, frozen=True, omit_defaults=True):
    """An accuracy on a task: ``n`` samples, of which ``n_failed`` failed or never ran and count as wrong.

    ``completed`` is the mean of what did not fail, ``failures_right`` the accuracy had it all been right. What a task
    does not have of the last six is left out. ``n_lacking`` rollouts lacked evidence that a service failed to give.
    """

    value: float
    low: float
    high: float
    n: int
    n_failed: int
    metric: str
    protocol: str
    method: str
    categories: dict[str, CategoryEntry] = field(default_factory=dict)
    others: dict[str, MeasureEntry] = field(default_factory=dict)
    repeats: RepeatsEntry | None = None
    completed: MeanEntry | None = None
    failures_right: float | None = None
    n_lacking: int = 0


class FailureEntry(Struct, frozen=True):
    """``count`` rollouts without a score for one ``cause``; the first of them, and its own line."""

    cause: str
    count: int
    task: str
    sample_id: str
    repeat: int
    detail: str


class SystemEntry(Struct, frozen=True, omit_defaults=True):
    """A system; ``run`` is its run folder, relative to the file where that is possible.

    ``missing_evidence`` counts by service what it failed to give; ``failures`` are by cause, the most frequent first.
    What there is none of is left out. ``kind`` is left out of runs: a row of another kind is no system.
    """

    name: str
    policy: str
    registry: str
    run: str
    tasks: dict[str, TaskEntry]
    means: dict[str, GroupEntry]
    missing_evidence: dict[str, int] = field(default_factory=dict)
    failures: tuple[FailureEntry, ...] = ()
    kind: str = "run"


class ContrastEntry(Struct, frozen=True, omit_defaults=True):
    """System minus baseline on a task or a group (``scope``), over ``n_paired`` samples, ``n_failed`` with a failure.

    ``p`` is adjusted as ``Results`` says in ``p_adjusted``.
    """

    system: str
    baseline: str
    scope: str
    delta: float
    low: float
    high: float
    n_paired: int
    method: str
    n_failed: int
    verdict: str
    p: float | None = None
    p_adjusted: float | None = None
    p_method: str = ""
    completed: MeanEntry | None = None


class CategoryDifferenceEntry(Struct, frozen=True):
    """System minus baseline on one category."""

    delta: float
    low: float
    high: float
    n_paired: int
    n_failed: int


class CategoryDifferencesEntry(Struct, frozen=True):
    """The differences of a task by category; ``p`` is of the test whether they are equal."""

    system: str
    baseline: str
    scope: str
    p: float
    p_adjusted: float | None
    p_method: str
    categories: dict[str, CategoryDifferenceEntry]


class ReportedEntry(Struct, frozen=True, omit_defaults=True):
    """System minus a published ``value``, which is taken as fixed: nothing is paired."""

    system: str
    reference: str
    scope: str
    value: float
    mark: str
    delta: float
    low: float
    high: float
    n: int
    method: str
    verdict: str
    p: float | None = None
    p_adjusted: float | None = None
    p_method: str = ""


class ReportedNumber(Struct, frozen=True):
    """A published number; ``n`` samples where that is known."""

    value: float
    mark: str
    n: int | None


class ReferenceEntry(Struct, frozen=True):
    """Published numbers: ``values`` by scope, each with its mark of provenance."""

    name: str
    system: str
    citation: str
    where: str
    date: str
    values: dict[str, ReportedNumber]


class RankEntry(Struct, frozen=True):
    """A rank with its interval."""

    rank: int
    low: int
    high: int


class Results(Struct, frozen=True, omit_defaults=True):
    """The whole file. ``ranks`` are by group and system. What there is none of after ``family`` is left out."""

    schema: int
    systems: tuple[SystemEntry, ...]
    contrasts: tuple[ContrastEntry, ...]
    notes: tuple[str, ...]
    adjust: str
    family: str
    ranks: dict[str, dict[str, RankEntry]] = field(default_factory=dict)
    references: tuple[ReferenceEntry, ...] = ()
    reported: tuple[ReportedEntry, ...] = ()
    by_category: tuple[CategoryDifferencesEntry, ...] = ()
    pairwise: dict[str, tuple[ContrastEntry, ...]] = field(default_factory=dict)


def results(comparison: Comparison, runs: Mapping[str, str]) -> Results:
    """``comparison`` in the file's shape; ``runs`` gives each system's run folder as it is to be written."""
    return Results(
        schema=1,
        systems=tuple(_system(system, runs[system.name], comparison.groups) for system in comparison.systems),
        contrasts=tuple(map(_contrast, comparison.contrasts)),
        notes=comparison.notes,
        adjust=comparison.adjust,
        family=comparison.family,
        ranks={
            ranking.scope: {name: RankEntry(each.rank, each.low, each.high) for name, each in ranking.ranks.items()}
            for ranking in comparison.ranks
        },
        references=tuple(map(_reference, comparison.references)),
        reported=tuple(map(_reported, comparison.reported)),
        by_category=tuple(map(_by_category, comparison.by_category)),
        pairwise={each.scope: tuple(map(_contrast, each.contrasts)) for each in comparison.pairwise},
    )


def render_results(comparison: Comparison, folders: Mapping[str, Path], start: Path) -> str:
    """The file's text, as it would stand in the folder ``start``."""
    runs = {name: _relative(folder, start) for name, folder in folders.items()}
    encoded = msgspec.json.encode(results(comparison, runs))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def write_results(path: Path, comparison: Comparison, folders: Mapping[str, Path]) -> None:
    """Write ``comparison`` to ``path``, whole or not at all; ``folders`` gives each system's run folder."""
    write_atomic(path, render_results(comparison, folders, path.parent))


def results_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file."""
    schema: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("results.schema.json").read_bytes())
    return schema


def _system(system: SystemResult, run: str, groups: Sequence[Group]) -> SystemEntry:
    failed = {
        group.name: sum(system.tasks[task].n_failed for task in group.tasks)
        for group in groups
        if group.name in system.means
    }
    return SystemEntry(
        name=system.name,
        policy=system.manifest.policy,
        registry=system.manifest.registry.name,
        run=run,
        tasks={name: _task(task) for name, task in system.tasks.items()},
        means={
            name: _group(mean, failed.get(name, 0), system.mean_readings.get(name), system.mean_repeats.get(name))
            for name, mean in system.means.items()
        },
        missing_evidence=system.missing_evidence,
        failures=tuple(
            FailureEntry(each.cause, each.count, each.key.task, each.key.sample_id, each.key.repeat, each.detail)
            for each in system.failures
        ),
        kind=system.kind,
    )


def _group(mean: Estimate, failed: int, readings: Readings | None, repeats: RepeatMeasures | None) -> GroupEntry:
    asked = None if repeats is None else _repeats(repeats)
    return GroupEntry(*_numbers(mean), mean.n, failed, mean.method, _completed(readings), _right(readings), asked)


def _completed(readings: Readings | None) -> MeanEntry | None:
    if readings is None or readings.completed is None:
        return None
    return MeanEntry(*_numbers(readings.completed))


def _right(readings: Readings | None) -> float | None:
    return None if readings is None else _rounded(readings.best)


def _task(task: TaskAccuracy) -> TaskEntry:
    return TaskEntry(
        *_numbers(task.accuracy),
        task.accuracy.n,
        task.n_failed,
        task.metric,
        task.protocol,
        task.accuracy.method,
        {
            name: CategoryEntry(*_numbers(each.accuracy), each.accuracy.n, each.n_failed)
            for name, each in task.categories.items()
        },
        {name: _measure(measure) for name, measure in task.others.items()},
        None if task.repeats is None else _repeats(task.repeats),
        _completed(task.readings),
        _right(task.readings),
        task.n_lacking,
    )


def _measure(measure: Measure) -> MeasureEntry:
    low, high = (None if end is None else _rounded(end) for end in (measure.low, measure.high))
    return MeasureEntry(_rounded(measure.value), low, high, measure.n, measure.method)


def _repeats(measures: RepeatMeasures) -> RepeatsEntry:
    return RepeatsEntry(
        measures.k,
        MeanEntry(*_numbers(measures.average)),
        {str(j): MeanEntry(*_numbers(estimate)) for j, estimate in measures.pass_at.items()},
        MeanEntry(*_numbers(measures.majority)),
        _rounded(measures.rerun),
    )


def _contrast(contrast: Contrast) -> ContrastEntry:
    difference, test = contrast.difference, _test(contrast)
    return ContrastEntry(
        contrast.system,
        contrast.baseline,
        contrast.scope,
        *_numbers(difference),
        difference.n,
        difference.method,
        contrast.n_failed,
        contrast.verdict,
        test.p,
        test.p_adjusted,
        test.method,
        None if contrast.completed is None else MeanEntry(*_numbers(contrast.completed)),
    )


def _by_category(found: CategoryDifferences) -> CategoryDifferencesEntry:
    test = _test(found)
    return CategoryDifferencesEntry(
        found.system,
        found.baseline,
        found.scope,
        _significant(found.p.value),
        test.p_adjusted,
        test.method,
        {
            name: CategoryDifferenceEntry(*_numbers(each.difference), each.difference.n, each.n_failed)
            for name, each in found.categories.items()
        },
    )


def _reported(contrast: ReportedContrast) -> ReportedEntry:
    difference, test = contrast.difference, _test(contrast)
    return ReportedEntry(
        contrast.system,
        contrast.reference.name,
        contrast.scope,
        _rounded(contrast.reported.value),
        contrast.reported.mark,
        *_numbers(difference),
        difference.n,
        difference.method,
        contrast.verdict,
        test.p,
        test.p_adjusted,
        test.method,
    )


class _Test(Struct, frozen=True):
    p: float | None
    p_adjusted: float | None
    method: str


def _test(contrast: Contrast | ReportedContrast | CategoryDifferences) -> _Test:
    p, adjusted = contrast.p, contrast.p_adjusted
    return _Test(
        None if p is None else _significant(p.value),
        None if adjusted is None else _significant(adjusted),
        "" if p is None else p.method,
    )


def _reference(reference: Reference) -> ReferenceEntry:
    values = {
        scope: ReportedNumber(_rounded(value.value), value.mark, value.n) for scope, value in reference.values.items()
    }
    return ReferenceEntry(reference.name, reference.system, reference.citation, reference.where, reference.date, values)


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    return _rounded(estimate.value), _rounded(estimate.low), _rounded(estimate.high)


def _rounded(number: float) -> float:
    # Adding zero turns −0.0, which rounding can leave, into 0.0.
    return round(number, _DECIMALS) + 0.0


def _significant(p: float) -> float:
    """A p-value to four significant digits: rounded to decimals, a small one would be 0."""
    return float(f"{p:.4g}")


def _relative(folder: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(folder, start)).as_posix()
    except ValueError:  # on another drive
        return folder.as_posix()
