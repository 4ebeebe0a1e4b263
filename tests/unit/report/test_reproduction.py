from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.report.report_comparisons import HOSTILE, reference

from maestro_eval.analysis.reference import ReportedValue
from maestro_eval.analysis.reproduce import Reproduced, Reproduction, reproduce
from maestro_eval.report import Table, render_markdown
from maestro_eval.report.reproduction import reproduction_document, reproductions_json, verdict_text

CHART = task_record("maestro_chartqa", ("maestro_main",))


def held(values: Sequence[float | None] = (1, 0, 1), *, name: str = "ours", word: str = "") -> Reproduction:
    published = replace(reference(word), values={"maestro_chartqa": ReportedValue(0.705, "D")})
    return reproduce(run_scores(name, [(CHART, scores_of(CHART, values))]), published)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (Reproduced("a", "task", "reproduced"), "reproduced"),
        (Reproduced("m", "mean", "not given", missing=("maestro_erqa", "b")), "not given: lacks erqa (and 1 more)"),
        (Reproduced("m", "mean", "not given"), "not given"),
    ],
)
def test_a_verdict_names_what_a_mean_lacks(row: Reproduced, text: str) -> None:
    assert verdict_text(row) == text


def test_a_row_has_both_numbers_the_gap_and_what_is_excluded() -> None:
    verdicts, settings = (block for block in reproduction_document([held()]).lead if isinstance(block, Table))
    assert verdicts.title == "ours against S-1 (reported)"
    row = next(row for row in verdicts.rows if row.name == "chartqa")
    published, here, gap, excluded, question, verdict = (cell.value for cell in row.cells)
    assert (published, here, gap) == ("70.5 D", "66.7", "−3.8")
    assert row.cells[2].interval.startswith("[−")
    assert excluded.startswith("±")
    assert (question, verdict) == ("benchmark", "compatible")
    assert settings.corner == "setting"
    assert "registry hash" in [row.name for row in settings.rows]


def test_the_notes_explain_the_question_the_assumptions_the_failures_and_the_marks() -> None:
    notes = render_markdown(reproduction_document([held([1, None, 0])]))
    assert "Of this benchmark:" in notes
    assert "Of its kind:" not in notes
    assert "one is assumed" in notes
    assert "the whole benchmark is assumed" in notes
    assert "†n" in notes
    assert "D: from a digest" in notes


def test_the_json_holds_every_row_and_difference() -> None:
    found = held()
    document = json.loads(reproductions_json([found]))
    (run,) = document["runs"]
    assert (document["schema"], run["system"], run["against"]["system"]) == (1, "ours", "S-1")
    assert len(run["rows"]) == len(found.rows)
    row = next(row for row in run["rows"] if row["scope"] == "maestro_chartqa")
    assert row["gap"]["question"] == "benchmark"
    assert row["gap"]["assumed"] == ["n", "repeats"]
    assert {each["setting"] for each in run["differences"]} == {each.setting for each in found.differences}


def test_hostile_names_do_not_act() -> None:
    text = render_markdown(reproduction_document([held(name=HOSTILE, word=HOSTILE)]))
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
