"""How is it shown? One document model, a renderer for each format, plots, and results.json for programs."""

from maestro_eval.report.document import Bullets, Document, Prose, Section
from maestro_eval.report.findings import Asked, Findings, SwapRuns, baselines_beside, find
from maestro_eval.report.html import STYLE, table_html
from maestro_eval.report.markdown import render_markdown
from maestro_eval.report.replay import replay_document
from maestro_eval.report.report import LINES, report_document, summary_document
from maestro_eval.report.reproduction import reproduction_document, reproductions_json
from maestro_eval.report.results_json import encode, results_schema
from maestro_eval.report.swap import swap_summary
from maestro_eval.report.table import Cell, Column, Row, Table, key_text, printable
from maestro_eval.report.terminal import render_svg, render_terminal, show, terminal_width
from maestro_eval.report.write import Format, render_as, write_document, write_report, write_swap

__all__ = [
    "LINES",
    "STYLE",
    "Asked",
    "Bullets",
    "Cell",
    "Column",
    "Document",
    "Findings",
    "Format",
    "Prose",
    "Row",
    "Section",
    "SwapRuns",
    "Table",
    "baselines_beside",
    "encode",
    "find",
    "key_text",
    "printable",
    "render_as",
    "render_markdown",
    "render_svg",
    "render_terminal",
    "replay_document",
    "report_document",
    "reproduction_document",
    "reproductions_json",
    "results_schema",
    "show",
    "summary_document",
    "swap_summary",
    "table_html",
    "terminal_width",
    "write_document",
    "write_report",
    "write_swap",
]
