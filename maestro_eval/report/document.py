"""A report before it is written in a format: sections of words, tables and figures.

Nothing here is escaped: words, names and table cells are as they are, and each format makes them harmless in its way.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.report.table import Table


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


Block = Prose | Bullets | Figure | Table


class Section(Struct, frozen=True):
    """Blocks under a heading; ``folded`` where a format can fold them away."""

    heading: str
    blocks: tuple[Block, ...]
    folded: bool = True


class Document(Struct, frozen=True):
    """A whole report; ``lead`` comes before the first section."""

    title: str
    lead: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()

    def blocks(self) -> Iterator[Block]:
        """All blocks, in their order."""
        yield from self.lead
        for section in self.sections:
            yield from section.blocks

    def figures(self) -> Iterator[Figure]:
        """All figures, in their order."""
        yield from (block for block in self.blocks() if isinstance(block, Figure))


def noted(*notes: str) -> tuple[Block, ...]:
    """The notes of a section: a paragraph, or a list where there are several."""
    return (Bullets(notes),) if len(notes) > 1 else tuple(map(Prose, notes))
