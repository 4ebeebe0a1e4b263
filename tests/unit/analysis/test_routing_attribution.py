"""Whose doing it is that an answer is not right: one test a rule, in the order of the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from unit.analysis.routing_worlds import TASK, answer, call, episode, malformed, rollout, routed, search, unknown

from maestro_eval.analysis.routing import Blame, attribute
from maestro_eval.analysis.routing.attribution import is_right
from maestro_eval.records import CallError, Exhausted, Failed, MissingEvidence, RolloutKey, Turn

POLICY = "openai:http://here/v1"


def side(*turns: Turn, policy: str = POLICY, **world: object) -> str:
    one = episode(*turns, **world)
    assert not is_right(one)
    return attribute(one, world.get("task", TASK), policy).side


def rule(*turns: Turn, policy: str = POLICY) -> str:
    return attribute(episode(*turns), TASK, policy).rule


def test_a_right_answer_has_nobody_to_blame() -> None:
    assert is_right(episode(search("I see 6"), answer("7")))


@pytest.mark.parametrize(
    ("cause", "whose"),
    [
        ("policy", "policy"),
        ("expert", "expert"),
        ("service", "service"),
        ("sample", "harness"),
        ("deadline", "harness"),
        ("harness", "harness"),
    ],
)
def test_a_failure_is_its_causes(cause: str, whose: str) -> None:
    assert side(search(None), outcome=Failed(cause, "…")) == whose


def test_an_exhausted_rollout_is_the_policys_whatever_it_had_been_told() -> None:
    assert side(search("Answer: 7"), outcome=Exhausted("turns")) == "policy"


def test_an_empty_answer_is_the_policys() -> None:
    assert side(search("Answer: 7"), answer("  ")) == "policy"


def test_an_answer_from_which_none_was_read_is_the_parsers() -> None:
    assert side(search("Answer: 6"), answer("as many as there are")) == "parser"


def test_an_answer_that_there_is_none_is_not_the_parsers() -> None:
    assert rule(search("I cannot tell: too dark."), answer("I cannot tell")) == (
        "every expert asked said that it cannot tell"
    )


def test_a_wrong_answer_of_an_expert_asked_directly_is_the_experts() -> None:
    assert side(answer("6"), policy="direct:reader") == "expert"


@pytest.mark.parametrize("turns", [(), (malformed(),), (unknown(),)])
def test_a_wrong_answer_without_a_call_is_the_policys(turns: tuple[Turn, ...]) -> None:
    assert side(*turns, answer("6")) == "policy"


def test_an_answer_that_an_observation_had_right_was_lost_by_the_policy() -> None:
    assert rule(search("I count.\nAnswer: 7"), search("Answer: 6"), answer("6")) == (
        "an observation held the right answer"
    )


def test_an_observation_is_judged_as_an_answer_and_not_searched_for_the_target() -> None:
    # 7 stands in it, but is not what it says.
    assert side(search("Of 7 signs I can read 6.\nAnswer: 6"), answer("6")) == "expert"


def test_a_reply_that_was_cut_on_its_way_to_the_policy_is_ours() -> None:
    assert side(search("…", calls=[call("Answer: 7")]), answer("6")) == "harness"


def test_missing_evidence_is_the_services_where_no_expert_had_the_answer() -> None:
    lost = (MissingEvidence("spotter", 1, "http 503", CallError("http", "busy", 503)),)
    assert side(replace(search("Answer: 6"), missing=lost), answer("6")) == "service"
    assert side(replace(search("Answer: 7"), missing=lost), answer("6")) == "policy"


def test_a_wrong_answer_after_wrong_replies_is_the_experts() -> None:
    assert rule(search("Answer: 6"), search("I cannot tell"), answer("6")) == "no expert asked supplied it"


def test_replies_that_are_programs_are_not_run() -> None:
    task = replace(TASK, metric="python_tests")
    one = episode(search("def f(): …"), answer("6"))
    judged = replace(one, score=replace(one.score, value=0.0, extracted="def f"))
    assert attribute(judged, task, POLICY).side == "open"


def test_what_never_ran_is_counted_as_the_harnesss(tmp_path: Path) -> None:
    rollouts = [rollout(search("Answer: 6"), answer("6"), sample="a"), rollout(answer("7"), sample="b")]
    found = routed(tmp_path / "run", rollouts, never_ran=[RolloutKey("signs", "c"), RolloutKey("signs", "d")])
    assert found.blame == (
        Blame("signs", "expert", "no expert asked supplied it", 1),
        Blame("signs", "harness", "never ran", 2),
    )


def test_every_rollout_without_full_marks_is_attributed_once(tmp_path: Path) -> None:
    worlds = [
        rollout(search("6"), answer("6"), sample="a"),
        rollout(search("7"), answer("6"), sample="b"),
        rollout(answer("7"), sample="c"),
        rollout(malformed(), sample="d", outcome=Exhausted("turns")),
        rollout(search(None), sample="e", outcome=Failed("service", "…")),
    ]
    found = routed(tmp_path / "run", worlds)
    assert sum(each.rollouts for each in found.blame) == 4
