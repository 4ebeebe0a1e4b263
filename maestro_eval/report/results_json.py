"""``results.json``: a comparison for other programs, in the format that ``results.schema.json`` fixes.

The file is written whole from the runs given, never merged into an older one, so it holds what one comparison
held and nothing stale. Numbers are fractions rounded to 6 decimals. Fields are only ever added to schema 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from maestro_eval.analysis import Comparison, Contrast, Estimate, Measure, RepeatMeasures, SystemResult, TaskAccuracy
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
    """A macro mean over the tasks of a group."""

    value: float
    low: float
    high: float


class RepeatsEntry(Struct, frozen=True):
    """What ``k`` answers to each sample tell. ``pass_at`` is by j, and empty where values are not all 0 or 1."""

    k: int
    avg: MeanEntry
    pass_at: dict[str, MeanEntry]
    majority: MeanEntry


class TaskEntry(Struct, frozen=True, omit_defaults=True):
    """An accuracy on a task: ``n`` samples, of which ``n_failed`` failed or never ran and count as wrong.

    What a task does not have of the last three is left out.
    """

    value: float
    low: float
    high: float
    n: int
    n_failed: int
    metric: str
    protocol: str
    categories: dict[str, CategoryEntry] = field(default_factory=dict)
    others: dict[str, MeasureEntry] = field(default_factory=dict)
    repeats: RepeatsEntry | None = None


class SystemEntry(Struct, frozen=True):
    """A system; ``run`` is its run folder, relative to the file where that is possible."""

    name: str
    policy: str
    registry: str
    run: str
    tasks: dict[str, TaskEntry]
    means: dict[str, MeanEntry]


class ContrastEntry(Struct, frozen=True):
    """System minus baseline on a task or a group (``scope``), over ``n_paired`` samples."""

    system: str
    baseline: str
    scope: str
    delta: float
    low: float
    high: float
    n_paired: int
    method: str


class Results(Struct, frozen=True):
    """The whole file."""

    schema: int
    systems: tuple[SystemEntry, ...]
    contrasts: tuple[ContrastEntry, ...]


def results(comparison: Comparison, runs: Mapping[str, str]) -> Results:
    """``comparison`` in the file's shape; ``runs`` gives each system's run folder as it is to be written."""
    return Results(
        schema=1,
        systems=tuple(_system(system, runs[system.name]) for system in comparison.systems),
        contrasts=tuple(map(_contrast, comparison.contrasts)),
    )


def write_results(path: Path, comparison: Comparison, folders: Mapping[str, Path]) -> None:
    """Write ``comparison`` to ``path``, whole or not at all; ``folders`` gives each system's run folder."""
    runs = {name: _relative(folder, path.parent) for name, folder in folders.items()}
    encoded = msgspec.json.encode(results(comparison, runs))
    write_atomic(path, msgspec.json.format(encoded, indent=2) + b"\n")


def results_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file."""
    schema: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("results.schema.json").read_bytes())
    return schema


def _system(system: SystemResult, run: str) -> SystemEntry:
    return SystemEntry(
        name=system.name,
        policy=system.manifest.policy,
        registry=system.manifest.registry.name,
        run=run,
        tasks={name: _task(task) for name, task in system.tasks.items()},
        means={name: MeanEntry(*_numbers(mean)) for name, mean in system.means.items()},
    )


def _task(task: TaskAccuracy) -> TaskEntry:
    return TaskEntry(
        *_numbers(task.accuracy),
        task.accuracy.n,
        task.n_failed,
        task.metric,
        task.protocol,
        {
            name: CategoryEntry(*_numbers(each.accuracy), each.accuracy.n, each.n_failed)
            for name, each in task.categories.items()
        },
        {name: _measure(measure) for name, measure in task.others.items()},
        None if task.repeats is None else _repeats(task.repeats),
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
    )


def _contrast(contrast: Contrast) -> ContrastEntry:
    difference = contrast.difference
    return ContrastEntry(
        contrast.system, contrast.baseline, contrast.scope, *_numbers(difference), difference.n, difference.method
    )


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    return _rounded(estimate.value), _rounded(estimate.low), _rounded(estimate.high)


def _rounded(number: float) -> float:
    # Adding zero turns −0.0, which rounding can leave, into 0.0.
    return round(number, _DECIMALS) + 0.0


def _relative(folder: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(folder, start)).as_posix()
    except ValueError:  # on another drive
        return folder.as_posix()
