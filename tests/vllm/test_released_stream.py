"""The released stream through real engines: in-process, over HTTP and with transformers the model reads the same.

A model with random weights writes no calls, so its words are put in its mouth: what counts is what each engine read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from maestro_eval.models import ExpertClient
from maestro_eval.policies import Policy, ResidentPolicy, make_policy
from maestro_eval.records import (
    Answered,
    Completion,
    LoadedSample,
    Message,
    Regime,
    Rollout,
    Sample,
    Sampling,
    UserError,
)
from maestro_eval.registry import Registry, load_registry
from maestro_eval.rollout import RELEASED, RolloutSettings, choose_regime, run_rollout, style_of
from maestro_eval.runtime import RunConfig
from maestro_eval.runtime.rendering import check_rendering
from maestro_eval.text import load_tokenizer
from tests.vllm.engine_worlds import DTYPE, IMAGES, Server
from tests.vllm.test_policies import drawn

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL = "<search>oracle@@Ask: What is shown?</search>"
SAID = (f"I look.\n{CALL}", f"Hm, 数 maybe.</think>\n{CALL}", "So.</think>\n<answer>4</answer>")
SYSTEM = "\nYou coordinate."


class Dictated:
    """A policy whose engine generates and whose words are given; ``letters``: as if sampled letter by letter."""

    def __init__(self, policy: Policy, said: Sequence[str] = SAID, letters: Sequence[Sequence[int]] = ()) -> None:
        self._policy = policy
        self._said = said
        self._letters = letters
        self._turn = 0
        self.model = policy.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        read = await self._policy.generate(messages, replace(sampling, max_tokens=2))
        number, self._turn = self._turn, self._turn + 1
        tokens = tuple(self._letters[number]) if self._letters else None
        return Completion(self._said[number], "stop", read.usage, tokens=tokens, prompt=read.prompt)


@pytest.fixture(scope="module")
def registry(world: Path) -> Registry:
    return load_registry(world / "r.yaml")


@pytest.fixture(scope="module")
def regime(tiny_model: Path) -> Regime:
    return replace(RELEASED, tokenizer=str(tiny_model))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def policies(
    tiny_model: Path, stream_endpoint: Server, registry: Registry, regime: Regime
) -> AsyncIterator[dict[str, Policy]]:
    async with ExpertClient() as client:
        settings = {"chat_template": style_of(regime).chat_template, "token_ids": True}
        specs = {
            "transformers": f"transformers:{tiny_model}",
            "vllm": f"vllm:{tiny_model}?images={IMAGES}&dtype={DTYPE}",
            "http": f"openai:{stream_endpoint.url}",
        }
        made = {name: await make_policy(spec, registry, client, **settings) for name, spec in specs.items()}
        resident = [policy for policy in made.values() if isinstance(policy, ResidentPolicy)]
        for policy in resident:
            await policy.open()
        yield made
        for policy in resident:
            await policy.close()


async def rolled(policy: Policy, registry: Registry, regime: Regime, images: int = 1) -> Rollout:
    pictures = tuple(drawn(number) for number in range(images))
    sample = Sample("signs", "s1", "What is shown?", ("4",), images=tuple(p.ref for p in pictures))
    async with ExpertClient() as client:
        return await run_rollout(
            LoadedSample(sample, pictures),
            0,
            RolloutSettings(registry, regime, Sampling(temperature=0.0), SYSTEM, seed=0),
            policy=policy,
            client=client,
        )


@pytest.mark.parametrize("images", [0, 1, 2])
async def test_over_three_turns_all_engines_read_the_same_ids(policies, registry, regime, images) -> None:
    rollouts = {name: await rolled(Dictated(policy), registry, regime, images) for name, policy in policies.items()}
    read = {name: [turn.prompt for turn in rollout.turns] for name, rollout in rollouts.items()}
    assert all(rollout.outcome == Answered("4") for rollout in rollouts.values()), rollouts
    assert [prompt.as_streamed for prompt in read["http"]] == [None, True, True]
    assert read["http"] == read["vllm"] == read["transformers"]


async def test_ids_that_were_sampled_otherwise_stay_in_process_and_are_encoded_anew_over_http(
    policies, registry, regime, tiny_model
) -> None:
    # An unclosed call is the one turn of which the whole generation stays as it was sampled.
    said = (CALL, "Hm.", "<search>oracle@@Ask: What is shown?", "<answer>4</answer>")
    tokenizer = load_tokenizer(str(tiny_model))
    letters = [
        [*(token for letter in words for token in tokenizer.encode(letter)), *tokenizer.encode("<|im_end|>")]
        for words in said
    ]
    kept = replace(regime, retokenize=False)
    streamed = {
        name: [
            turn.prompt.as_streamed for turn in (await rolled(Dictated(policy, said, letters), registry, kept)).turns
        ]
        for name, policy in policies.items()
    }
    print(f"later prompts as sampled: {streamed}")
    assert streamed["vllm"] == streamed["transformers"] == [None, True, True, True]
    assert streamed["http"] == [None, True, True, False]


async def test_the_server_is_asked_what_it_renders(stream_endpoint: Server, endpoint: Server, regime: Regime) -> None:
    async def ask(server: Server, chosen: Regime) -> str:
        request = RunConfig(policy=f"openai:{server.url}", registry="", tasks=(), regime=chosen)
        async with ExpertClient() as client:
            return await check_rendering(client, request, chosen, "tiny")

    assert await ask(stream_endpoint, regime) == "checked"
    with pytest.raises(UserError, match="renders turn 0 differently from the checkpoint's training"):
        await ask(endpoint, regime)
    assert await ask(endpoint, choose_regime("default")) == ""
    with pytest.raises(UserError, match="renders the released stream"):
        await ask(stream_endpoint, choose_regime("default"))
