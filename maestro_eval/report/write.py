"""Findings rendered in one format, or written to a folder in all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import markupsafe
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import asdict, replace

from maestro_eval.analysis.swap import Swap
from maestro_eval.files import write_atomic
from maestro_eval.report.document import Document, Figure, Notes, Table
from maestro_eval.report.figures import standalone
from maestro_eval.report.findings import Findings
from maestro_eval.report.report import LINES, report_document, summary_document, tables_document
from maestro_eval.report.results import encode, render_csv, render_results
from maestro_eval.report.swap import swap_document
from maestro_eval.report.terminal import render_svg, render_terminal
from maestro_eval.text import printable

FIGURES = "figures"
"""The folder of the figures, next to the Markdown file."""

_MARKDOWN_SPECIAL = re.compile(r"([\\`*|\[\]~$])")
_LATEX = {
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    # After the end of a row, LaTeX would read a bracket or a star as its option.
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
    "−": "$-$", "±": r"$\pm$", "Δ": r"$\Delta$", "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}",
    "–": "--", "·": r"\textperiodcentered{}", "…": r"\ldots{}", "�": "?",
}  # fmt: skip
_LATEX_SIGNS = re.compile("|".join(map(re.escape, _LATEX)))
_DASHES = re.compile("-(?=-)")
# Braces and percent signs are LaTeX's own.
_LATEX_DELIMITERS = {
    "block_start_string": "<%",
    "block_end_string": "%>",
    "variable_start_string": "<<",
    "variable_end_string": ">>",
}


def render_html(document: Document) -> str:
    return _environment(_html_text).get_template("page.html").render(document=document) + "\n"


def render_markdown(document: Document) -> str:
    """Return ``document`` as Markdown, ending in a newline; a figure is ``figures/NAME.svg``."""
    return _environment(escape).get_template("report.md").render(document=document, folder=FIGURES)


def render_latex(document: Document) -> str:
    """Return each section of ``document`` after a comment with its heading; figures are omitted."""
    environment = _environment(latex_text, **_LATEX_DELIMITERS)
    return environment.get_template("tables.tex").render(document=document).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """Return ``text`` escaped for any place in a Markdown document, without markup, HTML, links or table cells."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN_SPECIAL.sub(r"\\\1", shown)


def latex_text(text: str) -> str:
    """Return ``text`` escaped for any place in a document's text, without commands, alignments or ligatures."""
    # LaTeX would print two hyphens as a dash.
    parted = _DASHES.sub("-\0", printable(text))
    return _LATEX_SIGNS.sub(lambda found: _LATEX[found[0]], parted).replace("\0", "{}")


def _html_text(text: str) -> str:
    return markupsafe.escape(printable(text))


@cache
def _environment(escaped: Callable[[str], str], **delimiters: Any) -> Environment:
    """Return the compiled templates, in which ``escaped`` is applied to every text and undefined names are errors."""

    def shown(value: object) -> object:
        return Markup(escaped(value)) if isinstance(value, str) and not isinstance(value, Markup) else value

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        # The result of a macro is markup, and is not escaped twice.
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        **delimiters,
    )
    made.filters["means_first"] = _means_first
    made.tests |= {"notes": lambda block: isinstance(block, Notes), "figure": lambda block: isinstance(block, Figure)}
    return made


def _means_first(table: Table) -> Table:
    order = sorted(range(len(table.columns)), key=lambda number: not table.columns[number].is_mean)
    rows = tuple(replace(row, cells=tuple(row.cells[number] for number in order)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[number] for number in order), rows=rows)


Format = Literal["terminal", "markdown", "latex", "csv", "json", "html"]


class Written(Struct, frozen=True):
    """The files of a report: the page and the numbers, whose paths a command prints, and the others."""

    page: Path
    numbers: Path
    others: tuple[Path, ...] = ()


def render_as(form: Format, found: Findings, start: Path) -> str:
    """Return ``found`` in one format, ending in a newline; run folders are relative to ``start``."""
    comparison = found.comparison
    forms: dict[Format, Callable[[], str]] = {
        "terminal": lambda: render_terminal(summary_document(found)),
        "markdown": lambda: render_markdown(report_document(found, plots=False)),
        "latex": lambda: render_latex(tables_document(found)),
        "csv": lambda: render_csv(comparison),
        "json": lambda: render_results(comparison, found.folders, start),
        "html": lambda: render_html(report_document(found, plots=False)),
    }
    return forms[form]()


def write_report(
    found: Findings,
    out: Path,
    name: str = "report",
    *,
    plots: bool = False,
    lines: int = LINES,
    lead: Sequence[str] = (),
    papers: bool = False,
) -> Written:
    """Write the page ``name`` as HTML and Markdown, ``results.json``, and a file for each other analysis.

    ``plots`` adds figures; ``papers`` adds tables for LaTeX and spreadsheets; ``lines`` is the height of the summary in
    the picture.
    """
    document = report_document(found, plots=plots, lead=lead)
    page, numbers = write_document(document, out, name), out / "results.json"
    texts = {
        numbers: render_results(found.comparison, found.folders, out),
        out / "table.svg": render_svg(summary_document(found, lines=lines)),
        **{
            out / FIGURES / f"{figure.name}.svg": standalone(figure.svg)
            for figure in document.blocks
            if isinstance(figure, Figure)
        },
    }
    if papers:
        texts |= {
            out / "tables.tex": render_latex(tables_document(found)),
            out / "tables.csv": render_csv(found.comparison),
        }
    if found.headrooms:
        texts[out / "headroom.json"] = encode(found.headrooms)
    if found.routings:
        texts[out / "routing.json"] = encode({"schema": 2, "systems": found.routings})
    if found.swap:
        texts[out / "swap.json"] = _swap_json(found.swap)
    for path, text in texts.items():
        write_atomic(path, text)
    return Written(page, numbers, tuple(texts))


def write_swap(swap: Swap, out: Path) -> tuple[Path, Path]:
    """Write ``swap.html``, ``swap.md`` and ``swap.json``; return the first and the last."""
    numbers = out / "swap.json"
    write_atomic(numbers, _swap_json(swap))
    return write_document(swap_document(swap), out, "swap"), numbers


def _swap_json(swap: Swap) -> str:
    return encode({"schema": 2, **asdict(swap)})


def write_document(document: Document, out: Path, name: str) -> Path:
    """Write ``NAME.html`` and ``NAME.md``, each whole or not at all; return the first."""
    page = out / f"{name}.html"
    write_atomic(page, render_html(document))
    write_atomic(out / f"{name}.md", render_markdown(document))
    return page
