"""How is it shown? Tables for a terminal, Markdown and SVG, and results.json for programs."""

from maestro_eval.report.markdown import markdown_tables, render_markdown, write_markdown
from maestro_eval.report.results_json import results_schema, write_results
from maestro_eval.report.svg import render_svg, write_svg
from maestro_eval.report.terminal import render, show, show_tables

__all__ = [
    "markdown_tables",
    "render",
    "render_markdown",
    "render_svg",
    "results_schema",
    "show",
    "show_tables",
    "write_markdown",
    "write_results",
    "write_svg",
]
