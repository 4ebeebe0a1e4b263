from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.report.report_comparisons import HOSTILE, detailed, hostile, page, quickstart
from unit.report.routing_reports import hostile as hostile_routing

from maestro_eval.analysis import Comparison
from maestro_eval.records import RegistryVariant, Selection
from maestro_eval.report import Document, Notes, Section, render_markdown
from maestro_eval.report.document import Figure
from maestro_eval.report.write import escape

BAR = re.compile(r"(?<!\\)\|")


def markdown(comparison: Comparison) -> str:
    return render_markdown(page(comparison))


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_begins_with_the_headline_then_the_main_table_then_folded_sections() -> None:
    text = markdown(quickstart(failures=0))
    places = [
        text.index(part)
        for part in (
            "- router augmented against router base: +", "## Accuracy", "### main (mini)", "## Notes",
            "## Differences\n\n<details>", "## Provenance\n\n<details>",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert text.count("<details>") == text.count("</details>") == 4


def test_says_what_was_run_and_where_every_number_comes_from() -> None:
    text = markdown(quickstart())
    assert "### what was run\n" in text
    for field in ("registry", "prompt", "policy", "seed", "regime", "protocol", "versions", "services"):
        assert f"\n| {field} |" in text
    assert "max_turns=5" in text
    assert "2023-11-14 22:13 UTC" in text
    assert "| expert calls |" in text
    assert "model calls" not in text


def test_a_registry_that_was_changed_for_the_run_says_so() -> None:
    comparison = quickstart()
    first = comparison.systems[0]
    registry = replace(first.manifest.registry, variant=RegistryVariant(rename=True))
    renamed = replace(first, manifest=replace(first.manifest, registry=registry))
    text = markdown(replace(comparison, systems=(renamed, *comparison.systems[1:])))
    assert re.search(r"\| variant \| renamed \| as it stands \| as it stands \|", text)


def test_the_best_of_a_column_is_bold_and_failures_are_marked() -> None:
    text = markdown(quickstart(failures=2))
    assert re.search(r"\| router augmented \|.*\*\*\d", text)
    assert "†2" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    pages = [page(each) for each in (quickstart(), hostile(), detailed("a", "b"), detailed("a", word=HOSTILE))]
    for document in (*pages, page(hostile(), routings=(hostile_routing(),))):
        for block in render_markdown(document).split("\n\n"):
            lines = table_lines(block)
            assert len({len(BAR.findall(line)) for line in lines}) <= 1


@pytest.mark.parametrize("make", [hostile, lambda: detailed("a", word=HOSTILE)])
def test_hostile_names_are_shown_and_do_not_act(make: object) -> None:
    text = markdown(make())  # type: ignore[operator]
    assert "\\[red\\]a\\|b\\[/red\\]" in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_what_differs_between_systems_stands_side_by_side() -> None:
    comparison = quickstart()
    first = comparison.systems[0]
    seeded = replace(first, manifest=replace(first.manifest, seed=7))
    text = markdown(replace(comparison, systems=(seeded, *comparison.systems[1:])))
    assert "| seed | 7 | 0 | 0 |" in text
    assert "\n| seed | 0 |\n" not in text


@given(st.text())
def test_escaped_text_is_one_line_without_live_markup(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"[<>]", escaped)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*]", escaped.replace("\\|", "").replace("\\`", "").replace("\\*", ""))


def test_figures_are_linked_and_words_are_words() -> None:
    figure = Figure("calls", "<svg/>", "Who | was <b>called</b>")
    section = Section("S", (figure, Notes(("`one`", "two"))), folded=False)
    text = render_markdown(Document("T *x*", (Notes(("a_b ![x](http://evil)",)),), (section,)))
    assert "# T \\*x\\*" in text
    assert "(figures/calls.svg)" in text
    assert "!\\[x\\](http://evil)" in text
    assert "&lt;b&gt;" in text
    assert "<" not in text.replace("&lt;", "")
    assert "- \\`one\\`" in text


@pytest.mark.parametrize("text", ["plain name", "maestro_mini_chartqa", "openai:http://127.0.0.1:8000/v1"])
def test_ordinary_names_stay_readable(text: str) -> None:
    assert escape(text) == text


def test_a_long_list_of_sample_ids_is_counted_and_not_printed() -> None:
    comparison = quickstart()
    ids = tuple(f"sample-{index}" for index in range(1000))
    systems = tuple(
        replace(system, manifest=replace(system.manifest, selection=Selection(sample_ids=ids)))
        for system in comparison.systems
    )
    text = markdown(replace(comparison, systems=systems))
    assert "| selection | 1000 sample ids given |" in text
    assert "sample-7" not in text
