from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.report.report_comparisons import HOSTILE, detailed, hostile, quickstart

from maestro_eval.records import Selection
from maestro_eval.report import render_markdown, write_markdown
from maestro_eval.report.markdown import escape

BAR = re.compile(r"(?<!\\)\|")


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_says_what_was_run_and_where_every_number_comes_from() -> None:
    text = render_markdown(quickstart())
    for heading in ("What was run", "Accuracy", "Differences", "Notes", "Provenance"):
        assert f"## {heading}\n" in text
    for field in ("registry hash", "prompt hash", "policy", "seed", "regime", "protocol", "versions", "services"):
        assert f"\n- {field}: " in text
    assert "max_turns=5" in text
    assert "2023-11-14 22:13 UTC" in text


def test_calls_are_said_to_be_of_experts_and_measures_of_those_that_gave_a_number() -> None:
    comparison = detailed("a", "b")
    called = replace(comparison.systems[0], calls=12, cached_calls=5)
    text = render_markdown(replace(comparison, systems=(called, *comparison.systems[1:])))
    assert "expert calls: 12, of them 5 from the cache" in text
    assert "model calls" not in text
    assert "### further measures, over the samples that gave a number\n" in text


def test_the_best_of_a_column_is_bold_and_failures_are_marked() -> None:
    text = render_markdown(quickstart(failures=2))
    assert re.search(r"\| router augmented \|.*\*\*\d", text)
    assert "†2" in text
    assert "failed: 2" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    for comparison in (quickstart(), hostile(), detailed("a", "b"), detailed("a", word=HOSTILE)):
        for block in render_markdown(comparison).split("\n\n"):
            lines = table_lines(block)
            assert len({len(BAR.findall(line)) for line in lines}) <= 1


def test_hostile_names_are_shown_and_do_not_act() -> None:
    text = render_markdown(hostile())
    assert "\\[red\\]a\\|b\\[/red\\]" in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_what_differs_between_systems_stands_side_by_side() -> None:
    comparison = quickstart()
    first = comparison.systems[0]
    seeded = replace(first, manifest=replace(first.manifest, seed=7))
    text = render_markdown(replace(comparison, systems=(seeded, *comparison.systems[1:])))
    assert "| seed | 7 | 0 | 0 |" in text
    assert "\n- seed:" not in text


@given(st.text())
def test_escaped_text_is_one_line_without_live_markup(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"[<>]", escaped)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*]", escaped.replace("\\|", "").replace("\\`", "").replace("\\*", ""))


def test_is_written_whole(tmp_path: Path) -> None:
    write_markdown(tmp_path / "report" / "report.md", quickstart())
    assert (tmp_path / "report" / "report.md").read_text() == render_markdown(quickstart())


@pytest.mark.parametrize("text", ["plain name", "maestro_mini_chartqa", "openai:http://127.0.0.1:8000/v1"])
def test_ordinary_names_stay_readable(text: str) -> None:
    assert escape(text) == text


def test_categories_measures_and_repeats_have_their_sections() -> None:
    text = render_markdown(detailed("a", "b"))
    for heading in ("## Categories", "### chartqa by category", "## Further measures", "## Repeats", "### b: repeats"):
        assert f"{heading}\n" in text
    assert "| category | n | a | b |" in text
    assert "| task | avg@4 | pass@2 | pass@4 | majority@4 |" in text
    plain = render_markdown(quickstart())
    assert not any(f"## {heading}" in plain for heading in ("Categories", "Further measures", "Repeats"))


def test_hostile_category_names_do_not_act() -> None:
    text = render_markdown(detailed("a", word=HOSTILE))
    assert "<b>" not in text
    assert "\x1b" not in text


def test_a_long_list_of_sample_ids_is_counted_and_not_printed() -> None:
    comparison = quickstart()
    ids = tuple(f"sample-{index}" for index in range(1000))
    systems = tuple(
        replace(system, manifest=replace(system.manifest, selection=Selection(sample_ids=ids)))
        for system in comparison.systems
    )
    text = render_markdown(replace(comparison, systems=systems))
    assert "- selection: 1000 sample ids given" in text
    assert "sample-7" not in text
