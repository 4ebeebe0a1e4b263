"""What a table is made of: columns, rows and cells, and how a number or a name is written in one.

Nothing here knows a format. Every text that came from a user, a file name or a model's name is made ``printable``;
escaping for a format's own syntax is that format's job. The intervals of one table have one notation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from maestro_eval.analysis import Bounds, Comparison, Contrast, Estimate, ReportedContrast
from maestro_eval.records import RolloutKey

FAILURE_MARK = "†"
LACKING_MARK = "‡"
MISSING = "–"

_LOPSIDED = 1.0
_WIDE = 4.0
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Cell(Struct, frozen=True):
    """A number with its interval, which may be empty: "75.0" and "±1.2" or "[64, 84]"; or words."""

    value: str
    interval: str = ""
    best: bool = False

    @property
    def text(self) -> str:
        return f"{self.value} {self.interval}".rstrip()


class Column(Struct, frozen=True):
    """A column by its title, with ``n`` ("n 191") under it where that is known; ``text``: its cells are words."""

    title: str
    n: str = ""
    is_mean: bool = False
    text: bool = False


class Row(Struct, frozen=True):
    """A system, task or category (``Table.corner`` says which), a cell for each column.

    ``apart`` rows stand under a rule: bounds and published numbers, which are not ranked with the systems above.
    """

    name: str
    cells: tuple[Cell, ...]
    is_mean: bool = False
    apart: bool = False


class Table(Struct, frozen=True, tag="table"):
    """Rows of cells under columns; ``corner`` says what the rows are."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    corner: str = "system"

    def has_rule_before(self, number: int) -> bool:
        """Whether a rule separates row ``number`` from the one above: before means, and before rows apart."""
        if not number:
            return False
        row, above = self.rows[number], self.rows[number - 1]
        return (row.is_mean and not above.is_mean) or (row.apart and not above.apart)


class Interval(Protocol):
    """A number between its ends."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Notation(Struct, frozen=True):
    """How the intervals of a table are written: ± half the width, or [low, high]; whole points where all are wide."""

    symmetric: bool = False
    digits: int = 1

    def write(self, found: Interval) -> str:
        low, high = 100 * found.low, 100 * found.high
        if self.symmetric:
            return f"±{(high - low) / 2:.1f}"
        return f"[{low:.{self.digits}f}, {high:.{self.digits}f}]"


def notation_of(found: Iterable[Interval]) -> Notation:
    """``±`` where the arms of every interval are equal within a point, else ``[low, high]`` for all of them."""
    arms = [(100 * (one.value - one.low), 100 * (one.high - one.value)) for one in found]
    symmetric = all(abs(above - below) < _LOPSIDED for below, above in arms)
    return Notation(symmetric, 0 if all(below + above >= 2 * _WIDE for below, above in arms) else 1)


class Entry(Struct, frozen=True):
    """An accuracy to be shown, with the samples of it that failed and the rollouts that lacked evidence."""

    accuracy: Estimate
    n_failed: int = 0
    n_lacking: int = 0


def entry_cells(entries: Sequence[Entry | None], notation: Notation, peers: int = 0) -> list[Cell]:
    """The cells of some accuracies; of the first ``peers`` the best is marked, unless all of them read the same."""
    # Best by what is shown: two cells that read the same are both best or both not.
    values = [None if entry is None else float(percent(entry.accuracy.value)) for entry in entries]
    known = {value for value in values[:peers] if value is not None}
    best = max(known) if len(known) > 1 else None
    return [
        _cell(entry, notation, best=value is not None and value == best and place < peers)
        for place, (entry, value) in enumerate(zip(entries, values, strict=True))
    ]


def _cell(entry: Entry | None, notation: Notation, *, best: bool) -> Cell:
    if entry is None:
        return Cell(MISSING)
    marks = ((FAILURE_MARK, entry.n_failed), (LACKING_MARK, entry.n_lacking))
    marked = "".join(f"{mark}{count}" for mark, count in marks if count)
    return Cell(percent(entry.accuracy.value) + marked, notation.write(entry.accuracy), best)


def short_task(name: str, *, mini: bool | None = None) -> str:
    """A column's name: without ``maestro_``, and with "(mini)" for the generated ones, always."""
    short = name.removeprefix("maestro_")
    if mini is None:
        mini = name.startswith("maestro_mini")
    return printable(f"{short.removeprefix('mini_')} (mini)" if mini else short)


def scope_title(scope: str, *, is_mean: bool, mini: bool = False) -> str:
    """A row's name: a task, or "mean of" a group."""
    name = short_task(scope, mini=mini or None)
    return f"mean of {name}" if is_mean else name


def minis_of(comparison: Comparison) -> set[str]:
    """The tasks and groups that are generated."""
    return {scope for group in comparison.groups if group.mini for scope in (group.name, *group.tasks)}


def task_title(comparison: Comparison, task: str) -> str:
    """``task`` by its short name, generated or not as its group is."""
    return short_task(task, mini=task in minis_of(comparison) or None)


def key_text(key: RolloutKey) -> str:
    """A rollout's name: its sample, and its repeat where that is not the first."""
    return f"{short_task(key.task)} {key.sample_id}" + (f" repeat {key.repeat}" if key.repeat else "")


def all_tasks(comparison: Comparison) -> list[str]:
    """The tasks that any system ran, in the order in which they first appear."""
    return list(dict.fromkeys(task for system in comparison.systems for task in system.tasks))


def printable(text: str) -> str:
    """``text`` on one line, without control, direction or other invisible characters (shown as "�")."""
    return "".join("�" if unicodedata.category(character) in _INVISIBLE else character for character in text)


def percent(share: float) -> str:
    """A share as "75.0"."""
    return f"{100 * share:.1f}"


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


def bounded(shown: Callable[[float], str], value: float, bounds: Bounds | None) -> Cell:
    """A number, with the least and the most that failures may leave of it where there are any."""
    return Cell(shown(value), f"[{shown(bounds.low).lstrip('+')}, {shown(bounds.high).lstrip('+')}]" if bounds else "")


def points(value: float) -> str:
    """A difference in points as "+25.0", with a true minus sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def points_interval(found: Interval) -> str:
    """The interval of a difference as "[8.2, 40.1]"."""
    return f"[{points(found.low).lstrip('+')}, {points(found.high).lstrip('+')}]"


def difference_cell(found: Interval | None, mark: str = "", *, best: bool = False) -> Cell:
    """A difference with its interval, and a dash for none."""
    return Cell(MISSING) if found is None else Cell(points(found.value) + mark, points_interval(found), best)


def contrast_cell(contrast: Contrast | None) -> Cell:
    """The difference of a contrast, and a dash for none."""
    return difference_cell(None if contrast is None or contrast.direction_only else contrast.difference)


def verdict_text(contrast: Contrast | ReportedContrast) -> str:
    """A verdict in words: "better", "no difference beyond ±4.2"."""
    if contrast.verdict == "no difference":
        return f"no difference beyond ±{100 * contrast.bound:.1f}"
    return contrast.verdict
