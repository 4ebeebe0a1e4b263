"""The routing report in tables."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace
from unit.report.routing_reports import behaviour, hostile, routing

from maestro_eval.analysis.routing import SIDES, Cost
from maestro_eval.analysis.routing.build import Blame
from maestro_eval.analysis.stats.estimates import Estimate
from maestro_eval.report import Cell, Document, Section, Table, render_markdown, render_terminal
from maestro_eval.report.routing import MOST_PAIRS, OTHERS, routing_sections, seconds


def table(sections: tuple[Section, ...], heading: str, title: str) -> Table:
    (section,) = [each for each in sections if each.heading == heading]
    return next(each for each in section.blocks if isinstance(each, Table) and each.title == title)


def cells(found: Table, row: str) -> dict[str, Cell]:
    (chosen,) = [each for each in found.rows if each.name == row]
    return {column.title: cell for column, cell in zip(found.columns, chosen.cells, strict=True)}


def test_calls_have_their_share_of_the_benchmarks_calls() -> None:
    calls = table(routing_sections([routing()]), "Who was called", "router: calls by benchmark")
    assert cells(calls, "counter@@Read") == {
        "signs": Cell("20", "(40 %)"),
        "counts": Cell("0"),
        "all": Cell("20", "(20 %)"),
    }
    assert cells(calls, "all calls") == {"signs": Cell("50"), "counts": Cell("50"), "all": Cell("100")}


def test_pairs_that_are_called_least_are_summed_up_and_none_is_lost() -> None:
    pairs = {f"e{i}@@s": 100 - i for i in range(60)}
    sections = routing_sections([replace(routing(), mix={"maestro_signs": pairs})])
    *rows, whole = table(sections, "Who was called", "router: calls by benchmark").rows
    assert len(rows) == MOST_PAIRS
    assert rows[-1].name == OTHERS
    counts = [int(row.cells[0].value.replace(",", "")) for row in (*rows, whole)]
    assert sum(counts[:-1]) == counts[-1] == sum(pairs.values())


def test_a_system_that_calls_nobody_has_no_table_of_calls() -> None:
    quiet = replace(routing("direct"), mix={}, accuracy_given=())
    headings = [section.heading for section in routing_sections([quiet])]
    assert "Who was called" not in headings
    assert "Accuracy given a call" not in headings


def test_turns_and_calls_are_shares_of_what_they_are_among() -> None:
    found = cells(table(routing_sections([routing()]), "Turns", "turns and calls"), "router")
    assert found["rollouts"] == Cell("80")
    assert found["turns a rollout"] == Cell("2.25")
    assert found["calls a rollout"] == Cell("1.25")
    assert found["same request again"] == Cell("10", "(10 %)")
    assert found["malformed turns"] == Cell("6", "(3 %)")


def test_shares_of_nothing_are_not_zero() -> None:
    silent = replace(routing(), behaviour=(behaviour("maestro_signs", rollouts=0, turns={}, said=0, calls=0),))
    found = cells(table(routing_sections([silent]), "Turns", "turns and calls"), "router")
    assert {found[title].value for title in ("turns a rollout", "malformed turns")} == {"–"}


def test_losses_add_up_to_the_rollouts_without_a_right_answer() -> None:
    lost = cells(
        table(routing_sections([routing()]), "Where answers were lost", "rollouts without a right answer"), "router"
    )
    assert lost["not right"] == Cell("18", "(21 %)")  # of the 84 that were planned
    assert lost["expert"] == Cell("12", "(67 %)")
    assert sum(int(lost[side].value) for side in SIDES[:-1]) + int(lost["not attributed"].value) == 18


def test_a_rule_is_a_row_over_all_systems() -> None:
    other = replace(routing("other"), blame=(Blame("maestro_signs", "expert", "no expert asked supplied it", 1),))
    rules = table(routing_sections([routing(), other]), "Where answers were lost", "by rule")
    assert cells(rules, "expert: no expert asked supplied it") == {"router": Cell("12"), "other": Cell("1")}
    assert cells(rules, "harness: never ran") == {"router": Cell("2"), "other": Cell("0")}


def test_without_prices_there_is_no_cost_at_all() -> None:
    assert "Cost" not in [section.heading for section in routing_sections([routing()])]


def test_an_unknown_cost_is_unknown_in_every_sum_and_says_for_want_of_what() -> None:
    known, unknown = routing("known", currency="EUR"), routing("unknown", currency="EUR")
    unknown = replace(unknown, costs=(unknown.costs[0], Cost("maestro_counts", 40, None, 0.1, None, ("big-model",))))
    sections = routing_sections([known, unknown])
    total = table(sections, "Cost", "cost in EUR")
    assert cells(total, "known") == {"uncached": Cell("0.800"), "paid": Cell("0.600")}
    assert cells(total, "unknown") == {"uncached": Cell("unknown"), "paid": Cell("0.400")}
    right = table(sections, "Cost", "cost of a right answer in EUR")
    assert cells(right, "unknown") == {"signs": Cell("0.0200", "[0.0150, 0.0300]"), "counts": Cell("unknown")}
    (section,) = [each for each in sections if each.heading == "Cost"]
    assert "unknown: unknown, for want of a price of big-model." in str(section.blocks)


def test_a_right_answer_that_never_came_costs_without_end() -> None:
    costly = routing(currency="EUR")
    endless = Cost("maestro_signs", 40, 1.0, 1.0, Estimate(math.inf, 2.0, math.inf, 40, "…"))
    right = table(routing_sections([replace(costly, costs=(endless,))]), "Cost", "cost of a right answer in EUR")
    assert cells(right, "router")["signs"] == Cell("∞", "[2.00, ∞]")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.04567, "0.0457"), (1.0, "1.00"), (15.04, "15.0"), (99.96, "100"), (1234.5, "1234")]
)
def test_seconds_have_three_digits(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("amount", "shown"), [(0.0, "0.00"), (1.94e-05, "0.0000194"), (0.5, "0.500"), (9.876, "9.88"), (1234.5, "1,234.50")]
)
def test_money_is_written_without_an_exponent(amount: float, shown: str) -> None:
    free = routing(currency="EUR")
    priced = replace(free, costs=(Cost("maestro_signs", 1, amount, 0.0, None),))
    each = table(routing_sections([priced]), "Cost", "cost of a rollout in EUR")
    assert cells(each, "router")["signs"] == Cell(shown)


def test_hostile_names_are_one_line_in_every_cell() -> None:
    document = Document("", (), routing_sections([hostile()]))
    for text in (render_terminal(document), render_markdown(document)):
        assert not any(sign in text for sign in ("\x1b", "\u202e"))
        assert not any(line.startswith("`") for line in text.splitlines())
