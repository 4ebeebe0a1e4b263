"""What becomes of a rollout's outcome."""

from __future__ import annotations

import pytest

from maestro_eval.scoring import score_rollout
from maestro_eval.types import Answered, Exhausted, Failed, Outcome, Rollout, RolloutKey, Sample, UserError

_SAMPLE = Sample("maestro_t", "s1", "?", ("7",), category="simple", cluster="img", content_hash="abc")


def ended(outcome: Outcome) -> Rollout:
    return Rollout(RolloutKey("maestro_t", "s1", 2), outcome, (), "?", "abc", seed=1)


def test_answer_is_judged_and_keeps_what_a_comparison_needs() -> None:
    score = score_rollout(_SAMPLE, ended(Answered("I see 7")), "integer", "official")
    assert (score.task, score.sample_id, score.repeat) == ("maestro_t", "s1", 2)
    assert (score.metric, score.protocol, score.value, score.extracted) == ("integer", "official", 1.0, "7")
    assert (score.category, score.cluster, score.content_hash) == ("simple", "img", "abc")


def test_wrong_answer_scores_zero() -> None:
    assert score_rollout(_SAMPLE, ended(Answered("8")), "integer", "strict").value == 0


def test_exhausted_rollout_scores_zero_and_says_which_limit() -> None:
    score = score_rollout(_SAMPLE, ended(Exhausted("turns")), "integer", "official")
    assert score.value == 0
    assert "turns" in score.note


def test_failed_rollout_has_no_value_and_says_why() -> None:
    score = score_rollout(_SAMPLE, ended(Failed("expert", "timeout: " + "x" * 1000)), "integer", "official")
    assert score.value is None
    assert score.note.startswith("failed (expert): timeout")
    assert len(score.note) == 200


@pytest.mark.parametrize("outcome", [Answered("7"), Exhausted("turns"), Failed("harness", "?")])
def test_unknown_protocol_is_refused_whatever_the_outcome(outcome: Outcome) -> None:
    with pytest.raises(UserError, match="official, strict"):
        score_rollout(_SAMPLE, ended(outcome), "integer", "lenient")
