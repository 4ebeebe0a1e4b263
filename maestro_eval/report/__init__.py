"""How is it shown? Tables for a terminal, Markdown and SVG, and results.json for programs."""

from maestro_eval.report.markdown import render_markdown, write_markdown
from maestro_eval.report.results_json import results_schema, write_results
from maestro_eval.report.svg import render_svg, write_svg
from maestro_eval.report.terminal import render, show

__all__ = [
    "render",
    "render_markdown",
    "render_svg",
    "results_schema",
    "show",
    "write_markdown",
    "write_results",
    "write_svg",
]
