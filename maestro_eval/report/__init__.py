"""Reports: one document model, a renderer for each format, plots, and results.json for programs."""

from maestro_eval.report.differences import replay_document
from maestro_eval.report.document import (
    MISSING,
    Cell,
    Column,
    Document,
    Notes,
    Row,
    Section,
    Table,
    percent,
    percent_interval,
    points,
    points_interval,
    scope_title,
)
from maestro_eval.report.findings import Asked, Findings, SwapRuns, explores_beside, find
from maestro_eval.report.report import LINES, failure_text, protocol_notes, report_document, summary_document
from maestro_eval.report.reproduction import reproduction_document, reproductions_json
from maestro_eval.report.results import results_schema
from maestro_eval.report.swap import swap_summary
from maestro_eval.report.terminal import render_terminal, show, terminal_width
from maestro_eval.report.write import (
    Format,
    escape,
    render_as,
    render_markdown,
    write_document,
    write_report,
    write_swap,
)

__all__ = [
    "LINES", "MISSING", "Asked", "Cell", "Column", "Document", "Findings", "Format", "Notes", "Row", "Section",
    "SwapRuns", "Table", "escape", "explores_beside", "failure_text", "find", "percent", "percent_interval", "points",
    "points_interval", "protocol_notes", "render_as", "render_markdown", "render_terminal", "replay_document",
    "report_document", "reproduction_document", "reproductions_json", "results_schema", "scope_title", "show",
    "summary_document", "swap_summary", "terminal_width", "write_document", "write_report", "write_swap",
]  # fmt: skip
