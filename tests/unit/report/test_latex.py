from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.report.report_comparisons import HOSTILE, detailed, findings, hostile, quickstart, reported

from maestro_eval.analysis import Comparison
from maestro_eval.report.report import tables_document
from maestro_eval.report.write import latex_text, render_latex

# What still acts in a text once our own commands are taken out.
COMMAND = re.compile(r"\\(?:text[a-z]+|char34|ldots)\{\}|\\[{}$&#%_]|\$(?:-|\\pm|\\Delta)\$|\{[\[\]*]\}|-\{\}")


def latex(comparison: Comparison) -> str:
    return render_latex(tables_document(findings(comparison)))


def rows(text: str) -> list[list[str]]:
    bodies = re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL)
    lines = [line for body in bodies for line in body.splitlines() if line.endswith(r"\\")]
    return [re.split(r"(?<!\\)&", line) for line in lines]


@given(st.text())
def test_no_text_keeps_a_command_a_column_or_a_ligature_of_its_own(text: str) -> None:
    rest = COMMAND.sub("", latex_text(text))
    # Our own en dash is written as two hyphens.
    rest = rest.replace("--", "") if "–" in text else rest
    assert not re.search(r"[\\{}$&#%_^~<>|\"`\[\]*\n]|--", rest)


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("50 % of A&B", r"50 \% of A\&B"),
        ("a--b", "a-{}-b"),
        ("+1.2 [−3.0, +4.0]", r"+1.2 {[}$-$3.0, +4.0{]}"),
        ("maestro_mini", r"maestro\_mini"),
    ],
)
def test_texts_are_set_as_they_stand(text: str, set_as: str) -> None:
    assert latex_text(text) == set_as


@pytest.mark.parametrize(
    "comparison", [quickstart(failures=2), hostile(), detailed("a", word=HOSTILE), reported(HOSTILE)]
)
def test_every_table_is_whole(comparison: Comparison) -> None:
    text = latex(comparison)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\toprule")
    for body in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, re.DOTALL):
        specification = re.match(r"\\begin\{tabular\}\{([lr]+)\}", body)
        assert specification
        assert {len(cells) for cells in rows(body)} == {len(specification[1])}
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text.replace(r"\\", "")):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


def test_no_row_begins_with_what_a_rows_end_would_take_as_its_option() -> None:
    text = latex(hostile())
    assert not re.search(r"\\\\\s*[\[*]", text)


def test_uses_booktabs_rules_and_sets_means_apart() -> None:
    text = latex(quickstart())
    assert r"\usepackage{booktabs,graphicx}" in text
    assert r"\hline" not in text
    assert "\\midrule\nmean of main (mini)" in text
    assert r"\textbf{" in text
