"""Tables as HTML: a fragment for any page, and a page of its own that fetches nothing.

All text is escaped, in elements and in attributes alike; classes are our own words and never a user's. A page
allows itself no script, no picture and no address (its Content-Security-Policy says so), so that a name that got
past the escaping would still do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from maestro_eval.analysis import Comparison
from maestro_eval.files import write_atomic
from maestro_eval.report.cells import Cell, Column, Row, Table, printable, ruled
from maestro_eval.report.layout import Layout, layout

STYLE = """\
.maestro { border-collapse: collapse; font: 14px/1.4 system-ui, sans-serif; margin: 0 0 1.5rem; }
.maestro caption { text-align: left; font-weight: 600; padding: .3rem 0; }
.maestro th, .maestro td { padding: .25rem .7rem; text-align: right; white-space: nowrap; }
.maestro th:first-child, .maestro .text { text-align: left; }
.maestro thead th { border-top: 2px solid; border-bottom: 1px solid; }
.maestro tbody tr:last-child > * { border-bottom: 2px solid; }
.maestro tbody th { font-weight: 400; white-space: normal; overflow-wrap: anywhere; max-width: 24rem; }
.maestro .mean { background: rgba(0, 90, 160, .07); }
.maestro .best { font-weight: 700; }
.maestro .interval { color: #595959; font-weight: 400; font-size: 12px; }
"""
"""How ``table_html``'s tables look: grey and blue only, readable in print."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def table_html(table: Table) -> str:
    """``table`` as a ``<table class="maestro">``, which looks as it should where ``STYLE`` is on the page."""
    head = "".join(_head(column) for column in table.columns)
    lines = [_row(row, table.columns) for row in table.rows]
    if (place := ruled(table.rows)) is not None:
        lines[place] = f"</tbody>\n<tbody>\n{lines[place]}"
    rows = "\n".join(lines)
    return (
        f'<table class="maestro">\n<caption>{_text(table.title)}</caption>\n'
        f'<thead><tr><th scope="col">{_text(table.corner)}</th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n"
    )


def render_html(comparison: Comparison) -> str:
    """All tables of ``comparison`` on one page that needs nothing beside it."""
    arranged = layout(comparison)
    body = "".join(_body(arranged))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>maestro-eval: comparison</title>\n<style>\n{STYLE}"
        "body { margin: 2rem; font: 14px/1.4 system-ui, sans-serif; }\n.notes { color: #404040; max-width: 60rem; }\n"
        f".wide {{ overflow-x: auto; }}\n</style>\n</head>\n<body>\n<h1>Comparison</h1>\n{body}</body>\n</html>\n"
    )


def write_html(path: Path, comparison: Comparison) -> None:
    """Write ``render_html(comparison)`` to ``path``, whole or not at all."""
    write_atomic(path, render_html(comparison))


def _body(arranged: Layout) -> Iterator[str]:
    for heading, tables in arranged.sections():
        yield f"<h2>{_text(heading)}</h2>\n"
        for table in tables:
            yield f'<div class="wide">\n{table_html(table)}</div>\n'
    notes = "".join(f"<li>{_text(note)}</li>\n" for note in arranged.footnotes)
    yield f'<h2>Notes</h2>\n<ul class="notes">\n{notes}</ul>\n'


def _head(column: Column) -> str:
    return f'<th scope="col"{_classes(column)}>{_text(column.title)}</th>'


def _row(row: Row, columns: tuple[Column, ...]) -> str:
    cells = "".join(_cell(cell, column) for cell, column in zip(row.cells, columns, strict=True))
    return f'<tr><th scope="row">{_text(row.name)}</th>{cells}</tr>'


def _cell(cell: Cell, column: Column) -> str:
    interval = f' <span class="interval">{_text(cell.interval)}</span>' if cell.interval else ""
    return f"<td{_classes(column, best=cell.best)}>{_text(cell.value)}{interval}</td>"


def _classes(column: Column, *, best: bool = False) -> str:
    names = [name for name, wanted in (("mean", column.is_mean), ("text", column.text), ("best", best)) if wanted]
    return f' class="{" ".join(names)}"' if names else ""


def _text(text: str) -> str:
    return escape(printable(text), quote=True)
