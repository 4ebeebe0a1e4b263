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
from msgspec import Struct

from maestro_eval.analysis import Comparison, Contrast, Estimate, SystemResult, TaskAccuracy
from maestro_eval.files import write_atomic

_DECIMALS = 6


class TaskEntry(Struct, frozen=True):
    """An accuracy on a task: ``n`` samples, of which ``n_failed`` failed or never ran and count as wrong."""

    value: float
    low: float
    high: float
    n: int
    n_failed: int
    metric: str
    protocol: str


class MeanEntry(Struct, frozen=True):
    """A macro mean over the tasks of a group."""

    value: float
    low: float
    high: float


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
    return TaskEntry(*_numbers(task.accuracy), task.accuracy.n, task.n_failed, task.metric, task.protocol)


def _contrast(contrast: Contrast) -> ContrastEntry:
    difference = contrast.difference
    return ContrastEntry(
        contrast.system, contrast.baseline, contrast.scope, *_numbers(difference), difference.n, difference.method
    )


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    # Adding zero turns −0.0, which rounding can leave, into 0.0.
    value, low, high = (round(number, _DECIMALS) + 0.0 for number in (estimate.value, estimate.low, estimate.high))
    return value, low, high


def _relative(folder: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(folder, start)).as_posix()
    except ValueError:  # on another drive
        return folder.as_posix()
