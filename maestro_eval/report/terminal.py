"""A document on a terminal, readable from 60 columns up; plain text where there is no terminal.

A table that is too wide folds its words, and is split into blocks of columns where even that is too wide; no cell
is cut and none left out. rich is imported when something is drawn, so that a command line which draws nothing does
not wait for it.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

from maestro_eval.report.document import Bullets, Document, Figure, Prose
from maestro_eval.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

WIDTH = 100
"""Of plain text where no terminal gives its own width."""

_GAP = 2
_NAME_WIDTH = 28
_TITLE_WIDTH = 14
# As narrow as a column of words may become.
_FOLDED_WIDTH = 16
_ASCII = str.maketrans({"–": "-", "−": "-", "†": "!", "‡": "#", "�": "?", "±": "+-", "Δ": "D", "…": "..", "·": "-"})
_VERDICT_STYLE = {"better": "bold blue", "worse": "bold yellow", "undecided": "dim"}
# A rule under the head and between sections, and nothing else.
_BOX = "    \n    \n ── \n    \n ── \n    \n    \n    \n"
_WEB_FONT = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def show(document: Document, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print ``document`` to ``file`` (standard output), ``width`` being the terminal's unless given.

    Colours and bold appear only on a terminal. An encoding that cannot hold our marks gets ASCII ones.
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
    """The columns of the terminal that ``show`` prints to."""
    from rich.console import Console

    return Console().width


def render_terminal(document: Document, width: int = WIDTH) -> str:
    """``document`` as plain text of at most ``width`` columns."""
    from rich.console import Console

    file = io.StringIO()
    _draw(
        document,
        Console(file=file, width=width, highlight=False, markup=False, force_terminal=False, _environ={}),
    )
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip() + "\n"


def render_svg(document: Document, width: int = WIDTH) -> str:
    """``document`` as a picture of a terminal, for a README or a slide.

    It is self-contained: rich's link to a web font is taken out, so that a browser which shows it fetches nothing.
    The same document gives the same bytes.
    """
    from rich.console import Console

    console = Console(
        file=io.StringIO(), record=True, width=width, highlight=False, markup=False, force_terminal=True,
        color_system="truecolor", _environ={},
    )  # fmt: skip
    _draw(document, console)
    return _WEB_FONT.sub("", console.export_svg(title=document.title))


def _draw(document: Document, console: Console) -> None:
    from rich.text import Text

    for block in document.blocks():
        match block:
            case Table():
                for part in _drawn(block, console.width):
                    console.print(part)
            case Prose(text):
                console.print(Text(text))
            case Bullets(items):
                for item in items:
                    console.print(_hanging(item, console.width))
            case Figure():
                pass


def _hanging(text: str, width: int) -> RenderableType:
    from rich.text import Text

    lines = textwrap.wrap(text, width, initial_indent="· ", subsequent_indent="  ", break_on_hyphens=False)
    return Text("\n".join(lines))


def _drawn(table: Table, width: int) -> Iterator[RenderableType]:
    """``table`` whole where it fits, else with its words folded, else in blocks of columns."""
    from rich.text import Text

    name_width = min(_NAME_WIDTH, width // 3, max((len(row.name) for row in table.rows), default=0))
    room = width - max(name_width, len(table.corner))
    for fold in (False, True):
        widths = [_column_width(table, index, fold=fold) + _GAP for index in range(len(table.columns))]
        if sum(widths) <= room:
            break
    for number, block in enumerate(_blocks(widths, room)):
        yield Text(f"{table.title}{', continued' * bool(number)}", style="bold")
        yield _table(table, block, name_width)
        yield ""


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Column numbers in order, in as few blocks as fit ``room`` each, as equal as that allows."""
    found = _filled(widths, room)
    for less in range(room, 0, -1):
        if len(narrower := _filled(widths, less)) > len(found):
            break
        found = narrower
    return found


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
        # With the box's own blank divider this makes a gap of _GAP.
        padding=(0, _GAP - 1, 0, 0),
    )
    drawn.add_column(table.corner, max_width=max(name_width, len(table.corner)), overflow="fold", vertical="top")
    for column in (table.columns[index] for index in columns):
        header = Text("\n".join(_title_lines(column)), style="bold cyan" if column.is_mean else "bold")
        # Words may be folded, and are where there is no room; a number never.
        drawn.add_column(header, justify="left" if column.text else "right", no_wrap=not column.text, overflow="fold")
    for number, row in enumerate(table.rows):
        if table.has_rule_before(number) and row.apart:
            drawn.add_section()
        drawn.add_row(
            Text(row.name, style="cyan" if row.is_mean else ""), *(_cell_text(row.cells[index]) for index in columns)
        )
    return drawn


def _cell_text(cell: Cell) -> Text:
    from rich.text import Text

    text = Text(cell.value, style=_VERDICT_STYLE.get(cell.value) or ("bold" if cell.best else ""))
    return text.append(f" {cell.interval}", style="not bold dim") if cell.interval else text


def _column_width(table: Table, index: int, *, fold: bool) -> int:
    column = table.columns[index]
    widest = max(map(len, (*_title_lines(column), *(row.cells[index].text for row in table.rows))))
    return min(widest, _FOLDED_WIDTH) if fold and column.text else widest


def _title_lines(column: Column) -> list[str]:
    mini = " (mini)"
    lines = textwrap.wrap(column.title.removesuffix(mini), _TITLE_WIDTH) or [""]
    lines += [mini.strip()] if column.title.endswith(mini) else []
    return [*lines, column.n] if column.n else lines
