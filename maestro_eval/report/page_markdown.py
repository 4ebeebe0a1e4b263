"""A report as Markdown, with its plots as SVG files in a folder beside it."""

from __future__ import annotations

from collections.abc import Iterator

from maestro_eval.report.cells import Cell, Table, ruled
from maestro_eval.report.markdown import RULE, escape
from maestro_eval.report.page import Block, Bullets, Figure, Grid, Page, Prose

FIGURES = "figures"
"""The folder beside the file that the figures are looked for in."""


def render_page_markdown(page: Page) -> str:
    """``page`` as GitHub-flavoured Markdown, ending in a newline; a figure is ``figures/NAME.svg``."""
    blocks = [f"# {escape(page.title)}", *(part for block in page.lead for part in _block(block))]
    for section in page.sections:
        blocks.append(f"## {escape(section.heading)}")
        blocks += [part for block in section.blocks for part in _block(block)]
    return "\n\n".join(blocks) + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose(text):
            yield escape(text)
        case Bullets(items):
            yield "\n".join(f"- {escape(item)}" for item in items)
        case Figure(name, _, caption):
            yield f"![{escape(caption)}]({FIGURES}/{name}.svg)"
            yield f"*{escape(caption)}*"
        case Grid(table):
            yield f"**{escape(table.title)}**"
            yield _grid(table)


def _grid(table: Table) -> str:
    header = [escape(table.corner), *(escape(column.title) for column in table.columns)]
    ruler = ["---", *("---" if column.text else "---:" for column in table.columns)]
    rows = [[escape(row.name), *map(_cell, row.cells)] for row in table.rows]
    if (place := ruled(table.rows)) is not None:
        rows.insert(place, RULE * len(header))
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ruler, *rows))


def _cell(cell: Cell) -> str:
    value = f"**{escape(cell.value)}**" if cell.best else escape(cell.value)
    return f"{value} {escape(cell.interval)}".rstrip()
