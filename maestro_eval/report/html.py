"""A document as one HTML file that needs nothing beside it: no script, no address, no font, no picture from elsewhere.

All text is escaped, in elements and in attributes alike; classes are our own words and never a user's. The plots are
our own SVG, in which names are escaped as well. The page forbids itself everything but its own styles (its
Content-Security-Policy says so), so that markup which got past the escaping would still do nothing. It is readable on
a light and on a dark screen, with a screen reader, on a phone and in print.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from maestro_eval.report.document import Block, Bullets, Document, Figure, Prose, Section
from maestro_eval.report.table import Cell, Column, Row, Table, printable

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """\
.maestro { border-collapse: collapse; font: 14px/1.4 system-ui, sans-serif; margin: 0 0 1.5rem; }
.maestro caption { text-align: left; font-weight: 600; padding: .3rem 0; }
.maestro th, .maestro td { padding: .25rem .7rem; text-align: right; white-space: nowrap; }
.maestro th:first-child, .maestro .text { text-align: left; }
.maestro thead th { border-top: 2px solid; border-bottom: 1px solid; }
.maestro tbody tr:last-child > * { border-bottom: 2px solid; }
.maestro tbody tr.rule > * { border-top: 1px solid; }
.maestro tbody th { font-weight: 400; white-space: normal; overflow-wrap: anywhere; max-width: 24rem; }
.maestro .mean { background: rgba(0, 90, 160, .07); }
.maestro .best { font-weight: 700; }
.maestro .interval, .maestro .n { color: #595959; font-weight: 400; font-size: 12px; }
.maestro .n { display: block; }
"""
"""How ``table_html``'s tables look: grey and blue only, readable in print."""

_STYLE = """\
:root {
  color-scheme: light dark;
  --ink: #1a1a1a; --quiet: #545454; --line: #c8c8c8; --paper: #ffffff; --link: #0b5394;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --quiet: #b0b0b0; --line: #4a4a4a; --paper: #161616; --link: #8ab4f8; }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); }
body { max-width: 68rem; margin: 0 auto; padding: 1.5rem; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .8rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
.quiet, figcaption { color: var(--quiet); font-size: 13px; }
a { color: var(--link); }
.headline { font-size: 1.05rem; }
details { border-bottom: 1px solid var(--line); }
details[open] { padding-bottom: 1rem; }
summary { cursor: pointer; padding: .35rem 0; }
summary h2 { display: inline; font-size: 1.05rem; border: 0; }
figure { margin: 1rem 0 1.5rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { max-width: 46rem; margin-top: .4rem; }
.wide { overflow-x: auto; margin-bottom: 1.2rem; }
.wide .maestro { margin-bottom: .3rem; font-size: 13px; font-variant-numeric: tabular-nums; }
.maestro caption { overflow-wrap: anywhere; }
.maestro thead th { vertical-align: bottom; white-space: normal; min-width: 3.6rem; overflow-wrap: break-word; }
.maestro tbody th { overflow-wrap: break-word; min-width: 7rem; }
.maestro tbody tr:nth-child(even) > * { background: rgba(128, 128, 128, .07); }
.maestro .text { white-space: normal; overflow-wrap: break-word; max-width: 30rem; }
.maestro .interval, .maestro .n { color: var(--quiet); }
/* Many columns: the interval goes below its value. */
.maestro:has(thead th:nth-child(8)) .interval { display: block; }
.maestro:has(thead th:nth-child(8)) :is(th, td) { padding-left: .35rem; padding-right: .35rem; }
.maestro:has(thead th:nth-child(12)) { font-size: 12px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
@media print {
  @page { size: A4; margin: 14mm; }
  :root { --ink: #000000; --quiet: #3c3c3c; --line: #999999; --paper: #ffffff; --link: #000000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .skip { display: none; }
  details::details-content { content-visibility: visible; height: auto; }
  h2, h2 + p { break-after: avoid; }
  h2 { margin-top: 1.4rem; }
  figure, .maestro tr { break-inside: avoid; }
  .maestro thead { display: table-header-group; }
  .maestro caption { break-after: avoid; }
  .wide { overflow: visible; }
  .wide .maestro { font-size: 7.5pt; }
  .maestro th, .maestro td { padding: .12rem .35rem; white-space: normal; }
  .maestro .interval { font-size: 6.5pt; white-space: nowrap; }
  .wide { break-inside: avoid; }
  .maestro tbody th { min-width: 4.5rem; }
  .maestro thead th { min-width: 0; }
  .maestro:has(thead th:nth-child(12)) { font-size: 6.5pt; }
  .maestro:has(thead th:nth-child(12)) th { overflow-wrap: anywhere; }
  .maestro:has(thead th:nth-child(12)) :is(th, td) { padding-left: .15rem; padding-right: .15rem; }
  .maestro .text { overflow-wrap: anywhere; min-width: 5rem; }
  figure svg { max-height: 225mm; width: auto; }
  .maestro tbody tr:nth-child(even) > * { background: none; }
}
"""


def table_html(table: Table) -> str:
    """``table`` as a ``<table class="maestro">``, which looks as it should where ``STYLE`` is on the page."""
    head = "".join(map(_head, table.columns))
    rows = "\n".join(_row(table, number) for number in range(len(table.rows)))
    return (
        f'<table class="maestro">\n<caption>{_text(table.title)}</caption>\n'
        f'<thead><tr><th scope="col">{_text(table.corner)}</th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n"
    )


def render_html(document: Document) -> str:
    """``document`` as a page, ending in a newline."""
    title = _text(document.title)
    lead = "".join(map(_lead, document.lead))
    sections = "".join(_section(number, section) for number, section in enumerate(document.sections, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}{_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#section-1">To the numbers</a>\n'
        f"<header>\n<h1>{title}</h1>\n{lead}</header>\n<main>\n{sections}</main>\n</body>\n</html>\n"
    )


def _lead(block: Block) -> str:
    text = "".join(_block(block))
    return text.replace('class="quiet"', 'class="headline"', 1) if isinstance(block, Bullets | Prose) else text


def _section(number: int, section: Section) -> str:
    blocks = "".join(part for block in section.blocks for part in _block(block))
    heading = f'<h2 id="section-{number}-title">{_text(section.heading)}</h2>'
    if section.folded:
        return f'<details id="section-{number}">\n<summary>{heading}</summary>\n{blocks}</details>\n'
    return f'<section id="section-{number}" aria-labelledby="section-{number}-title">\n{heading}\n{blocks}</section>\n'


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose(text):
            yield f'<p class="quiet">{_text(text)}</p>\n'
        case Bullets(items):
            lines = "".join(f"<li>{_text(item)}</li>\n" for item in items)
            yield f'<ul class="quiet">\n{lines}</ul>\n'
        case Figure(_, svg, caption):
            yield f"<figure>\n{svg}\n<figcaption>{_text(caption)}</figcaption>\n</figure>\n"
        case Table():
            # A wide table scrolls by itself, for the keyboard too.
            name = _text(block.title)
            yield f'<div class="wide" tabindex="0" role="group" aria-label="{name}">\n{table_html(block)}</div>\n'


def _head(column: Column) -> str:
    n = f' <span class="n">{_text(column.n)}</span>' if column.n else ""
    return f'<th scope="col"{_classes(mean=column.is_mean, text=column.text)}>{_text(column.title)}{n}</th>'


def _row(table: Table, number: int) -> str:
    row: Row = table.rows[number]
    cells = "".join(_cell(cell, column) for cell, column in zip(row.cells, table.columns, strict=True))
    return f'<tr{_classes(rule=table.has_rule_before(number))}><th scope="row">{_text(row.name)}</th>{cells}</tr>'


def _cell(cell: Cell, column: Column) -> str:
    interval = f' <span class="interval">{_text(cell.interval)}</span>' if cell.interval else ""
    classes = _classes(mean=column.is_mean, text=column.text, best=cell.best)
    return f"<td{classes}>{_text(cell.value)}{interval}</td>"


def _classes(**wanted: bool) -> str:
    names = [name for name, one in wanted.items() if one]
    return f' class="{" ".join(names)}"' if names else ""


def _text(text: str) -> str:
    return escape(printable(text), quote=True)
