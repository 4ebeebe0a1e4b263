"""Whole runs with a real engine as the policy: behind vLLM's server, from two Ray workers, and inside the worker."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from maestro_eval.cli import DONE_WITH_FAILURES
from maestro_eval.journal import Journal
from maestro_eval.records import AnswerAction, Answered, Failed, Rollout, SearchAction, Turn
from tests.vllm.engine_worlds import CONTEXT, DTYPE, SAMPLES, SEARCH, TURN, Server, flips, rollouts_of, run_cli

# Greedy turns of one model in two processes differ only where rounding decides between two tokens that are all but
# equal: batches are put together differently each time. None of 12 did here; one is borne.
MOST_FLIPS = 1 / SAMPLES


@pytest.fixture(scope="module")
def reference(world: Path, endpoint: Server) -> list[Rollout]:
    """One worker against the endpoint: the run that the others are compared with."""
    return greedy(world, f"openai:{endpoint.url}", "endpoint")


def greedy(world: Path, policy: str, name: str, *more: str) -> list[Rollout]:
    """Only searches, so that every rollout goes through several turns with images; the expert is called in two."""
    return run(world, policy, name, "--turn-regex", SEARCH, "--temperature", "0", "--regime-set", "max_turns=3", *more)


def run(world: Path, policy: str, name: str, *more: str) -> list[Rollout]:
    """One sample's prompt is too long, which the exit status tells."""
    result = run_cli(world, policy, world / name, *more)
    assert result.returncode == DONE_WITH_FAILURES, result.stderr[-3000:]
    return rollouts_of(world / name)


def check(rollouts: Sequence[Rollout]) -> list[Turn]:
    """All are journalled; all but the one that is too long took valid turns and were told what the expert said."""
    assert len(rollouts) == SAMPLES
    played = [rollout for rollout in rollouts if not isinstance(rollout.outcome, Failed)]
    assert len(played) == SAMPLES - 1
    turns = [turn for rollout in played for turn in rollout.turns]
    for turn in turns:
        assert re.fullmatch(TURN, turn.text)
        assert isinstance(turn.action, SearchAction | AnswerAction)
        assert min(turn.usage.prompt_tokens, turn.usage.completion_tokens) > 0
    calls = [call for turn in turns for call in turn.calls if call.kind == "expert"]
    assert calls
    assert all(call.reply.startswith("Seen. Answer: ") and len(call.images) == 1 for call in calls)
    (failed,) = (rollout for rollout in rollouts if isinstance(rollout.outcome, Failed))
    assert len(failed.user_prompt) > 4 * CONTEXT
    assert failed.outcome.cause == "policy"
    assert re.search(r"context|length", failed.outcome.detail)
    assert "\n" not in failed.outcome.detail
    return turns


def test_a_served_engine_searches_and_answers(world: Path, endpoint: Server) -> None:
    # As many searches as turns: none is refused, so that every turn counts as what it says.
    rules = "--turn-regex", TURN, "--temperature", "1", "--regime-set", "max_searches=5"
    sampled = run(world, f"openai:{endpoint.url}", "sampled", *rules)
    kinds = {type(turn.action) for turn in check(sampled)}
    assert kinds == {SearchAction, AnswerAction}
    assert any(isinstance(rollout.outcome, Answered) and len(rollout.turns) > 1 for rollout in sampled)


def test_a_served_engine_is_asked_every_turn(reference: list[Rollout]) -> None:
    turns = check(reference)
    assert len(turns) == 3 * (SAMPLES - 1)
    assert sum(bool(turn.calls) for turn in turns) == 2 * (SAMPLES - 1)


def test_two_ray_workers_make_the_same_records_with_a_served_engine(
    world: Path, endpoint: Server, reference: list[Rollout]
) -> None:
    rollouts = greedy(world, f"openai:{endpoint.url}", "ray", "--executor", "ray", "--workers", "2")
    check(rollouts)
    share = flips(reference, rollouts)
    print(f"flips between one worker and two: {share:.1%} of {len(rollouts)} rollouts")
    assert share <= MOST_FLIPS


def test_an_engine_inside_the_worker_makes_the_same_records(
    world: Path, tiny_model: Path, reference: list[Rollout]
) -> None:
    rollouts = greedy(world, f"vllm:{tiny_model}?dtype={DTYPE}", "inside")
    check(rollouts)
    with Journal.open(world / "inside", read_only=True) as journal:
        assert journal.manifest.policy_model == str(tiny_model)
        assert journal.manifest.sampling.regex == SEARCH
    share = flips(reference, rollouts)
    print(f"flips between a served engine and one inside: {share:.1%} of {len(rollouts)} rollouts")
    assert share <= MOST_FLIPS
