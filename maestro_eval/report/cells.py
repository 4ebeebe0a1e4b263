"""What a table is made of: its columns, rows and cells, and how a number or a name is written in one.

Nothing here knows how wide a screen is or how a table is drawn. Every text that came from a user, a file name or
a model's name is made ``printable``; escaping for a format's own syntax is that format's job.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from maestro_eval.analysis import Comparison, Estimate
from maestro_eval.records import RolloutKey

FAILURE_MARK = "†"
LACKING_MARK = "‡"
MISSING = "–"

_LOPSIDED = 1.0
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Cell(Struct, frozen=True):
    """An accuracy: ``value`` as "75.0" with a failure mark, ``interval`` as "±1.2" or "[64–84]", which may be empty."""

    value: str
    interval: str = ""
    best: bool = False


class Column(Struct, frozen=True):
    """A task or a group's mean, by its short name; in tables of other things, what its cells are.

    ``text`` says that its cells are words and not numbers, ``minor`` that it may be left out where there is no room.
    """

    title: str
    is_mean: bool = False
    text: bool = False
    minor: bool = False


class Row(Struct, frozen=True):
    """One system (or task, or category: ``Table.corner`` says which); a cell for each column.

    A row that is ``apart`` is no peer of those above it: a rule is drawn before the first such.
    """

    name: str
    cells: tuple[Cell, ...]
    is_mean: bool = False
    apart: bool = False


class Table(Struct, frozen=True):
    """Rows of cells under columns; ``corner`` says what the rows are."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    corner: str = "system"


def ruled(rows: Sequence[Row]) -> int | None:
    """The place of the row before which a rule is drawn, if there is one."""
    return next((place for place, row in enumerate(rows) if place and row.apart), None)


class Entry(Struct, frozen=True):
    """An accuracy to be shown, with the samples of it that failed and the rollouts that lacked evidence."""

    accuracy: Estimate
    n_failed: int
    n_lacking: int = 0


def cell_of(entry: Entry | None, *, best: bool = False) -> Cell:
    """The cell of ``entry``, or the one that says that there is none."""
    if entry is None:
        return Cell(MISSING)
    value, interval = percent(entry.accuracy)[0], spread_of(entry.accuracy)
    marks = ((FAILURE_MARK, entry.n_failed), (LACKING_MARK, entry.n_lacking))
    return Cell(value + "".join(f"{mark}{count}" for mark, count in marks if count), interval, best)


def compared(entries: Sequence[Entry | None], peers: int | None = None) -> list[Cell]:
    """The cells of what is held against each other, the best of the first ``peers`` marked unless those are alike."""
    # Best by what is shown: two cells that read the same are both best or both not.
    values = [None if entry is None else float(percent(entry.accuracy)[0]) for entry in entries]
    peers = len(values) if peers is None else peers
    known = {value for value in values[:peers] if value is not None}
    best = max(known) if len(known) > 1 else None
    return [
        cell_of(entry, best=value is not None and value == best and place < peers)
        for place, (entry, value) in enumerate(zip(entries, values, strict=True))
    ]


def short_task(name: str, *, mini: bool | None = None) -> str:
    """A column's name: without ``maestro_``, and with "(mini)" for the generated ones, always."""
    short = name.removeprefix("maestro_")
    if mini is None:
        mini = name.startswith("maestro_mini")
    return printable(f"{short.removeprefix('mini_')} (mini)" if mini else short)


def task_title(comparison: Comparison, task: str) -> str:
    """``task`` by its short name, generated or not as its group is."""
    mini = any(task in group.tasks for group in comparison.groups if group.mini)
    return short_task(task, mini=True if mini else None)


def key_text(key: RolloutKey) -> str:
    """A rollout's name: its sample, and its repeat where that is not the first."""
    return f"{short_task(key.task)} {key.sample_id}" + (f" repeat {key.repeat}" if key.repeat else "")


def all_tasks(comparison: Comparison) -> list[str]:
    """The tasks that any system ran, in the order in which they first appear."""
    return list(dict.fromkeys(task for system in comparison.systems for task in system.tasks))


def printable(text: str) -> str:
    """``text`` on one line, without control, direction or other invisible characters (shown as "�")."""
    return "".join("�" if unicodedata.category(character) in _INVISIBLE else character for character in text)


def percent(estimate: Estimate) -> tuple[str, str]:
    """An accuracy as ("75.0", "[64–84]")."""
    return f"{100 * estimate.value:.1f}", f"[{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def spread_of(estimate: Estimate) -> str:
    """An accuracy's interval as short as it can honestly be said: "±1.2", or "[64–84]" where its arms are unequal.

    Unequal, that is, by a point or more: near 0 and 100, with few samples, and where failures hide something.
    """
    below, above = 100 * (estimate.value - estimate.low), 100 * (estimate.high - estimate.value)
    if abs(above - below) < _LOPSIDED:
        return f"±{(above + below) / 2:.1f}"
    return percent(estimate)[1]


def p_value(p: float | None) -> str:
    """A p-value as "0.032" or "<0.001", never rounded across the 0.05 that decides."""
    if p is None:
        return MISSING
    if p < 0.001:
        return "<0.001"
    digits = 3
    while (float(shown := f"{p:.{digits}f}") < 0.05) != (p < 0.05):
        digits += 1
    return shown


class _Interval(Protocol):
    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def points(estimate: _Interval) -> tuple[str, str]:
    """A difference as ("+25.0", "[+8.2, +40.1]"), with a true minus sign."""
    return _signed(estimate.value), f"[{_signed(estimate.low)}, {_signed(estimate.high)}]"


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
