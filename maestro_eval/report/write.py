"""Print findings in one format, or write them in all of them into a folder: the only writer of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.swap import Swap
from maestro_eval.files import write_atomic
from maestro_eval.report.csv_tables import render_csv
from maestro_eval.report.document import Document
from maestro_eval.report.findings import Findings
from maestro_eval.report.html import render_html
from maestro_eval.report.latex import render_latex
from maestro_eval.report.markdown import FIGURES, render_markdown
from maestro_eval.report.report import LINES, NO_PLOTS, report_document, summary_document, tables_document
from maestro_eval.report.results_json import encode, render_results
from maestro_eval.report.svg_plot import standalone
from maestro_eval.report.swap import swap_document
from maestro_eval.report.terminal import render_svg, render_terminal

Format = Literal["terminal", "markdown", "latex", "csv", "json", "html"]


class Written(Struct, frozen=True):
    """The files of a report: the page and the numbers, which a command names, and whatever else there is."""

    page: Path
    numbers: Path
    others: tuple[Path, ...] = ()


def render_as(form: Format, found: Findings) -> str:
    """``found`` in one format, ending in a newline."""
    comparison = found.comparison
    forms: dict[Format, Callable[[], str]] = {
        "terminal": lambda: render_terminal(summary_document(found)),
        "markdown": lambda: render_markdown(report_document(found, plots=False)),
        "latex": lambda: render_latex(tables_document(found)),
        "csv": lambda: render_csv(comparison),
        "json": lambda: render_results(comparison, found.folders, Path.cwd()),
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
    """Write the page ``name`` as HTML and Markdown, ``results.json``, and a file for whatever else is known.

    ``plots`` draws figures, where matplotlib is installed; ``papers`` writes tables for LaTeX and spreadsheets too;
    ``lines`` is the height of the summary in the picture.
    """
    can_plot = find_spec("matplotlib") is not None
    lead = (*lead, *([NO_PLOTS] if plots and not can_plot else []))
    document = report_document(found, plots=plots and can_plot, lead=lead)
    page, numbers = write_document(document, out, name), out / "results.json"
    texts = {
        numbers: render_results(found.comparison, found.folders, out),
        out / "table.svg": render_svg(summary_document(found, lines=lines)),
        **{out / FIGURES / f"{figure.name}.svg": standalone(figure.svg) for figure in document.figures()},
    }
    if papers:
        texts |= {
            out / "tables.tex": render_latex(tables_document(found)),
            out / "tables.csv": render_csv(found.comparison),
        }
    if found.standings:
        standings = [{"system": one.system, "arms": one.arms, "contrasts": one.contrasts} for one in found.standings]
        texts[out / "standing.json"] = encode(standings)
    if found.routings:
        texts[out / "routing.json"] = encode({"schema": 1, "systems": found.routings})
    if found.swap:
        texts[out / "swap.json"] = _swap_json(found.swap)
    for path, text in texts.items():
        write_atomic(path, text)
    return Written(page, numbers, tuple(texts))


def write_swap(swap: Swap, out: Path) -> tuple[Path, Path]:
    """Write ``swap.html``, ``swap.md`` and ``swap.json``; returns the first and the last."""
    numbers = out / "swap.json"
    write_atomic(numbers, _swap_json(swap))
    return write_document(swap_document(swap), out, "swap"), numbers


def _swap_json(swap: Swap) -> str:
    fields = {field: getattr(swap, field) for field in swap.__struct_fields__}
    return encode({"schema": 1, **fields})


def write_document(document: Document, out: Path, name: str) -> Path:
    """Write ``NAME.html`` and ``NAME.md``, each whole or not at all; returns the first."""
    page = out / f"{name}.html"
    write_atomic(page, render_html(document))
    write_atomic(out / f"{name}.md", render_markdown(document))
    return page
