"""Generates mini benchmarks: small seeded substitutes with the schemas of real benchmarks.

They allow a run without datasets; their scores are unrelated to the real benchmarks. A row depends only on
(seed, task, index), see ``stage``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini import blind, charts, counting, geometry, perception, text
from maestro_eval.embedded.mini.parquet import write_rows
from maestro_eval.embedded.mini.stage import Picture, Stage
from maestro_eval.records import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["MINI_TASKS", "make_mini"]

_MAKERS: dict[str, tuple[Callable[[Stage], DataclassInstance], type[DataclassInstance]]] = {
    "maestro_mini_chartqa": (charts.make, charts.ChartRow),
    "maestro_mini_tallyqa": (counting.make, counting.CountingRow),
    "maestro_mini_geometry3k": (geometry.make, geometry.GeometryRow),
    "maestro_mini_vstar": (perception.make, perception.PerceptionRow),
    "maestro_mini_vlmsareblind": (blind.make, blind.BlindRow),
    "maestro_mini_ocrbench": (text.make, text.TextRow),
}
MINI_TASKS = tuple(_MAKERS)

# Rows per requested sample: vlmsareblind has seven tasks, and ``per_task`` counts the samples of each.
_ROWS = {"maestro_mini_vlmsareblind": len(blind.TASKS)}


def make_mini(folder: Path, *, seed: int, per_task: Mapping[str, int] | int) -> dict[str, Path]:
    """Write ``folder/<task>/test.parquet`` for each mini task (those in ``per_task``, if it is a mapping).

    ``per_task`` is how many samples a task gets; ``maestro_mini_vlmsareblind`` gets that many for *each* of
    its seven tasks, in turn, so any multiple of seven rows from the start is balanced. A longer benchmark
    begins with the rows of the shorter. Raise UserError for an unknown task, an invalid number or a missing
    package.
    """
    counts = dict.fromkeys(MINI_TASKS, per_task) if isinstance(per_task, int) else dict(per_task)
    if seed < 0:
        raise UserError(f"seed {seed}: must be 0 or more")
    for task, count in counts.items():
        if task not in _MAKERS:
            raise UserError(f"{task}: no mini task; there are {', '.join(MINI_TASKS)}")
        if count < 1:
            raise UserError(f"{task}: {count} samples asked for; must be 1 or more")
    written = {task: folder / task / "test.parquet" for task in counts}
    try:
        # The generators import their drawing packages on use.
        for task, count in counts.items():
            maker, kind = _MAKERS[task]
            write_rows(written[task], _rows(task, maker, seed, count * _ROWS.get(task, 1)), kind)
    except ImportError as error:
        raise UserError(f"the mini benchmarks need {error.name}; pip install 'maestro-eval[embedded]'") from error
    return written


def _rows(task: str, maker: Callable[[Stage], DataclassInstance], seed: int, count: int) -> list[DataclassInstance]:
    rows = []
    seen: set[bytes] = set()
    for index in range(count):
        stage = Stage(seed, task, index)
        row = maker(stage)
        while (mark := _digest(row)) in seen:
            stage = stage.retry()
            row = maker(stage)
        seen.add(mark)
        rows.append(row)
    return rows


def _digest(row: DataclassInstance) -> bytes:
    """Return a digest of a row's question and pixels, without its id."""
    parts = []
    for field in fields(row):
        value = getattr(row, field.name)
        pictures = value if isinstance(value, tuple) else (value,)
        if all(isinstance(picture, Picture) for picture in pictures):
            parts += [picture.data for picture in pictures]
        elif "id" not in field.name:
            parts.append(repr(value).encode())
    return hashlib.sha256(b"\0".join(parts)).digest()
