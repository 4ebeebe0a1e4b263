"""A report before it is written in a format: sections of words, tables and figures.

Nothing here is escaped: words, names and table cells are as they are, and each format makes them harmless in its way.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.report.cells import Table


class Prose(Struct, frozen=True, tag="prose"):
    """A paragraph."""

    text: str


class Bullets(Struct, frozen=True, tag="bullets"):
    """A list of lines."""

    items: tuple[str, ...]


class Figure(Struct, frozen=True, tag="figure"):
    """A plot: an ``<svg>`` of ours (``svg_plot.draw``) and what is written beneath it.

    ``name`` is our own word, a file's name without its ending.
    """

    name: str
    svg: str
    caption: str


class Grid(Struct, frozen=True, tag="grid"):
    """A table; its title is its caption."""

    table: Table


Block = Prose | Bullets | Figure | Grid


class PageSection(Struct, frozen=True):
    """What stands under a heading."""

    heading: str
    blocks: tuple[Block, ...]


class Page(Struct, frozen=True):
    """A whole report; ``lead`` is what stands before the first section."""

    title: str
    lead: tuple[Block, ...]
    sections: tuple[PageSection, ...]

    def figures(self) -> Iterator[Figure]:
        """All figures, in their order."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Figure))
