"""A document on a terminal, readable from 60 columns up, or as plain text.

A table that is too wide wraps its words, and if that is not enough, splits into blocks of columns; every cell is shown
whole. rich is imported only when something is drawn, since its import is slow.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

from maestro_eval.report.document import MINI, Cell, Column, Document, Figure, Notes, Table
from maestro_eval.text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

WIDTH = 100
"""The width of plain text without a terminal."""

_GAP = 2
_NAME_WIDTH = 28
_TITLE_WIDTH = 14
# The smallest width of a column of words.
_FOLDED_WIDTH = 16
_ASCII = str.maketrans({"–": "-", "−": "-", "†": "!", "‡": "#", "�": "?", "±": "+-", "Δ": "D", "…": "..", "·": "-"})
_VERDICT_STYLE = {"better": "bold blue", "worse": "bold yellow", "undecided": "dim"}
# The box has rules below the header and between sections only.
_BOX = "    \n    \n ── \n    \n ── \n    \n    \n    \n"
_WEB_FONT = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def show(document: Document, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print ``document`` to ``file`` (default standard output) in ``width`` columns (default the terminal's).

    Colours and bold appear only on a terminal. An encoding other than UTF gets ASCII marks.
    """
    from rich.console import Console

    console = Console(file=file, width=width, highlight=False, markup=False)
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    if encoding.lower().startswith("utf"):
        _draw(document, console)
    else:
        text = render_terminal(document, console.width).translate(_ASCII)
        console.file.write(text.encode(encoding, "replace").decode(encoding))


def terminal_width() -> int:
    from rich.console import Console

    return Console().width


def render_terminal(document: Document, width: int = WIDTH) -> str:
    """Return ``document`` as plain text of at most ``width`` columns."""
    from rich.console import Console

    file = io.StringIO()
    _draw(document, Console(file=file, width=width, highlight=False, markup=False, force_terminal=False, _environ={}))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"


def render_svg(document: Document) -> str:
    """Return ``document`` as a picture of a terminal, for a README or a slide.

    It is self-contained, without rich's link to a web font. The same document gives the same bytes.
    """
    from rich.console import Console

    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, highlight=False, markup=False, force_terminal=True,
        color_system="truecolor", _environ={},
    )  # fmt: skip
    _draw(document, console)
    return _WEB_FONT.sub("", console.export_svg(title=document.title))


def _draw(document: Document, console: Console) -> None:
    for block in document.blocks:
        match block:
            case Table():
                for part in _drawn(block, console.width):
                    console.print(part)
            case Notes(items):
                first, later = ("· ", "  ") if len(items) > 1 else ("", "")
                wrapper = textwrap.TextWrapper(
                    console.width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
                )
                for line in (line for item in items for line in wrapper.wrap(printable(item))):
                    console.print(_text(line))
            case Figure():
                pass


def _drawn(table: Table, width: int) -> Iterator[RenderableType]:
    name_width = min(_NAME_WIDTH, width // 3, max((len(row.name) for row in table.rows), default=0))
    room = width - max(name_width, len(table.corner))
    for fold in (False, True):
        widths = [_column_width(table, index, fold=fold) + _GAP for index in range(len(table.columns))]
        if sum(widths) <= room:
            break
    for number, block in enumerate(_blocks(widths, room)):
        title = ", ".join(part for part in (table.title, "continued" * bool(number)) if part)
        if title:
            yield _text(title, "bold")
        yield _table(table, block, name_width)
        yield ""


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    fewest = len(_filled(widths, room))
    return next(found for less in range(room + 1) if len(found := _filled(widths, less)) == fewest)


def _filled(widths: Sequence[int], room: int) -> list[list[int]]:
    blocks: list[list[int]] = [[]]
    for index, width in enumerate(widths):
        if blocks[-1] and sum(widths[each] for each in blocks[-1]) + width > room:
            blocks.append([])
        blocks[-1].append(index)
    return blocks


def _table(table: Table, columns: Sequence[int], name_width: int) -> RichTable:
    from rich.box import Box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        box=Box(_BOX),
        show_edge=False,
        pad_edge=False,
        # Together with the box's blank divider, the gap is _GAP wide.
        padding=(0, _GAP - 1, 0, 0),
    )
    drawn.add_column(table.corner, max_width=max(name_width, len(table.corner)), overflow="fold", vertical="top")
    for column in (table.columns[index] for index in columns):
        header = Text("\n".join(_title_lines(column)), style="bold cyan" if column.is_mean else "bold")
        # Words wrap if the width is too small; numbers never do.
        drawn.add_column(header, justify="left" if column.text else "right", no_wrap=not column.text, overflow="fold")
    for number, row in enumerate(table.rows):
        if table.has_rule_before(number) and row.apart:
            drawn.add_section()
        cells = [_cell_text(row.cells[index]) for index in columns]
        drawn.add_row(_text(row.name, "cyan" if row.is_mean else ""), *cells)
    return drawn


def _cell_text(cell: Cell) -> Text:
    text = _text(cell.value, _VERDICT_STYLE.get(cell.value) or ("bold" if cell.best else ""))
    return text.append(f" {cell.interval}", style="not bold dim") if cell.interval else text


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(printable(text), style)


def _column_width(table: Table, index: int, *, fold: bool) -> int:
    column = table.columns[index]
    widest = max(map(len, (*_title_lines(column), *(row.cells[index].text for row in table.rows))))
    return min(widest, _FOLDED_WIDTH) if fold and column.text else widest


def _title_lines(column: Column) -> list[str]:
    lines = textwrap.wrap(printable(column.title), _TITLE_WIDTH) or [""]
    return [*lines, *([MINI.strip()] if column.mini else []), *([column.n] if column.n else [])]
