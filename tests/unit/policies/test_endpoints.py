"""Policies that are models behind an endpoint."""

from contextlib import asynccontextmanager

import pytest
from small_worlds import NOBODY, loaded_sample, small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import make_policy
from maestro_eval.records import AnswerAction, Message, RolloutFailure, Sampling, TextPart, UserError
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
