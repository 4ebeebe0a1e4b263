"""What becomes of a rollout's outcome under each protocol."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from maestro_eval.records import (
    AnswerAction,
    Answered,
    Exhausted,
    Failed,
    Limit,
    MalformedAction,
    Outcome,
    Rollout,
    RolloutKey,
    Sample,
    SearchAction,
    TaskRecord,
    Turn,
    UserError,
)
from maestro_eval.scoring import score_rollout, unscored
from maestro_eval.scoring.judging import released_text

_SAMPLE = Sample(
    "maestro_t", "s1", "?", ("7",), category="simple", stratum="cycle 2", cluster="img", content_hash="abc"
)
_ROCK = Sample("maestro_t", "s1", "?", ("B",), choices=("basalt", "granite"))
_OPEN = Sample("maestro_t", "s1", "?", ("Liver",), fields={"answer_type": "OPEN"})


def recorded_task(metric: str = "integer", released: str = "") -> TaskRecord:
    return TaskRecord("maestro_t", "h", metric, "mean", (), "data", "d", 1, released=released)


def ended(outcome: Outcome, *turns: Turn) -> Rollout:
    return Rollout(RolloutKey("maestro_t", "s1", 2), outcome, turns, "?", "abc", seed=1)


def answering(text: str) -> Rollout:
    asked = Turn("<search>e@@s: look</search>", SearchAction("e", "s", "look"), observation="<answer>observed</answer>")
    return ended(Answered(text), asked, Turn(f"<answer>{text}</answer>", AnswerAction(text)))


def test_answer_is_judged_and_keeps_what_a_comparison_needs() -> None:
    score = score_rollout(_SAMPLE, answering("I see 7"), recorded_task(), "official")
    assert (score.task, score.sample_id, score.repeat) == ("maestro_t", "s1", 2)
    assert (score.metric, score.protocol, score.value, score.extracted) == ("integer", "official", 1.0, "7")
    assert (score.category, score.stratum, score.cluster) == ("simple", "cycle 2", "img")
    assert score.content_hash == "abc"
    assert score.others == {"squared_error": 0.0}


def test_wrong_answer_scores_zero() -> None:
    assert score_rollout(_SAMPLE, answering("8"), recorded_task(), "strict").value == 0


@pytest.mark.parametrize("protocol", ["official", "strict"])
@pytest.mark.parametrize(("limit", "why"), [("turns", "out of turns"), ("unanswered", "stopped without a call")])
def test_exhausted_rollout_scores_zero_and_says_which_limit(protocol: str, limit: Limit, why: str) -> None:
    score = score_rollout(_SAMPLE, ended(Exhausted(limit)), recorded_task(), protocol)
    assert score.value == 0
    assert score.note == f"exhausted: {why} before an answer"


def test_exhausted_rollout_recalls_nothing() -> None:
    score = score_rollout(_OPEN, ended(Exhausted("tokens")), recorded_task("short_answer"), "official")
    assert score.others == {"token_recall": 0.0}


@pytest.mark.parametrize("protocol", ["released", "official", "strict"])
@pytest.mark.parametrize("released", ["", "letter_or_text"])
def test_failed_rollout_has_no_value_and_says_why(protocol: str, released: str) -> None:
    rollout = ended(Failed("expert", "timeout: " + "x" * 1000), Turn("<answer>B</answer>", MalformedAction("?")))
    score = score_rollout(_ROCK, rollout, recorded_task("option_letter", released), protocol)
    assert score.value is None
    assert "failed (expert): timeout" in score.note
    assert len(score.note) == 200


def test_released_judges_by_the_released_rule() -> None:
    task = recorded_task("option_letter", "letter_or_text")
    lenient = score_rollout(_ROCK, answering("granite or so"), task, "released")
    assert (lenient.value, lenient.protocol, lenient.extracted, lenient.note) == (1.0, "released", "granite or so", "")
    assert score_rollout(_ROCK, answering("granite or so"), task, "official").value == 0


def test_released_judges_the_recorded_text_and_else_what_the_policy_wrote() -> None:
    task = recorded_task("short_answer", "slake")
    rollout = answering("liver")
    assert score_rollout(_OPEN, rollout, task, "released").extracted == "liver"
    assert released_text(rollout) == "<search>e@@s: look</search>\n<answer>liver</answer>"
    recorded = replace(rollout, scored_text="<information><answer>lung</answer></information>")
    assert score_rollout(_OPEN, recorded, task, "released").extracted == "lung"
    assert score_rollout(_OPEN, replace(rollout, scored_text=""), task, "released").note == "no <answer>"


def test_released_judges_what_was_written_before_a_limit_ended_it() -> None:
    wrote = Turn("<search>x</search><answer>B</answer>", MalformedAction("unknown expert"))
    task = recorded_task("option_letter", "letter_or_text")
    score = score_rollout(_ROCK, ended(Exhausted("turns"), wrote), task, "released")
    assert (score.value, score.note) == (1.0, "exhausted: out of turns")
    silent = score_rollout(_ROCK, ended(Exhausted("turns")), task, "released")
    assert (silent.value, silent.note) == (0.0, "exhausted: out of turns; no <answer>")


def test_released_without_a_released_rule_is_the_fall_back() -> None:
    score = score_rollout(_SAMPLE, answering("7"), recorded_task(), "released")
    assert (score.value, score.note) == (0.0, "no \\boxed{}")
    assert score_rollout(_SAMPLE, answering("\\boxed{7}"), recorded_task(), "released").value == 1.0


@pytest.mark.parametrize("outcome", [Answered("7"), Exhausted("turns"), Failed("harness", "?")])
def test_unknown_protocol_is_refused_whatever_the_outcome(outcome: Outcome) -> None:
    with pytest.raises(UserError, match="official, fair, strict"):
        score_rollout(_SAMPLE, ended(outcome), recorded_task(), "lenient")


@pytest.mark.parametrize(("task", "protocol"), [("bleu", "official"), ("integer", "released")])
def test_unknown_metric_or_rule_is_refused(task: str, protocol: str) -> None:
    with pytest.raises(UserError, match="'bleu'"):
        score_rollout(_SAMPLE, answering("7"), recorded_task(task, "bleu"), protocol)


def test_a_rollout_that_never_ran_has_no_value() -> None:
    score = unscored(RolloutKey("maestro_t", "s2"), recorded_task(), "released", "never ran")
    assert (score.sample_id, score.metric, score.protocol) == ("s2", "integer", "released")
    assert (score.value, score.note) == (None, "never ran")
