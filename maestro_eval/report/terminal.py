"""A comparison on a terminal, readable from 60 columns up; plain text where there is no terminal.

A table whose cells do not fit side by side puts each interval under its value, and spreads its columns over
several tables where even that is too wide. rich is imported when something is drawn, so that a command line
which draws nothing does not wait for it.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from msgspec.structs import replace

from maestro_eval.report.cells import Cell, Column, Row, Table
from maestro_eval.report.layout import ContrastTable, Layout, layout

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

    from maestro_eval.analysis import Comparison

_GAP = 2
_SYSTEM_WIDTH = 24
_TITLE_WIDTH = 14
_ASCII = str.maketrans({"–": "-", "−": "-", "†": "!", "�": "?"})
_VERDICT_STYLE = {"better": "bold blue", "worse": "bold yellow", "not decided": "dim"}


def show(comparison: Comparison, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print ``comparison`` to ``file`` (standard output), ``width`` being the terminal's unless given.

    Colours and bold appear only on a terminal. An encoding that cannot hold our marks gets ASCII ones.
    """
    from rich.console import Console

    console = Console(file=file, width=width, highlight=False, markup=False)
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    if encoding.lower().startswith("utf"):
        draw(comparison, console)
    else:
        text = render(comparison, console.width).translate(_ASCII)
        console.file.write(text.encode(encoding, "replace").decode(encoding))


def render(comparison: Comparison, width: int = 80) -> str:
    """``comparison`` as plain text of at most ``width`` columns."""
    from rich.console import Console

    file = io.StringIO()
    draw(comparison, Console(file=file, width=width, highlight=False, markup=False, force_terminal=False, _environ={}))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"


def draw(comparison: Comparison, console: Console) -> None:
    """Draw ``comparison`` on a rich console: tables, contrasts, footnotes; the categories of a system alone."""
    arranged = layout(comparison)
    if len(comparison.systems) > 1:
        arranged = replace(arranged, categories=())
    for part in _parts(arranged, console.width):
        console.print(part)
        console.print()


def _parts(arranged: Layout, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    for table in (*arranged.tables, *arranged.categories, *arranged.repeats):
        yield from _accuracy_tables(table, width)
    for contrasts in arranged.contrasts:
        yield _contrast_table(contrasts)
    yield Text("\n".join(arranged.footnotes), style="dim")


def _accuracy_tables(table: Table, width: int) -> Iterator[RichTable]:
    name_width = min(_SYSTEM_WIDTH, width // 3, max((len(row.name) for row in table.rows), default=0))
    room = width - max(name_width, len(table.corner))
    side_by_side = [_column_width(table, index, stacked=False) for index in range(len(table.columns))]
    if sum(side_by_side) + _GAP * len(side_by_side) <= room:
        yield _accuracy_table(table, range(len(table.columns)), name_width, stacked=False)
        return
    stacked = [_column_width(table, index, stacked=True) for index in range(len(table.columns))]
    for chunk in _chunks(stacked, room):
        yield _accuracy_table(table, chunk, name_width, stacked=True)


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


def _accuracy_table(table: Table, chosen: Iterable[int], name_width: int, *, stacked: bool) -> RichTable:
    from rich.text import Text

    columns = list(chosen)
    continued = ", continued" if 0 not in columns else ""
    drawn = _plain_table(table.title + continued)
    drawn.add_column(table.corner, max_width=max(name_width, len(table.corner)), overflow="fold", vertical="top")
    for index in columns:
        column = table.columns[index]
        header = Text("\n".join(_title_lines(column)), style="bold cyan" if column.is_mean else "bold")
        drawn.add_column(header, justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(Text(row.name), *(_cell_text(row, index, stacked) for index in columns))
    return drawn


def _contrast_table(contrasts: ContrastTable) -> RichTable:
    from rich.text import Text

    drawn = _plain_table(contrasts.title)
    drawn.add_column("on", overflow="fold")
    drawn.add_column("Δ", justify="right", no_wrap=True)
    drawn.add_column("95 %", justify="right", no_wrap=True)
    drawn.add_column("n", justify="right", no_wrap=True)
    drawn.add_column("verdict", no_wrap=True)
    for row in contrasts.rows:
        drawn.add_row(
            Text(row.scope, style="cyan" if row.is_mean else ""),
            Text(row.delta),
            Text(row.interval),
            Text(row.n),
            Text(row.verdict, style=_VERDICT_STYLE[row.verdict]),
        )
    return drawn


def _plain_table(title: str) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    return RichTable(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        # With the box's own blank divider this makes a gap of _GAP.
        padding=(0, _GAP - 1, 0, 0),
    )


def _cell_text(row: Row, index: int, stacked: bool) -> Text:
    from rich.text import Text

    cell = row.cells[index]
    value, *interval = _cell_lines(cell, stacked=True)
    text = Text(value, style="bold" if cell.best else "")
    for part in interval:
        text.append("\n" if stacked else " ")
        text.append(part, style="not bold dim")
    return text


def _column_width(table: Table, index: int, *, stacked: bool) -> int:
    lines = _title_lines(table.columns[index])
    lines += [line for row in table.rows for line in _cell_lines(row.cells[index], stacked=stacked)]
    return max(map(len, lines))


def _cell_lines(cell: Cell, *, stacked: bool) -> list[str]:
    parts = [cell.value, cell.interval] if cell.interval else [cell.value]
    return parts if stacked else [" ".join(parts)]


def _title_lines(column: Column) -> list[str]:
    mini = " (mini)"
    lines = textwrap.wrap(column.title.removesuffix(mini), _TITLE_WIDTH) or [""]
    return [*lines, mini.strip()] if column.title.endswith(mini) else lines
