from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.report.report_comparisons import HOSTILE, reference

from maestro_eval.analysis.reference import ReportedValue
from maestro_eval.analysis.reproduce import Needed, Reproduced, Reproduction, reproduce
from maestro_eval.analysis.reproduce import Tested as Evidence
from maestro_eval.report.reproduction import (
    render_reproductions,
    reproduction_notes,
    reproduction_tables,
    reproductions_json,
    verdict_text,
)

CHART = task_record("maestro_chartqa", ("maestro_main",))


def held(values: Sequence[float | None] = (1, 0, 1), *, name: str = "ours", word: str = "") -> Reproduction:
    published = replace(reference(word), values={"maestro_chartqa": ReportedValue(0.705, "D")})
    return reproduce(run_scores(name, [(CHART, scores_of(CHART, values))]), published)


def needing(number: int | None, of: str) -> Evidence:
    return Evidence(0.01, "rerun", 0.01, 0.1, 0.2, 0.5, Needed(number, of))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (Reproduced("a", "task", "reproduced"), "reproduced"),
        (Reproduced("a", "task", "inconclusive", tested=needing(12345, "samples")), "inconclusive: needs n ≥ 12,345"),
        (Reproduced("a", "task", "inconclusive", tested=needing(9, "repeats")), "inconclusive: needs --repeats ≥ 9"),
        (
            Reproduced("a", "task", "inconclusive", tested=needing(None, "repeats")),
            "inconclusive: no number of repeats decides, the published one is too noisy",
        ),
        (Reproduced("m", "mean", "not given", missing=("maestro_erqa", "b")), "not given: lacks erqa (and 1 more)"),
        (Reproduced("m", "mean", "not given"), "not given"),
    ],
)
def test_a_verdict_says_what_it_would_take(row: Reproduced, text: str) -> None:
    assert verdict_text(row) == text


def test_a_row_has_the_number_its_mark_ours_the_interval_and_the_margin() -> None:
    verdicts, settings = reproduction_tables(held())
    assert verdicts.title == "ours against S-1 (reported)"
    row = next(row for row in verdicts.rows if row.name == "chartqa")
    published, here, interval, margin, noise, verdict = (cell.value for cell in row.cells)
    assert (published, here) == ("70.5 D", "66.7")
    assert interval.startswith("[")
    assert margin.startswith("±")
    assert noise.startswith("sampling ±")
    assert verdict.startswith("inconclusive: needs n ≥ ")
    assert settings.corner == "setting"
    assert "registry hash" in [row.name for row in settings.rows]


def test_the_notes_explain_the_noise_that_was_used_the_failures_and_the_marks() -> None:
    notes = " ".join(reproduction_notes([held([1, None, 0])]))
    assert "Noise by sampling" in notes
    assert "Noise by rerun" not in notes
    assert "†n" in notes
    assert "D: from a digest" in notes


def test_the_json_holds_every_row_and_difference() -> None:
    found = held()
    document = json.loads(reproductions_json([found]))
    (run,) = document["runs"]
    assert (document["schema"], run["system"], run["against"]["system"]) == (1, "ours", "S-1")
    assert len(run["rows"]) == len(found.rows)
    row = next(row for row in run["rows"] if row["scope"] == "maestro_chartqa")
    assert row["tested"]["noise"] == "sampling"
    assert row["tested"]["needed"]["of"] == "samples"
    assert {each["setting"] for each in run["differences"]} == {each.setting for each in found.differences}


def test_hostile_names_do_not_act() -> None:
    text = render_reproductions([held(name=HOSTILE, word=HOSTILE)])
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
