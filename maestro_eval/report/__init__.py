"""How is it shown? Tables for a terminal, Markdown, LaTeX, HTML, CSV and SVG, and results.json for programs."""

from maestro_eval.report.formats import Format, render_as, write_forms
from maestro_eval.report.html_tables import table_html
from maestro_eval.report.markdown import markdown_tables, render_markdown, write_markdown
from maestro_eval.report.results_json import results_schema, write_results
from maestro_eval.report.svg import render_svg, write_svg
from maestro_eval.report.terminal import render, show, show_tables

__all__ = [
    "Format",
    "markdown_tables",
    "render",
    "render_as",
    "render_markdown",
    "render_svg",
    "results_schema",
    "show",
    "show_tables",
    "table_html",
    "write_forms",
    "write_markdown",
    "write_results",
    "write_svg",
]
