"""What another call would have been worth."""

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record

from maestro_eval.analysis.oracle import MEAN, regret_of
from maestro_eval.records import UserError

A, B = task_record("maestro_mini_a"), task_record("maestro_mini_b")


def test_regret_is_what_the_recorded_call_was_worth_more_on_the_same_rollouts():
    original = run_scores("it", [(A, scores_of(A, [1, 1, 0, 0])), (B, scores_of(B, [1, 0]))])
    # Of A the last sample had no such turn.
    other = run_scores("other", [(A, scores_of(A, [0, 1, 0])), (B, scores_of(B, [1, 1]))])
    found = regret_of(original, other)
    assert {scope: each.difference.value for scope, each in found.regret.items()} == pytest.approx(
        {A.name: 1 / 3, B.name: -0.5, MEAN: (1 / 3 - 0.5) / 2}
    )
    assert {scope: each.difference.n for scope, each in found.regret.items()} == {A.name: 3, B.name: 2, MEAN: 5}
    assert (found.noise, found.net, found.rerolled) == ({}, {}, 0)


def test_the_control_says_how_much_of_it_is_noise():
    original = run_scores("it", [(A, scores_of(A, [1, 1, 0, 0]))])
    control = run_scores("again", [(A, scores_of(A, [1, 0, 0, None]))])
    other = run_scores("other", [(A, scores_of(A, [0, 0, 0, 0]))])
    found = regret_of(original, other, control)
    assert found.noise[A.name].difference.value == 0.25
    assert found.net[A.name].difference.value == 0.25
    assert (found.rerolled, found.flipped) == (3, 1)
    # One task has no mean of several.
    assert set(found.regret) == {A.name}


def test_a_failed_rollout_widens_the_interval_to_what_it_might_have_been():
    original = run_scores("it", [(A, scores_of(A, [1] * 10))])
    whole = regret_of(original, run_scores("x", [(A, scores_of(A, [1] * 10))])).regret[A.name].difference
    failed = regret_of(original, run_scores("x", [(A, scores_of(A, [1] * 9 + [None]))])).regret[A.name].difference
    assert failed.value == pytest.approx(0.1)
    assert failed.high > whole.high
    assert failed.low == pytest.approx(whole.low)


def test_repeats_are_replayed_one_by_one_and_averaged():
    repeats = [*scores_of(A, [1, 0]), *scores_of(A, [0, 0], repeat=1)]
    original = run_scores("it", [(A, repeats)])
    other = run_scores("x", [(A, [replace(each, value=1.0) for each in repeats if each.repeat == 1])])
    found = regret_of(original, other).regret[A.name].difference
    assert (found.value, found.n) == (-1.0, 2)


def test_what_is_not_of_the_original_is_refused():
    original = run_scores("it", [(A, scores_of(A, [1]))])
    with pytest.raises(ValueError, match="1 replayed rollouts are none of it"):
        regret_of(original, run_scores("x", [(A, scores_of(A, [1, 1]))]))
    changed = run_scores("x", [(A, scores_of(A, [1], hashes={"s000": "other content"}))])
    with pytest.raises(UserError, match="content_hash differs"):
        regret_of(original, changed)
