r"""A comparison as LaTeX tables for a paper: ``booktabs`` rules, no wider than the line, everything escaped.

Each table is a ``table`` environment of its own, to be copied or ``\input`` whole. Our own signs (±, −, Δ, †, –) are
written as commands, so that pdfLaTeX takes them; a name in a script that pdfLaTeX does not have needs XeLaTeX or
LuaLaTeX.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from maestro_eval.analysis import Comparison
from maestro_eval.files import write_atomic
from maestro_eval.report.cells import Cell, Row, Table, printable, ruled
from maestro_eval.report.layout import layout

_HEAD = "% By maestro-eval. In the preamble: \\usepackage{booktabs,graphicx}\n"
# A table wider than the line is shrunk to it; others keep their size.
_FITTED = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\char34{}",
    # Behind a row's end a bracket or a star would be read as its option.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "−": "$-$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "†": r"\textdagger{}",
    "–": "--",
    "·": r"\textperiodcentered{}",
    "…": r"\ldots{}",
    "�": "?",
}
_SIGNS = re.compile("|".join(map(re.escape, _ESCAPED)))
_DASHES = re.compile("-(?=-)")


def render_latex(comparison: Comparison) -> str:
    """All tables of ``comparison``, each behind a comment that names its section, and the notes."""
    arranged = layout(comparison)
    parts = [_HEAD]
    for heading, tables in arranged.sections():
        parts += [f"% {heading}\n{latex_table(table)}" for table in tables]
    notes = "\n".join(f"  \\item {latex_text(note)}" for note in arranged.footnotes)
    parts.append(f"% Notes\n\\begin{{itemize}}\\footnotesize\n{notes}\n\\end{{itemize}}\n")
    return "\n".join(parts)


def write_latex(path: Path, comparison: Comparison) -> None:
    """Write ``render_latex(comparison)`` to ``path``, whole or not at all."""
    write_atomic(path, render_latex(comparison))


def latex_table(table: Table) -> str:
    """``table`` as a ``table`` environment."""
    columns = "l" + "".join("l" if column.text else "r" for column in table.columns)
    header = " & ".join(map(latex_text, (table.corner, *(column.title for column in table.columns))))
    return (
        "\\begin{table}\n\\centering\\small\n"
        f"\\caption{{{latex_text(table.title)}}}\n{_FITTED}\\begin{{tabular}}{{{columns}}}\n"
        f"\\toprule\n{header} \\\\\n\\midrule\n"
        f"{''.join(_rows(table))}\\bottomrule\n\\end{{tabular}}%\n}}\n\\end{{table}}\n"
    )


def latex_text(text: str) -> str:
    """``text`` as it stands, in any place of a document's text: no command, alignment or ligature of its own."""
    # Two hyphens would be set as a dash.
    parted = _DASHES.sub("-\0", printable(text))
    return _SIGNS.sub(lambda found: _ESCAPED[found[0]], parted).replace("\0", "{}")


def _rows(table: Table) -> Iterator[str]:
    for number, row in enumerate(table.rows):
        # A rule between the tasks and their means, and before what is no peer of the rows above it.
        if number == ruled(table.rows) or (number and row.is_mean and not table.rows[number - 1].is_mean):
            yield "\\midrule\n"
        yield f"{_row(row)} \\\\\n"


def _row(row: Row) -> str:
    return " & ".join((latex_text(row.name), *map(_cell, row.cells)))


def _cell(cell: Cell) -> str:
    value = f"\\textbf{{{latex_text(cell.value)}}}" if cell.best else latex_text(cell.value)
    return f"{value} {{\\scriptsize {latex_text(cell.interval)}}}" if cell.interval else value
