"""The format-independent model of a report: text, tables and figures, and the notation of numbers and names.

Nothing here is escaped; each renderer makes texts ``printable`` and escapes them in its own way. All intervals of a
table have one notation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis import Accuracy, Bounds, Comparison, Contrast, ReportedContrast
from maestro_eval.records import RolloutKey

FAILURE_MARK = "†"
LACKING_MARK = "‡"
MISSING = "–"
MINI = " (mini)"

_PREFIX, _MINI_PREFIX = "maestro_", "mini_"
_LOPSIDED = 1.0


class Interval(Protocol):
    """A number with the two ends of its interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Cell(Struct, frozen=True):
    """A number with an optional interval ("75.0" and "±1.2" or "[64.0, 84.0]"), or words.

    The interval of ``estimate`` is written by ``table``, before the text of ``interval``.
    """

    value: str
    interval: str = ""
    best: bool = False
    estimate: Interval | None = None

    @property
    def text(self) -> str:
        return f"{self.value} {self.interval}".rstrip()


class Column(Struct, frozen=True):
    """A column with its title and, if known, ``n`` ("n 191") below it; the cells of a ``text`` column are words.

    ``mini`` marks a generated benchmark, or a mean of such.
    """

    title: str
    n: str = ""
    is_mean: bool = False
    text: bool = False
    mini: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title}{MINI * self.mini}"

    @property
    def line(self) -> str:
        return f"{self.heading} {self.n}".rstrip()


class Row(Struct, frozen=True):
    """A system, task or category (``Table.corner`` says which), with a cell for each column.

    ``apart`` rows are below a rule: bounds and published numbers, which are not ranked with the systems above.
    """

    name: str
    cells: tuple[Cell, ...]
    is_mean: bool = False
    apart: bool = False


def row(name: str, *values: Cell | Accuracy | str | int | None, is_mean: bool = False, apart: bool = False) -> Row:
    """Return a row of cells, accuracies, words and counts; None is a dash."""
    return Row(name, tuple(map(_cell, values)), is_mean, apart)


