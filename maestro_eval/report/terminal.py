"""A comparison on a terminal, readable from 60 columns up; plain text where there is no terminal.

A table whose cells do not fit side by side loses its minor columns, or puts each interval under its value, and
spreads its columns over several tables where even that is too wide. rich is imported when something is drawn, so
that a command line which draws nothing does not wait for it.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from maestro_eval.report.cells import Cell, Column, Row, Table, ruled
from maestro_eval.report.layout import Layout, layout

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

    from maestro_eval.analysis import Comparison

_GAP = 2
_SYSTEM_WIDTH = 24
_TITLE_WIDTH = 14
# As narrow as a column of words may become.
_FOLDED_WIDTH = 16
_ASCII = str.maketrans({"–": "-", "−": "-", "†": "!", "�": "?", "±": "+-", "Δ": "D"})
_VERDICT_STYLE = {"better": "bold blue", "worse": "bold yellow", "undecided": "dim"}


def show(comparison: Comparison, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print ``comparison`` to ``file`` (standard output), ``width`` being the terminal's unless given.

    Colours and bold appear only on a terminal. An encoding that cannot hold our marks gets ASCII ones.
    """
    _show(lambda console: draw(comparison, console), file, width)


def show_tables(
    tables: Sequence[Table], footnotes: Sequence[str], file: IO[str] | None = None, width: int | None = None
) -> None:
    """Print ``tables`` and ``footnotes`` as ``show`` does a comparison's."""

    def paint(console: Console) -> None:
        from rich.text import Text

        for table in tables:
            for part in _drawn(table, console.width):
                console.print(part)
                console.print()
        console.print(Text("\n".join(footnotes), style="dim"))

    _show(paint, file, width)


def render(comparison: Comparison, width: int = 80) -> str:
    """``comparison`` as plain text of at most ``width`` columns."""
    return _plain(lambda console: draw(comparison, console), width)


def _show(paint: Callable[[Console], None], file: IO[str] | None, width: int | None) -> None:
    from rich.console import Console

    console = Console(file=file, width=width, highlight=False, markup=False)
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    if encoding.lower().startswith("utf"):
        paint(console)
    else:
        text = _plain(paint, console.width).translate(_ASCII)
        console.file.write(text.encode(encoding, "replace").decode(encoding))


def _plain(paint: Callable[[Console], None], width: int) -> str:
    from rich.console import Console

    file = io.StringIO()
    paint(Console(file=file, width=width, highlight=False, markup=False, force_terminal=False, _environ={}))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"


def draw(comparison: Comparison, console: Console) -> None:
    """Draw ``comparison`` on a rich console: tables and footnotes; what is beneath a task only of a system alone."""
    arranged = layout(comparison, brief=len(comparison.systems) > 1)
    for part in _parts(arranged, console.width):
        console.print(part)
        console.print()


def _parts(arranged: Layout, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    for _, tables in arranged.sections():
        for table in tables:
            yield from _drawn(table, width)
    yield Text("\n".join(arranged.footnotes), style="dim")


def _drawn(table: Table, width: int) -> Iterator[RichTable]:
    """``table`` as little changed as it fits: whole, without minor columns, words folded, stacked, or in parts."""
    name_width = min(_SYSTEM_WIDTH, width // 3, max((len(row.name) for row in table.rows), default=0))
    room = width - max(name_width, len(table.corner))
    every = list(range(len(table.columns)))
    major = [index for index in every if not table.columns[index].minor]
    for chosen, stacked, folded in (
        (every, False, False),
        (major, False, False),
        (major, False, True),
        (every, True, False),
        (major, True, True),
    ):
        widths = [_column_width(table, index, stacked=stacked, folded=folded) for index in chosen]
        if sum(widths) + _GAP * len(widths) <= room:
            yield _table(table, chosen, name_width, stacked=stacked)
            return
    for chunk in _chunks([_column_width(table, index, stacked=True, folded=True) for index in every], room):
        yield _table(table, chunk, name_width, stacked=True)


def _chunks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Column numbers in order, in as few runs as fit ``room`` each; a column too wide for it stands alone."""
    chunk: list[int] = []
    used = 0
    for index, width in enumerate(widths):
        if chunk and used + width + _GAP > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(index)
        used += width + _GAP
    if chunk:
        yield chunk


def _table(table: Table, chosen: Iterable[int], name_width: int, *, stacked: bool) -> RichTable:
    from rich.text import Text

    columns = list(chosen)
    continued = ", continued" if 0 not in columns else ""
    drawn = _plain_table(table.title + continued)
    drawn.add_column(table.corner, max_width=max(name_width, len(table.corner)), overflow="fold", vertical="top")
    for index in columns:
        column = table.columns[index]
        header = Text("\n".join(_title_lines(column)), style="bold cyan" if column.is_mean else "bold")
        # Words may be folded, and are where there is no room; a number never.
        drawn.add_column(header, justify="left" if column.text else "right", no_wrap=not column.text, overflow="fold")
    for place, row in enumerate(table.rows):
        if place == ruled(table.rows):
            drawn.add_section()
        drawn.add_row(
            Text(row.name, style="cyan" if row.is_mean else ""), *(_cell_text(row, index, stacked) for index in columns)
        )
    return drawn


def _plain_table(title: str) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    return RichTable(
        title=Text(title, style="bold"),
        title_justify="left",
        # SIMPLE_HEAD, and a rule between sections.
        box=box.Box("    \n    \n ── \n    \n ── \n    \n    \n    \n"),
        show_edge=False,
        pad_edge=False,
        # With the box's own blank divider this makes a gap of _GAP.
        padding=(0, _GAP - 1, 0, 0),
    )


def _cell_text(row: Row, index: int, stacked: bool) -> Text:
    from rich.text import Text

    cell = row.cells[index]
    value, *interval = _cell_lines(cell, stacked=True)
    text = Text(value, style=_VERDICT_STYLE.get(value) or ("bold" if cell.best else ""))
    for part in interval:
        text.append("\n" if stacked else " ")
        text.append(part, style="not bold dim")
    return text


def _column_width(table: Table, index: int, *, stacked: bool, folded: bool) -> int:
    lines = _title_lines(table.columns[index])
    lines += [line for row in table.rows for line in _cell_lines(row.cells[index], stacked=stacked)]
    widest = max(map(len, lines))
    return min(widest, _FOLDED_WIDTH) if folded and table.columns[index].text else widest


def _cell_lines(cell: Cell, *, stacked: bool) -> list[str]:
    parts = [cell.value, cell.interval] if cell.interval else [cell.value]
    return parts if stacked else [" ".join(parts)]


def _title_lines(column: Column) -> list[str]:
    mini = " (mini)"
    lines = textwrap.wrap(column.title.removesuffix(mini), _TITLE_WIDTH) or [""]
    return [*lines, mini.strip()] if column.title.endswith(mini) else lines
