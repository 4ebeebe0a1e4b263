r"""A document's tables and words in LaTeX, for a paper: ``booktabs`` rules, no wider than the line, everything escaped.

Each table is a ``table`` environment of its own, to be copied or ``\input`` whole. Our own signs (±, −, Δ, †, –) are
written as commands, so that pdfLaTeX takes them; a name in a script that pdfLaTeX does not have needs XeLaTeX or
LuaLaTeX.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from maestro_eval.report.document import Bullets, Document, Figure, Prose
from maestro_eval.report.table import Cell, Row, Table, printable

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
    "‡": r"\textdaggerdbl{}",
    "–": "--",
    "·": r"\textperiodcentered{}",
    "…": r"\ldots{}",
    "�": "?",
}
_SIGNS = re.compile("|".join(map(re.escape, _ESCAPED)))
_DASHES = re.compile("-(?=-)")


def render_latex(document: Document) -> str:
    """Each section of ``document`` behind a comment with its heading; figures are left out."""
    parts = [_HEAD]
    for heading, blocks in (("", document.lead), *((each.heading, each.blocks) for each in document.sections)):
        parts += [f"% {printable(heading)}"] if heading else []
        for block in blocks:
            match block:
                case Table():
                    parts.append(latex_table(block))
                case Prose(text):
                    parts.append(f"{latex_text(text)}\n")
                case Bullets(items):
                    listed = "\n".join(f"  \\item {latex_text(item)}" for item in items)
                    parts.append(f"\\begin{{itemize}}\\footnotesize\n{listed}\n\\end{{itemize}}\n")
                case Figure():
                    pass
    return "\n".join(parts)


def latex_table(table: Table) -> str:
    """``table`` as a ``table`` environment."""
    columns = "l" + "".join("l" if column.text else "r" for column in table.columns)
    header = " & ".join(
        map(latex_text, (table.corner, *(f"{column.title} {column.n}".rstrip() for column in table.columns)))
    )
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
        if table.has_rule_before(number):
            yield "\\midrule\n"
        yield f"{_row(row)} \\\\\n"


def _row(row: Row) -> str:
    return " & ".join((latex_text(row.name), *map(_cell, row.cells)))


def _cell(cell: Cell) -> str:
    value = f"\\textbf{{{latex_text(cell.value)}}}" if cell.best else latex_text(cell.value)
    return f"{value} {{\\scriptsize {latex_text(cell.interval)}}}" if cell.interval else value
