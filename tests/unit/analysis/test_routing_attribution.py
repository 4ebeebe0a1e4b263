"""Whose doing it is that an answer is not right: one test a rule, in the order of the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from unit.analysis.routing_worlds import (
    TASK,
    answer,
    call,
    malformed,
    manifest,
    rollout,
    routed,
    scored,
    search,
    unknown,
)

from maestro_eval.analysis.routing import Attribution, attribute, is_right
from maestro_eval.analysis.routing.build import Blame
from maestro_eval.records import CallError, Candidate, Exhausted, Failed, MissingEvidence, Outcome, RolloutKey, Turn

POLICY = "openai:http://here/v1"


LOST = (MissingEvidence("spotter", 1, "http 503", CallError("http", "busy", 503)),)
SUPPLIED = "no expert asked supplied it"
HELD = "an observation held the right answer"


def test_a_right_answer_has_nobody_to_blame() -> None:
    assert is_right(scored(search("I see 6"), answer("7")))


@pytest.mark.parametrize(
    ("turns", "whose", "rule"),
    [
        ([search("Answer: 7"), answer("  ")], "policy", "empty answer"),
        ([search("Answer: 6"), answer("as many as there are")], "parser", "no answer was read from what was said"),
        # That there is none is an answer.
        (
            [search("I cannot tell: too dark."), answer("I cannot tell")],
            "expert",
            "every expert asked said that it cannot tell",
        ),
        ([answer("6")], "policy", "answered without a call that reached an expert"),
        ([malformed(), answer("6")], "policy", "answered without a call that reached an expert"),
        ([unknown(), answer("6")], "policy", "answered without a call that reached an expert"),
        ([search("I count.\nAnswer: 7"), search("Answer: 6"), answer("6")], "policy", HELD),
        # 7 stands in the observation, but is not what it says.
        ([search("Of 7 signs I can read 6.\nAnswer: 6"), answer("6")], "expert", SUPPLIED),
        (
            [search("…", calls=[call("Answer: 7")]), answer("6")],
            "harness",
            "an expert's reply held it, the observation made of it did not",
        ),
        (
            [replace(search("Answer: 6"), missing=LOST), answer("6")],
            "service",
            "no expert supplied it, and evidence was missing",
        ),
        ([replace(search("Answer: 7"), missing=LOST), answer("6")], "policy", HELD),
        ([search("Answer: 6"), search("I cannot tell"), answer("6")], "expert", SUPPLIED),
    ],
)
def test_a_wrong_answer_is_put_down_to_a_side_by_a_rule(turns: list[Turn], whose: str, rule: str) -> None:
    one = scored(*turns)
    assert not is_right(one)
    assert attribute(one, TASK, POLICY) == Attribution(whose, rule)


def test_a_wrong_answer_of_an_expert_asked_directly_is_the_experts() -> None:
    assert attribute(scored(answer("6")), TASK, "direct:reader").side == "expert"


@pytest.mark.parametrize(
    ("outcome", "whose"),
    [
        *((Failed(cause, "…"), cause) for cause in ("policy", "expert", "service")),
        *((Failed(cause, "…"), "harness") for cause in ("sample", "deadline", "harness")),
        (Exhausted("turns"), "policy"),
    ],
)
def test_a_rollout_without_an_answer_is_its_causes_whatever_it_had_been_told(outcome: Outcome, whose: str) -> None:
    assert attribute(scored(search("Answer: 7"), outcome=outcome), TASK, POLICY).side == whose


def test_replies_that_are_programs_are_not_run() -> None:
    task = replace(TASK, metric="python_tests")
    one = scored(search("def f(): …"), answer("6"))
    judged = replace(one, score=replace(one.score, value=0.0, extracted="def f"))
    assert attribute(judged, task, POLICY).side == "open"


def test_a_candidate_of_an_explore_run_is_judged_by_its_own_policy() -> None:
    explored = manifest(policy="explore", candidates=(Candidate("fixed:reader@@Reading"), Candidate("direct:reader")))
    sides = [attribute(scored(answer("6")), TASK, explored.policy_of(repeat)).side for repeat in (0, 1)]
    assert sides == ["policy", "expert"]


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
