"""A registry swap as tables, Markdown and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import asdict, replace

from maestro_eval.analysis import Bounds, Contrast, Estimate
from maestro_eval.analysis.comparison import ScopeKind
from maestro_eval.analysis.swap.adoption import Adoption, Choices, Credit, Domain, StratumEffect
from maestro_eval.analysis.swap.settings import Allowed, EntryChanges
from maestro_eval.analysis.swap.swap import DomainEffect, OrderSpread, Robustness, ScopeEffect, Swap, VariantRun
from maestro_eval.report import Notes, Table, render_markdown, render_terminal, write_swap
from maestro_eval.report.swap import swap_document, swap_headline, swap_section, swap_summary

GAIN, NONE = Estimate(0.25, 0.1, 0.4, 40, "m"), Estimate(0.0, -0.05, 0.05, 80, "m")


def contrast(scope: str, kind: ScopeKind, found: Estimate) -> Contrast:
    return Contrast(found, system="router (augmented)", baseline="router (base)", scope=scope, kind=kind)


def effect(
    scope: str, kind: ScopeKind, domain: Domain, found: Estimate, touched: StratumEffect, untouched: StratumEffect
) -> ScopeEffect:
    strata = {"domain": domain, "mini": True, "touched": touched, "untouched": untouched}
    return ScopeEffect(**asdict(contrast(scope, kind, found)), **strata)


SWAP = Swap(
    base="router (base)",
    augmented="router (augmented)",
    protocol="official",
    base_registry="small",
    augmented_registry="large",
    entries=EntryChanges(("experts.ear",), ("skills.Look",), ()),
    allowed=(Allowed("seed", "0", "1"),),
    effects=(
        effect("maestro_mini_signs", "task", "out", GAIN, StratumEffect(30, 0.75, GAIN), StratumEffect(10, 0.25, NONE)),
        effect("mini_main", "mean", "in", NONE, StratumEffect(0, 0.0, None), StratumEffect(80, 1.0, NONE)),
    ),
    domains=(DomainEffect(True, NONE, GAIN, GAIN, ("a", "b"), ("maestro_mini_signs",)),),
    adoption=(
        Adoption("maestro_mini_signs", "out", 40, 30, 30, 12, 2, 15, 1, 3, 4, Choices(20, 9, 10, 18.5, 5.0, 6.5)),
        Adoption("maestro_mini_chart|<b>", "in", 0, 0, 0, 1, 2, 0, 0, 4, 3),
    ),
    credits=(Credit("experts.ear", 30, 12.5, 2.0), Credit("", 9, 1.0, 1.0)),
    notes=("mind the gap",),
    robustness=Robustness(
        (
            VariantRun("p1", "permuted 1", "permuted", "", "r", (contrast("mini_main", "mean", NONE),)),
            VariantRun("w", "without ear", "without", "ear", "r", (contrast("mini_main", "mean", GAIN),)),
        ),
        (
            OrderSpread(
                "r", "mini_main", "mean", 3, 0.5, 0.45, 0.4, 0.52, 0.12, None, Bounds(0.45, 0.47), Bounds(0.1, 0.14)
            ),
        ),
    ),
)  # fmt: skip


def cells(table: Table, row: int = 0) -> list[str]:
    return [f"{each.value} {each.interval}".strip() for each in table.rows[row].cells]


def tables_of(swap: Swap) -> dict[str, Table]:
    return {block.title: block for block in swap_section(swap).blocks if isinstance(block, Table)}


TABLES = tables_of(SWAP)


def test_the_tables_come_in_the_order_of_what_they_conclude() -> None:
    assert list(TABLES) == [
        "router (augmented) against router (base)",
        "where a new entry was called, and where none was",
        "difference in differences",
        "adoption: calls, and what became of the samples",
        "adopted of explored samples, where …",
        "gains and losses by entry",
        "r: accuracy over listing orders",
        "variants: accuracy of the variant − that of its reference",
        "contribution of an entry: accuracy with it − without it",
    ]


def test_a_difference_stands_beside_its_strata() -> None:
    table = TABLES["router (augmented) against router (base)"]
    assert [row.name for row in table.rows] == ["signs (mini)", "mean of main (mini)"]
    assert [row.is_mean for row in table.rows] == [False, True]
    assert cells(table) == ["+25.0 [10.0, 40.0]", "40", "75.0 %"]
    strata = TABLES["where a new entry was called, and where none was"]
    assert cells(strata) == ["+25.0 [10.0, 40.0]", "0.0 [−5.0, 5.0]"]
    assert cells(strata, 1)[0] == "–"


def test_the_headline_says_what_the_registry_is_worth() -> None:
    assert swap_headline(SWAP) == "With large instead of small: no difference beyond ±5.0 points in domain (mini)"
    signs, _ = SWAP.effects
    out = replace(SWAP, effects=(replace(signs, kind="mean"), SWAP.effects[1]))
    assert swap_headline(out) == (
        "With large instead of small: +25.0 points [10.0, 40.0] out of domain (mini); no difference beyond ±5.0 points "
        "in domain (mini)"
    )
    tasks = replace(SWAP, effects=tuple(replace(each, kind="task") for each in SWAP.effects))
    assert swap_headline(tasks) == (
        "With large instead of small: +25.0 points [10.0, 40.0] on signs (mini); no difference beyond ±5.0 points on "
        "main (mini)"
    )


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_the_headline_the_differences_and_three_notes(width: int) -> None:
    tasks, mean = SWAP.effects
    many = replace(SWAP, effects=(*([tasks] * 30), mean), notes=("note",) * 30)
    for swap in (SWAP, many):
        said = render_terminal(swap_summary(swap, width=width, lines=38), width).splitlines()
        assert len(said) <= 38
        assert max(map(len, said)) <= width
        assert said[0].startswith("With large instead of small: ")
        assert sum(line.startswith("· ") for line in said) == 3


@pytest.mark.parametrize(
    ("title", "row", "shown"),
    [
        (
            "difference in differences",
            0,
            ["0.0 [−5.0, 5.0]", "+25.0 [10.0, 40.0]", "+25.0 [10.0, 40.0]", "2, 1"],
        ),
        ("adoption: calls, and what became of the samples", 0, ["40", "75.0 %", "30", "12", "2", "15", "1", "3", "4"]),
        ("adoption: calls, and what became of the samples", 1, ["0", "–", "0", "1", "2", "0", "0", "4", "3"]),
        ("adopted of explored samples, where …", 0, ["18.5 of 20", "5 of 9", "6.5 of 10", "0"]),
        ("gains and losses by entry", 0, ["30", "12.5", "2", "+10.5"]),
        ("gains and losses by entry", 1, ["9", "1", "1", "0"]),
        ("r: accuracy over listing orders", 0, ["50.0", "45.0 [45.0, 47.0]", "12.0 [10.0, 14.0]", "40.0 – 52.0", "3"]),
        ("variants: accuracy of the variant − that of its reference", 0, ["0.0 [−5.0, 5.0]"]),
        # Without it 25 points more: with it 25 fewer.
        ("contribution of an entry: accuracy with it − without it", 0, ["−25.0 [−40.0, −10.0]"]),
    ],
)
def test_each_table_shows_its_numbers(title: str, row: int, shown: list[str]) -> None:
    assert cells(TABLES[title], row) == shown


def test_variants_of_several_runs_say_of_which() -> None:
    assert SWAP.robustness is not None
    other = replace(SWAP.robustness.runs[0], reference="q|")
    robustness = replace(SWAP.robustness, runs=(*SWAP.robustness.runs, other))
    tables = tables_of(replace(SWAP, robustness=robustness))
    varied = tables["variants: accuracy of the variant − that of its reference"]
    assert [column.title for column in varied.columns] == ["permuted 1 (of r)", "permuted 1 (of q|)"]


def test_the_notes_begin_with_what_was_swapped_and_say_what_was_allowed() -> None:
    (notes,) = (block.items for block in swap_section(SWAP).blocks if isinstance(block, Notes))
    assert "small → large: added: experts.ear; changed: skills.Look" in notes
    assert any(
        "by --allow the runs differ in seed too: 0 in router (base), 1 in router (augmented)" in n for n in notes
    )
    assert any("2 in-domain samples were lost and 1 gained; where none was, 3" in n for n in notes)
    assert notes[-1] == "mind the gap"


def test_markdown_is_a_document_and_names_do_no_harm_in_it() -> None:
    hostile = replace(SWAP, augmented="a|<img src=x>\n# b", notes=("see <script>",))
    text = render_markdown(swap_document(hostile))
    assert text.startswith("# Registry swap\n")
    assert "<img" not in text
    assert "<script>" not in text
    assert "\n# b" not in text
    assert r"chart\|&lt;b&gt; (mini)" in text
    assert text.count("\n### ") == len(TABLES)


def test_json_holds_the_whole_report_and_is_rounded(tmp_path: Path) -> None:
    page, numbers = write_swap(SWAP, tmp_path)
    assert page.with_suffix(".md").read_text() == render_markdown(swap_document(SWAP))
    held = json.loads(numbers.read_text())
    assert held.pop("schema") == 2
    assert str(held["robustness"]["runs"][0]["scopes"][0]["difference"]["value"]) == "0.0"
    assert msgspec.convert(held, Swap) == SWAP
