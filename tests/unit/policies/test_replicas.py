"""Replicas of one orchestrator: who is asked, and what a dead one costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from maestro_eval.policies import Policy
from maestro_eval.policies.replicas import ReplicaPolicy
from maestro_eval.records import (
    CallError,
    Completion,
    ExpertCall,
    Message,
    RolloutFailure,
    RolloutKey,
    Sampling,
    UserError,
)


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


class Rollouts:
    """The handles of rollouts by number, each of them open for the whole test."""

    def __init__(self, policy: ReplicaPolicy) -> None:
        self._policy = policy
        self._open: dict[int, Policy] = {}

    async def generate(self, number: int, seed: int = 0) -> Completion:
        if number not in self._open:
            self._open[number] = await self._policy.rollout(RolloutKey("t", str(number))).__aenter__()
        return await self._open[number].generate((), Sampling(seed=seed))

    async def turn(self, number: int, seed: int = 0) -> str:
        return (await self.generate(number, seed)).text


async def test_all_turns_of_a_rollout_go_to_one_replica() -> None:
    replicas = [Replica(name) for name in "abc"]
    rollouts = Rollouts(ReplicaPolicy(replicas))
    homes = [await rollouts.turn(rollout) for rollout in range(30)]
    for _ in range(3):
        assert [await rollouts.turn(rollout) for rollout in range(30)] == homes
    assert [homes.count(name) for name in "abc"] == [10, 10, 10]


async def test_a_turn_asked_again_after_a_dropped_one_stays() -> None:
    rollouts = Rollouts(ReplicaPolicy([Replica("a"), Replica("b")]))
    home = await rollouts.turn(1, seed=7)
    await rollouts.turn(2, seed=7)
    assert [await rollouts.turn(1, seed) for seed in (8, 8, 9)] == [home] * 3


async def test_a_rollout_comes_to_the_replica_with_the_least_in_flight() -> None:
    slow, quick = Replica("slow"), Replica("quick")
    slow.may_answer.clear()
    rollouts = Rollouts(ReplicaPolicy([slow, quick]))
    held = asyncio.create_task(rollouts.turn(1))
    await asyncio.sleep(0)
    assert [await rollouts.turn(seed) for seed in (10, 20, 30)] == ["quick"] * 3
    slow.may_answer.set()
    assert await held == "slow"
    assert await rollouts.turn(40) == "slow"


async def test_without_a_rollout_each_turn_is_its_own() -> None:
    policy = ReplicaPolicy([Replica("a"), Replica("b")])
    assert [(await policy.generate((), Sampling(seed=1))).text for _ in range(4)] == ["a", "b", "a", "b"]


async def test_workers_may_prefer_different_ones_among_equals() -> None:
    assert [await Rollouts(ReplicaPolicy([Replica("a"), Replica("b")], first=n)).turn(1) for n in (0, 1, 4711)] == [
        "a",
        "b",
        "b",
    ]


async def test_a_dead_replica_costs_one_call_and_its_rollouts_move_for_good() -> None:
    dead, well, clock = Replica("dead"), Replica("well"), Clock()
    rollouts = Rollouts(ReplicaPolicy([dead, well], clock=clock))
    assert await rollouts.turn(1) == "dead"
    dead.error = CallError("connection", "refused")
    moved = await rollouts.generate(1)
    assert (moved.text, [call.name for call in moved.calls]) == ("well", ["dead"])
    assert [await rollouts.turn(seed) for seed in (1, 10, 20, 30)] == ["well"] * 4
    assert dead.seeds == [0, 0]
    dead.error = None
    clock.now += 31
    assert await rollouts.turn(40) == "dead"
    assert await rollouts.turn(1) == "well"


async def test_when_all_replicas_fail_every_failed_call_is_told() -> None:
    replicas = [Replica("a"), Replica("b")]
    for replica in replicas:
        replica.error = CallError("http", "overloaded", 503)
    with pytest.raises(RolloutFailure) as caught:
        await Rollouts(ReplicaPolicy(replicas)).turn(1)
    assert [call.name for call in caught.value.calls] == ["a", "b"]


@pytest.mark.parametrize(("status", "asked"), [(400, 0), (429, 1), (500, 1)])
async def test_a_refusal_is_not_asked_elsewhere_and_trouble_is(status: int, asked: int) -> None:
    first, second = Replica("a"), Replica("b")
    first.error = second.error = CallError("http", "no", status)
    with pytest.raises(RolloutFailure):
        await Rollouts(ReplicaPolicy([first, second])).turn(1)
    assert len(second.seeds) == asked


async def test_replicas_must_be_of_one_model() -> None:
    assert ReplicaPolicy([Replica("a"), Replica("b")]).model == "m"
    with pytest.raises(UserError, match=r"different models \(m, n\)"):
        ReplicaPolicy([Replica("a"), Replica("b", model="n")])
