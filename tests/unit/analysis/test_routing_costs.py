"""Tokens, seconds and money, from the records."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from msgspec.structs import replace
from unit.analysis.routing_worlds import answer, call, malformed, rollout, routed, search

from maestro_eval.analysis.routing import load_prices, models_called, price_template
from maestro_eval.analysis.routing.costs import PriceTable
from maestro_eval.analysis.stats.estimates import wilson
from maestro_eval.records import ExpertCall, RolloutKey, Usage, UserError

MODEL = "reader-model"


def prices(**models: object) -> PriceTable:
    return PriceTable.model_validate({"schema": 1, "currency": "EUR", "models": models})


READER = {"prompt_per_million": 1e5, "completion_per_million": 1e6}
"""A call of 10 + 5 tokens costs 1 + 5."""


def test_tokens_are_summed_by_part_and_cached_ones_told_apart(tmp_path: Path) -> None:
    asked = [
        call("a sign", name="spotter", kind="service", tokens=(3, 1)),
        call("7", tokens=(10, 5), cached=True),
        call("", tokens=(0, 0)),
    ]
    turns = (search("7", calls=asked, usage=Usage(100, 20)), answer("7", Usage(200, 10)))
    (use,) = routed(tmp_path / "run", [rollout(*turns)], policy="openai:http://here/v1").tokens
    assert (use.policy, use.experts, use.services) == (Usage(300, 30), Usage(10, 5), Usage(3, 1))
    assert (use.cached, use.uncounted, use.total) == (Usage(10, 5), 1, 349)


def test_an_expert_asked_directly_is_not_counted_as_the_policy_too(tmp_path: Path) -> None:
    turn = answer("7", Usage(10, 5))
    turn = type(turn)(turn.text, turn.action, calls=(call("7"),), usage=Usage(10, 5))
    (use,) = routed(tmp_path / "run", [rollout(turn)], policy="direct:reader").tokens
    assert (use.policy, use.experts) == (Usage(), Usage(10, 5))


def test_percentiles_are_of_the_records_without_cached_and_failed_calls(tmp_path: Path) -> None:
    calls = [call("7", seconds=s) for s in (1.0, 2.0, 4.0)]
    calls += [call("7", seconds=0.001, cached=True), call("", seconds=60, error="timeout: …")]
    found = routed(tmp_path / "run", [rollout(search("7", calls=calls), answer("7"), seconds=9.0)])
    by_name = {(each.what, each.name): each for each in found.latencies}
    reader = by_name["expert", "reader"]
    assert (reader.n, reader.p50, reader.p90, reader.cached, reader.failed) == (3, 2.0, pytest.approx(3.6), 1, 1)
    assert by_name["endpoint", "http://here/v1"].n == 3
    assert found.rollout_seconds["signs"].p50 == found.rollout_seconds[""].p99 == 9.0
    assert found.rollout_seconds["signs"].cached == 1


def test_a_policys_turn_lasts_until_its_first_call(tmp_path: Path) -> None:
    # The turn begins at 99 and its call at 100; the answer's turn takes half a second.
    found = routed(tmp_path / "run", [rollout(search("7"), answer("7"))], policy="vllm:model")
    (policy,) = [each for each in found.latencies if each.what == "policy"]
    assert (policy.n, policy.p50) == (2, pytest.approx(0.75))


def test_cost_is_full_price_and_what_was_paid(tmp_path: Path) -> None:
    calls = [call("7"), call("7", cached=True)]
    rollouts = [
        rollout(search("7", calls=calls), answer("7"), sample="a"),
        rollout(search("6"), answer("6"), sample="b"),
    ]
    (cost,) = routed(tmp_path / "run", rollouts, prices=prices(**{MODEL: READER}), policy="router").costs
    assert (cost.full, cost.paid, cost.per_rollout) == (pytest.approx(18), pytest.approx(12), pytest.approx(9))
    accuracy = wilson(1, 2)
    each = cost.per_correct
    assert each is not None
    assert (each.value, each.low, each.high) == pytest.approx((18, 9 / accuracy.high, 9 / accuracy.low))


def test_rollouts_that_never_ran_have_cost_nothing(tmp_path: Path) -> None:
    ran = [rollout(search("7"), answer("7"), sample=sample) for sample in "ab"]
    never = [RolloutKey("signs", sample) for sample in "cd"]
    (cost,) = routed(tmp_path / "run", ran, never_ran=never, prices=prices(**{MODEL: READER})).costs
    each = cost.per_correct
    assert each is not None
    # Two right answers for 12 in all; had the others run, they would have cost as much.
    assert (each.value, each.low, each.high) == pytest.approx((6, 6 / wilson(4, 4).high, 6 / wilson(2, 4).low))


def test_tokens_of_a_turn_that_only_thought_are_counted(tmp_path: Path) -> None:
    silent = replace(malformed(), text="")
    silent = type(silent)(silent.text, silent.action, usage=Usage(100, 4000))
    found = routed(tmp_path / "run", [rollout(silent, answer("7", Usage(50, 5)))], policy="vllm:m")
    assert found.tokens[0].policy == Usage(150, 4005)


def test_a_right_answer_costs_without_end_where_there_is_none(tmp_path: Path) -> None:
    found = routed(tmp_path / "run", [rollout(search("6"), answer("6"))], prices=prices(**{MODEL: READER}))
    each = found.costs[0].per_correct
    assert each is not None
    assert (each.value, each.high) == (math.inf, math.inf)
    assert each.low == pytest.approx(6 / wilson(0, 1).high)


@pytest.mark.parametrize(
    ("table", "made", "full", "paid", "unknown"),
    [
        ({}, call("7"), None, None, MODEL),
        ({MODEL: None}, call("7"), None, None, MODEL),
        ({MODEL: {"prompt_per_million": 0, "completion_per_million": 0}}, call("7"), 0, 0, ""),
        ({MODEL: READER}, call("7", tokens=(0, 0)), None, None, f"{MODEL} (tokens not reported)"),
        ({MODEL: {"gpu_hour": 3.6, "gpus": 2, "calls_at_once": 4}}, call("7", seconds=10), 0.005, 0.005, ""),
        (
            {MODEL: {"gpu_hour": 1}},
            call("7", cached=True),
            None,
            0,
            f"{MODEL} (a cached reply's seconds are not known)",
        ),
        ({}, call("", error="http 503: …"), 0, 0, ""),
    ],
    ids=["no price", "null", "free", "no tokens", "by the hour", "cached by the hour", "no reply"],
)
def test_a_call_has_its_price_or_a_reason_why_its_cost_is_unknown(
    tmp_path: Path, table: dict[str, object], made: ExpertCall, full: float | None, paid: float | None, unknown: str
) -> None:
    turns = (search("7", calls=[made]), answer("7"))
    (cost,) = routed(tmp_path / "run", [rollout(*turns)], prices=prices(**table)).costs
    assert (cost.full, cost.paid) == (pytest.approx(full), pytest.approx(paid))
    assert cost.unknown == ((unknown,) if unknown else ())
    assert (cost.per_correct is None) is (full is None)


def test_without_a_price_table_there_is_no_cost(tmp_path: Path) -> None:
    found = routed(tmp_path / "run", [rollout(search("7"), answer("7"))])
    assert (found.currency, found.costs[0].full, found.costs[0].unknown) == ("", None, ())


def test_a_template_lists_the_models_without_a_price_and_loads(tmp_path: Path) -> None:
    routed(tmp_path / "run", [rollout(search("7"), answer("7"))], policy="vllm:m")
    assert models_called(tmp_path / "run") == {MODEL, "m"}
    file = tmp_path / "prices.yaml"
    file.write_text(price_template(['od"d: [', MODEL, "m"]))
    table = load_prices(file)
    assert set(table.models) == {'od"d: [', MODEL, "m"}
    assert not any(table.models.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schema: 2\ncurrency: EUR\n", r"prices.yaml:1: schema"),
        ("schema: 1\n", r"prices.yaml:1: currency: Field required"),
        ("schema: 1\ncurrency: EUR\nmodels:\n  m: {prompt_per_million: 1}\n", r"prices.yaml:4: models.m: give prompt"),
        ("schema: 1\ncurrency: EUR\nmodels:\n  m: {gpu_hour: -1}\n", r"prices.yaml:4: models.m.gpu_hour"),
        ("schema: 1\ncurrency: EUR\nmodels:\n  m: {gpu_hour: .nan}\n", r"prices.yaml:4: models.m.gpu_hour"),
        ("schema: 1\ncurrency: EUR\nmodels:\n  m: {price: 1}\n", r"prices.yaml:4: models.m.price"),
        (
            "schema: 1\ncurrency: EUR\nmodels:\n  m: {gpu_hour: 1, prompt_per_million: 1, completion_per_million: 1}\n",
            "give prompt",
        ),
    ],
)
def test_a_table_that_is_none_is_refused_by_file_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=told):
        load_prices(file)
