"""Replicas of one orchestrator: who is asked, and what a dead one costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from maestro_eval.policies.replicas import ReplicaPolicy
from maestro_eval.records import CallError, Completion, ExpertCall, Message, RolloutFailure, Sampling, UserError


class Replica:
    """Notes the seeds that it is asked with, and answers when it may."""

    def __init__(self, name: str, model: str = "m") -> None:
        self.name = name
        self.model = model
        self.seeds: list[int | None] = []
        self.error: CallError | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.seeds.append(sampling.seed)
        await self.may_answer.wait()
        if self.error:
            raise RolloutFailure(
                "policy",
                str(self.error),
                (ExpertCall("policy", self.name, "m", "u", "q", error=str(self.error)),),
                fault=self.error,
            )
        return Completion(self.name)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def turn(policy: ReplicaPolicy, seed: int | None) -> str:
    return (await policy.generate((), Sampling(seed=seed))).text


async def test_all_turns_of_a_rollout_go_to_one_replica() -> None:
    replicas = [Replica(name) for name in "abc"]
    policy = ReplicaPolicy(replicas)
    homes = [await turn(policy, 10 * rollout) for rollout in range(30)]
    for _ in range(3):
        assert [await turn(policy, 10 * rollout) for rollout in range(30)] == homes
    assert [homes.count(name) for name in "abc"] == [10, 10, 10]


async def test_a_turn_asked_again_after_a_dropped_one_stays() -> None:
    policy = ReplicaPolicy([Replica("a"), Replica("b")])
    home = await turn(policy, 7)
    await turn(policy, 1000)
    assert [await turn(policy, seed) for seed in (8, 8, 9)] == [home] * 3


async def test_a_rollout_comes_to_the_replica_with_the_least_in_flight() -> None:
    slow, quick = Replica("slow"), Replica("quick")
    slow.may_answer.clear()
    policy = ReplicaPolicy([slow, quick])
    held = asyncio.create_task(turn(policy, 1))
    await asyncio.sleep(0)
    assert [await turn(policy, seed) for seed in (10, 20, 30)] == ["quick"] * 3
    slow.may_answer.set()
    assert await held == "slow"
    assert await turn(policy, 40) == "slow"


async def test_without_a_seed_each_turn_is_its_own() -> None:
    policy = ReplicaPolicy([Replica("a"), Replica("b")])
    assert [await turn(policy, None) for _ in range(4)] == ["a", "b", "a", "b"]


async def test_workers_may_prefer_different_ones_among_equals() -> None:
    assert [await turn(ReplicaPolicy([Replica("a"), Replica("b")], first=n), 1) for n in (0, 1, 4711)] == [
        "a",
        "b",
        "b",
    ]


async def test_a_dead_replica_costs_one_call_and_its_rollouts_move_for_good() -> None:
    dead, well, clock = Replica("dead"), Replica("well"), Clock()
    policy = ReplicaPolicy([dead, well], clock=clock)
    assert await turn(policy, 1) == "dead"
    dead.error = CallError("connection", "refused")
    moved = await policy.generate((), Sampling(seed=1))
    assert (moved.text, [call.name for call in moved.calls]) == ("well", ["dead"])
    assert [await turn(policy, seed) for seed in (1, 10, 20, 30)] == ["well"] * 4
    assert dead.seeds == [1, 1]
    dead.error = None
    clock.now += 31
    assert await turn(policy, 40) == "dead"
    assert await turn(policy, 1) == "well"


async def test_when_all_replicas_fail_every_failed_call_is_told() -> None:
    replicas = [Replica("a"), Replica("b")]
    for replica in replicas:
        replica.error = CallError("http", "overloaded", 503)
    with pytest.raises(RolloutFailure) as caught:
        await turn(ReplicaPolicy(replicas), 1)
    assert [call.name for call in caught.value.calls] == ["a", "b"]


@pytest.mark.parametrize(("status", "asked"), [(400, 0), (429, 1), (500, 1)])
async def test_a_refusal_is_not_asked_elsewhere_and_trouble_is(status: int, asked: int) -> None:
    first, second = Replica("a"), Replica("b")
    first.error = second.error = CallError("http", "no", status)
    with pytest.raises(RolloutFailure):
        await turn(ReplicaPolicy([first, second]), 1)
    assert len(second.seeds) == asked


async def test_replicas_must_be_of_one_model() -> None:
    assert ReplicaPolicy([Replica("a"), Replica("b")]).model == "m"
    with pytest.raises(UserError, match=r"different models \(m, n\)"):
        ReplicaPolicy([Replica("a"), Replica("b", model="n")])
