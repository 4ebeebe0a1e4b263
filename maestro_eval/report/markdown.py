"""A document as GitHub-flavoured Markdown, its plots as SVG files in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maestro_eval.report.document import Block, Bullets, Document, Figure, Prose, Section
from maestro_eval.report.table import Cell, Table, printable

FIGURES = "figures"
"""The folder beside the file that the figures are looked for in."""

_RULE = "⸺"
_SPECIAL = re.compile(r"([\\`*|\[\]~$])")


def render_markdown(document: Document) -> str:
    """``document`` as Markdown, ending in a newline; a figure is ``figures/NAME.svg``."""
    blocks = [f"# {escape(document.title)}", *(part for block in document.lead for part in _block(block))]
    blocks += [part for section in document.sections for part in _section(section)]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """``text`` as it stands, in any place of a Markdown document: no markup, HTML, link or table cell of its own."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", shown)


def _section(section: Section) -> Iterator[str]:
    yield f"## {escape(section.heading)}"
    if section.folded:
        yield "<details><summary>Show</summary>"
    for block in section.blocks:
        yield from _block(block)
    if section.folded:
        yield "</details>"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose(text):
            yield escape(text)
        case Bullets(items):
            yield "\n".join(f"- {escape(item)}" for item in items)
        case Figure(name, _, caption):
            yield f"![{escape(caption)}]({FIGURES}/{name}.svg)"
            yield f"*{escape(caption)}*"
        case Table():
            yield f"### {escape(block.title)}"
            yield _table(block)


def _table(table: Table) -> str:
    header = [escape(table.corner), *(escape(f"{column.title} {column.n}".rstrip()) for column in table.columns)]
    ruler = ["---", *("---" if column.text else "---:" for column in table.columns)]
    rows = [[escape(row.name), *map(_cell, row.cells)] for row in table.rows]
    # Markdown has no rules within a table.
    for number in reversed(range(len(rows))):
        if table.rows[number].apart and table.has_rule_before(number):
            rows.insert(number, [_RULE] * len(header))
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ruler, *rows))


def _cell(cell: Cell) -> str:
    value = f"**{escape(cell.value)}**" if cell.best else escape(cell.value)
    return f"{value} {escape(cell.interval)}".rstrip()
