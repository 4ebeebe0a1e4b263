"""A comparison in any of its forms, by the form's name: printed, or all of them into a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from maestro_eval.analysis import Comparison
from maestro_eval.report.csv_tables import render_csv, write_csv
from maestro_eval.report.html_tables import render_html, write_html
from maestro_eval.report.latex import render_latex, write_latex
from maestro_eval.report.markdown import render_markdown, write_markdown
from maestro_eval.report.results_json import render_results, write_results
from maestro_eval.report.svg import write_svg
from maestro_eval.report.terminal import render

Format = Literal["terminal", "markdown", "latex", "csv", "json", "html"]

WIDTH = 120
"""Of the terminal form where no terminal says its own."""


def render_as(form: Format, comparison: Comparison, folders: Mapping[str, Path]) -> str:
    """``comparison`` in one form, ending in a newline; ``folders`` gives each system's run folder."""
    forms: dict[Format, Callable[[], str]] = {
        "terminal": lambda: render(comparison, WIDTH),
        "markdown": lambda: render_markdown(comparison),
        "latex": lambda: render_latex(comparison),
        "csv": lambda: render_csv(comparison),
        "json": lambda: render_results(comparison, folders, Path.cwd()),
        "html": lambda: render_html(comparison),
    }
    return forms[form]()


def write_forms(
    out: Path, comparison: Comparison, folders: Mapping[str, Path], *, every: bool = True
) -> dict[str, Path]:
    """Write ``comparison`` into ``out`` for programs, for reading and as a picture; returns the files by form.

    ``every`` writes the forms for papers and other tools too: LaTeX, CSV, HTML.
    """
    files = {"results": out / "results.json", "report": out / "report.md", "table": out / "table.svg"}
    write_results(files["results"], comparison, folders)
    write_markdown(files["report"], comparison)
    write_svg(files["table"], comparison)
    if every:
        files |= {"latex": out / "tables.tex", "csv": out / "tables.csv", "html": out / "tables.html"}
        write_latex(files["latex"], comparison)
        write_csv(files["csv"], comparison)
        write_html(files["html"], comparison)
    return files