class Table(Struct, frozen=True):
    """Rows of cells under columns; ``corner`` says what the rows are."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    corner: str = "system"

    def has_rule_before(self, number: int) -> bool:
        """Return whether a rule separates row ``number`` from the one above: before means and ``apart`` rows."""
        if not number:
            return False
        row, above = self.rows[number], self.rows[number - 1]
        return (row.is_mean and not above.is_mean) or (row.apart and not above.apart)


def table(title: str, columns: Iterable[Column | str], rows: Iterable[Row], corner: str = "system") -> Table:
    """Return a table, all intervals of estimates in one notation; a column may be given by its title."""
    rows = tuple(rows)
    written = _notation([cell.estimate for row in rows for cell in row.cells if cell.estimate])

    def shown(cell: Cell) -> Cell:
        if cell.estimate is None:
            return cell
        return Cell(cell.value, f"{written(cell.estimate)} {cell.interval}".rstrip(), cell.best)

    titled = tuple(Column(each) if isinstance(each, str) else each for each in columns)
    return Table(title, titled, tuple(replace(row, cells=tuple(map(shown, row.cells))) for row in rows), corner)


def words(*titles: str) -> list[Column | str]:
    return [Column(title, text=True) for title in titles]


def _notation(found: Sequence[Interval]) -> Callable[[Interval], str]:
    """Return "±1.2" if the arms of every interval are equal within a point, else "[64.0, 84.0]"."""
    arms = [(100 * (one.value - one.low), 100 * (one.high - one.value)) for one in found]
    if all(abs(above - below) < _LOPSIDED for below, above in arms):
        return lambda one: f"±{50 * (one.high - one.low):.1f}"
    return percent_interval


def _cell(value: Cell | Accuracy | str | int | None) -> Cell:
    match value:
        case None:
            return Cell(MISSING)
        case Accuracy(accuracy, n_failed, n_lacking):
            lacking = f"{LACKING_MARK}{n_lacking}" if n_lacking else ""
            return Cell(percent(accuracy.value) + failed_mark(n_failed) + lacking, estimate=accuracy)
        case int():
            return Cell(f"{value:,}")
        case str():
            return Cell(value)
    return value


def best_marked(found: Sequence[Accuracy | None], peers: int) -> list[Cell]:
    """Return cells of accuracies; the best of the first ``peers`` is marked, unless all are displayed as equal."""
    # The best is chosen by the displayed value, so that equal cells are both best or both not.
    shown = [None if each is None else percent(each.accuracy.value) for each in found]
    known = {text for text in shown[:peers] if text is not None}
    best = max(known, key=float) if len(known) > 1 else None
    return [
        replace(_cell(each), best=text is not None and text == best and place < peers)
        for place, (each, text) in enumerate(zip(found, shown, strict=True))
    ]


def failed_mark(number: int) -> str:
    return f"{FAILURE_MARK}{number}" if number else ""


def scope_column(scope: str, *, is_mean: bool = False) -> Column:
    name = scope.removeprefix(_PREFIX)
    short = name.removeprefix(_MINI_PREFIX)
    return Column(f"{'mean of ' * is_mean}{short}", is_mean=is_mean, mini=short != name)


def scope_title(scope: str, *, is_mean: bool = False) -> str:
    """Return a task's or group's name without ``maestro_``, and with "(mini)" for a generated one."""
    return scope_column(scope, is_mean=is_mean).heading


def scope_row(scope: str, *values: Cell | Accuracy | str | int | None, is_mean: bool) -> Row:
    return row(scope_title(scope, is_mean=is_mean), *values, is_mean=is_mean)


def key_text(key: RolloutKey) -> str:
    return f"{scope_title(key.task)} {key.sample_id}" + (f" repeat {key.repeat}" if key.repeat else "")


def all_tasks(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(task for system in comparison.systems for task in system.tasks))


def percent(share: float) -> str:
    """Return a share as "75.0"."""
    return f"{100 * share:.1f}"


def percent_interval(found: Interval) -> str:
    """Return the interval of a share as "[64.0, 84.0]"."""
    return f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"


def p_value(p: float | None) -> str:
    """Return a p-value as "0.032" or "<0.001", never rounded across the threshold 0.05."""
    if p is None:
        return MISSING
    if p < 0.001:
        return "<0.001"
    digits = 3
    while (float(shown := f"{p:.{digits}f}") < 0.05) != (p < 0.05):
        digits += 1
    return shown


def bounded(shown: Callable[[float], str], value: float, bounds: Bounds | None) -> Cell:
    return Cell(shown(value), f"[{shown(bounds.low).lstrip('+')}, {shown(bounds.high).lstrip('+')}]" if bounds else "")


def counted(part: int, whole: int) -> Cell:
    """Return a count with its share in percent; a dash if ``whole`` is 0."""
    if not whole:
        return Cell(MISSING)
    return Cell(f"{part:,}", f"({100 * part / whole:.0f} %)") if part else Cell("0")


def points(value: float) -> str:
    """Return a difference in points as "+25.0", with a true minus sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def points_interval(found: Interval) -> str:
    """Return the interval of a difference as "[8.2, 40.1]"."""
    return f"[{points(found.low).lstrip('+')}, {points(found.high).lstrip('+')}]"


def difference_cell(found: Interval | None, mark: str = "", *, best: bool = False) -> Cell:
    return Cell(MISSING) if found is None else Cell(points(found.value) + mark, points_interval(found), best)


def contrast_cell(contrast: Contrast | None) -> Cell:
    return difference_cell(None if contrast is None or contrast.direction_only else contrast.difference)


def verdict_text(contrast: Contrast | ReportedContrast) -> str:
    """Return a verdict in words: "better", "no difference beyond ±4.2"."""
    if contrast.verdict == "no difference":
        return f"no difference beyond ±{100 * contrast.bound:.1f}"
    return contrast.verdict


class Notes(Struct, frozen=True):
    """Lines of text: a list, or a paragraph if there is only one."""

    items: tuple[str, ...]


class Figure(Struct, frozen=True):
    """A plot, as an ``<svg>`` of ``svg.Canvas``, and its caption.

    ``name`` is its file name without the extension; it never comes from a user.
    """

    name: str
    svg: str
    caption: str


Block = Notes | Figure | Table


class Section(Struct, frozen=True):
    """Blocks under a heading; ``folded`` if a format that supports it should collapse them."""

    heading: str
    blocks: tuple[Block, ...]
    folded: bool = True


class Document(Struct, frozen=True):
    """A whole report; ``lead`` comes before the first section."""

    title: str
    lead: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (*self.lead, *(block for section in self.sections for block in section.blocks))
