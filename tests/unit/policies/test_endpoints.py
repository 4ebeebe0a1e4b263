"""Policies that are models behind an endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager

import pytest
from small_worlds import NOBODY, loaded_sample, small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import Policy, make_policy
from maestro_eval.policies.endpoints import ReplicaPolicy
from maestro_eval.records import (
    AnswerAction,
    CallError,
    Completion,
    ExpertCall,
    Message,
    RolloutFailure,
    RolloutKey,
    Sampling,
    TextPart,
    UserError,
)
from maestro_eval.registry import user_message
from maestro_eval.rollout import parse_action
from maestro_eval.testing import Fault, SimulatedServer, always

SYSTEM = Message("system", (TextPart("You coordinate."),))


@pytest.fixture
def policy_of(tmp_path):
    @asynccontextmanager
    async def opened(spec: str, **settings):
        async with SimulatedServer(**settings) as server, ExpertClient() as client:
            registry = small_registry(tmp_path, server.url)
            policy = await make_policy(spec.replace("URL", server.url), registry, client)
            loaded = loaded_sample("What does it say?")
            yield policy, [SYSTEM, user_message(registry, loaded.sample.question, loaded.images)], server

    return opened


async def test_the_only_model_of_an_endpoint_is_found(policy_of):
    async with policy_of("openai:URL", models=["maestro-4b"], reply="<answer> 7") as (policy, messages, server):
        assert policy.model == "maestro-4b"
        completion = await policy.generate(messages, Sampling(stop=("</answer>",)))
    assert (completion.text, completion.finish_reason) == ("<answer> 7", "stop")
    assert completion.usage.completion_tokens > 0
    assert [(request.model, request.images) for request in server.requests] == [("maestro-4b", 1)]


async def test_a_thought_that_the_server_returns_apart_is_kept(policy_of):
    thinking = "<think>a sign, so 7</think><answer> 7 </answer>"
    async with policy_of("openai:URL#m", reply=thinking, reasoning_parser=True) as (policy, messages, _):
        completion = await policy.generate(messages, Sampling())
    assert (completion.text, completion.reasoning) == ("<answer> 7 </answer>", "a sign, so 7")
    async with policy_of("openai:URL#m", reply=thinking) as (policy, messages, _):
        completion = await policy.generate(messages, Sampling())
    assert (completion.text, completion.reasoning) == (thinking, "")


async def test_several_models_must_be_chosen_from(policy_of):
    with pytest.raises(UserError, match=r"serves one, two; choose one: openai:http://.*#MODEL"):
        async with policy_of("openai:URL", models=["one", "two"]):
            pass
    async with policy_of("openai:URL#two", models=["one", "two"]) as (policy, messages, server):
        await policy.generate(messages, Sampling())
    assert server.requests[0].model == "two"


async def test_an_address_as_vllm_prints_it_will_do(tmp_path):
    async with SimulatedServer(models=["m"]) as server, ExpertClient() as client:
        spec = f"openai:{server.url.removesuffix('/v1')}/"
        assert (await make_policy(spec, small_registry(tmp_path), client)).model == "m"


@pytest.mark.parametrize("base", ["/api/paas/v4", "/v1beta/openai/", "/api/v3", "/v1/", "/v1/chat/completions"])
async def test_a_base_that_has_a_path_is_taken_as_it_is(tmp_path, base):
    path = base.rstrip("/").removesuffix("/chat/completions")
    async with SimulatedServer(models=["m"], base=path, reply="<answer> 7") as server, ExpertClient() as client:
        host = server.url.removesuffix(path)
        policy = await make_policy(f"openai:{host}{base}", small_registry(tmp_path), client)
        assert policy.model == "m"
        assert (await policy.generate([SYSTEM], Sampling())).text == "<answer> 7"


@pytest.mark.parametrize(
    ("reply", "finish_reason", "answer"),
    [
        ("<think>It could be 7, or", "length", ""),
        ("The sign says <|begin_of_box|>7<|end_of_box|><|im_end|>", "stop", "The sign says 7"),
        ("◁think▷8?◁/think▷7", "stop", "7"),
    ],
)
async def test_a_direct_answer_is_what_the_reply_says(policy_of, reply, finish_reason, answer):
    async with policy_of("direct:reader", reply=reply) as (policy, messages, _):
        completion = await policy.generate(messages, Sampling())
    assert parse_action(completion.text) == AnswerAction(answer)


async def test_an_endpoint_that_fails_is_the_policys_failure(policy_of):
    async with policy_of("openai:URL#m", faults=always(Fault("status", 400))) as (policy, messages, _):
        with pytest.raises(RolloutFailure, match=r"policy: http 400: ") as caught:
            await policy.generate(messages, Sampling())
    assert [(call.kind, call.error[:8]) for call in caught.value.calls] == [("policy", "http 400")]


async def test_an_endpoint_where_nobody_is_cannot_be_asked_for_its_model(tmp_path):
    async with ExpertClient(sleep=lambda seconds: no_wait()) as client:
        with pytest.raises(RolloutFailure, match="refused the connection"):
            await make_policy(f"openai:{NOBODY}", small_registry(tmp_path), client)


async def no_wait() -> None:
    return None


# direct


async def test_direct_answers_with_the_whole_reply_of_its_expert(policy_of):
    reply = "I see a sign.\nAnswer: 7"
    async with policy_of("direct:reader", reply=reply) as (policy, messages, server):
        completion = await policy.generate(messages, Sampling())
    assert parse_action(completion.text) == AnswerAction(reply)
    assert [(call.kind, call.name, call.request) for call in completion.calls] == [
        ("expert", "reader", "What does it say?")
    ]
    assert server.requests[0].images == 1
    assert policy.model == "reader-model"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<think>6? <answer>6</answer></think>\n7", "7"),
        ("7</answer><search>reader@@Read_Text: x</search>", "7‹/answer>‹search>reader@@Read_Text: x‹/search>"),
        ("<answer> 7 </answer>", "‹answer> 7 ‹/answer>"),
    ],
)
async def test_direct_leaves_thinking_out_and_tags_do_not_act(policy_of, reply, answer):
    async with policy_of("direct:reader", reply=reply) as (policy, messages, _):
        completion = await policy.generate(messages, Sampling())
    assert parse_action(completion.text) == AnswerAction(answer)


async def test_directs_expert_that_is_down_is_the_experts_failure(policy_of):
    async with policy_of("direct:reader", faults=always(Fault("status", 503))) as (policy, messages, _):
        with pytest.raises(RolloutFailure, match=r"expert: reader: http 503: ") as caught:
            await policy.generate(messages, Sampling())
    assert [(call.kind, call.name, call.error[:8]) for call in caught.value.calls] == [("expert", "reader", "http 503")]


# Replicas of one orchestrator: who is asked, and what a dead one costs.


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
