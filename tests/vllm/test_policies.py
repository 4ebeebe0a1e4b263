"""The policies that hold their model themselves, turn by turn, beside the same model behind vLLM's server."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import PIL.Image
import psutil
import pytest
import pytest_asyncio

from maestro_eval.models import ExpertClient
from maestro_eval.policies import Policy, ResidentPolicy, make_policy
from maestro_eval.records import (
    Exhausted,
    Failed,
    Image,
    ImagePart,
    ImageRef,
    LoadedSample,
    Message,
    Outcome,
    Regime,
    RolloutFailure,
    Sample,
    Sampling,
    TextPart,
    UserError,
)
from maestro_eval.registry import Registry, load_registry
from maestro_eval.rollout import RolloutSettings, run_rollout
from tests.vllm.engine_worlds import CONTEXT, DTYPE, IMAGES, TURN, Server

# The engine lives in the loop that started it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPTS = 8
GREEDY = Sampling(max_tokens=16)
# Two implementations in 32-bit arithmetic: none of 32 turns of 16 tokens differed. Random weights may choose between
# tokens that are all but equal on another processor.
MOST_FLIPS = 1 / PROMPTS


@pytest.fixture(scope="module")
def registry(world: Path) -> Registry:
    return load_registry(world / "r.yaml")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[ExpertClient]:
    async with ExpertClient() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(endpoint: Server, registry: Registry, client: ExpertClient) -> Policy:
    return await make_policy(f"openai:{endpoint.url}", registry, client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reference(tiny_model: Path, registry: Registry, client: ExpertClient) -> AsyncIterator[Policy]:
    policy = await opened(f"transformers:{tiny_model}", registry, client)
    yield policy
    await policy.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inside(tiny_model: Path, registry: Registry, client: ExpertClient) -> AsyncIterator[ResidentPolicy]:
    policy = await opened(f"vllm:{tiny_model}?images={IMAGES}&dtype={DTYPE}", registry, client)
    yield policy
    await policy.close()


async def opened(spec: str, registry: Registry, client: ExpertClient) -> ResidentPolicy:
    policy = await make_policy(spec, registry, client)
    assert isinstance(policy, ResidentPolicy)
    await policy.open()
    return policy


def drawn(number: int, size: tuple[int, int] = (64, 48)) -> Image:
    file = io.BytesIO()
    PIL.Image.new("RGB", size, (number * 40 % 256, 90, 200)).save(file, "PNG")
    data = file.getvalue()
    return Image(ImageRef(sha256(data).hexdigest(), "image/png", *size, len(data)), data)


def prompt(number: int) -> list[Message]:
    shown = ImagePart(drawn(number)), TextPart(f"What is value {number}?", "question"), ImagePart(drawn(number + 50))
    return [Message("system", (TextPart("You decide."),)), Message("user", shown)]


async def rolled(policy: Policy, registry: Registry, client: ExpertClient, question: str, images: int) -> Outcome:
    """What becomes of a rollout of ``question`` with so many images."""
    pictures = tuple(drawn(number) for number in range(images))
    sample = Sample("signs", "s1", question, ("7",), images=tuple(p.ref for p in pictures), content_hash="c0ffee")
    rollout = await run_rollout(
        LoadedSample(sample, pictures),
        0,
        RolloutSettings(registry, Regime(max_turns=2), GREEDY, "You decide.", seed=0),
        policy=policy,
        client=client,
    )
    return rollout.outcome


async def test_the_reference_says_what_the_served_engine_says(reference: Policy, served: Policy) -> None:
    differing = 0
    for number in range(PROMPTS):
        one = await reference.generate(prompt(number), GREEDY)
        other = await served.generate(prompt(number), GREEDY)
        assert one.usage.prompt_tokens == other.usage.prompt_tokens
        differing += (one.text, one.finish_reason) != (other.text, other.finish_reason)
    print(f"flips between transformers and a served engine: {differing / PROMPTS:.1%} of {PROMPTS} turns")
    assert differing / PROMPTS <= MOST_FLIPS


async def test_the_reference_samples_by_seed_and_stops_where_it_is_told(reference: Policy) -> None:
    first, again, other = [await reference.generate(prompt(1), Sampling(1.0, 0.95, 24, seed)) for seed in (1, 1, 2)]
    assert first == again
    assert first.text != other.text
    stop = first.text[len(first.text) // 2]
    stopped = await reference.generate(prompt(1), Sampling(1.0, 0.95, 24, 1, (stop,)))
    assert stopped.finish_reason == "stop"
    assert stopped.text == first.text[: first.text.find(stop)]


async def test_the_reference_refuses_a_pattern_in_one_line(reference: Policy) -> None:
    with pytest.raises(RolloutFailure, match="policy: transformers cannot constrain a turn to a pattern"):
        await reference.generate(prompt(1), Sampling(regex="a"))


async def test_a_checkpoint_that_cannot_be_loaded_is_the_users_to_mend(
    tmp_path: Path, registry: Registry, client: ExpertClient
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no_such_model"}')
    for kind in ("transformers", "vllm"):
        with pytest.raises(UserError, match=rf"--policy {kind}:{tmp_path}: .*\(.+\)") as caught:
            await opened(f"{kind}:{tmp_path}", registry, client)
        assert "\n" not in str(caught.value)


async def test_a_prompt_that_is_too_long_fails_its_rollout(
    served: Policy, inside: Policy, reference: Policy, registry: Registry, client: ExpertClient
) -> None:
    for policy in (served, inside, reference):
        outcome = await rolled(policy, registry, client, "What is it? " * 4 * CONTEXT, images=1)
        assert isinstance(outcome, Failed), outcome
        assert outcome.cause == "policy"
        assert re.search(r"context|length", outcome.detail)
        assert "\n" not in outcome.detail
        # The next rollout is none the worse for it.
        assert await rolled(policy, registry, client, "What is it?", images=1) == Exhausted("tokens")


async def test_too_many_images_fail_their_rollout(
    served: Policy, inside: Policy, registry: Registry, client: ExpertClient
) -> None:
    for policy in (served, inside):
        outcome = await rolled(policy, registry, client, "What are they?", images=IMAGES + 1)
        assert isinstance(outcome, Failed), outcome
        assert outcome.cause == "policy"
        assert f"{IMAGES} image(s)" in outcome.detail
        assert "\n" not in outcome.detail
        assert await rolled(policy, registry, client, "What are they?", images=IMAGES) == Exhausted("tokens")


async def test_an_image_that_the_processor_refuses_fails_its_turn(inside: Policy, reference: Policy) -> None:
    thin = [Message("user", (ImagePart(drawn(1, (2000, 5))), TextPart("What?")))]
    for policy in (inside, reference):
        with pytest.raises(RolloutFailure, match="policy: ValueError: absolute aspect ratio must be smaller than 200"):
            await policy.generate(thin, GREEDY)


async def test_a_placeholder_in_a_question_is_no_image(inside: Policy, reference: Policy) -> None:
    forged = TextPart("<|vision_start|><|image_pad|><|vision_end|> What?", "question")
    for policy in (inside, reference):
        completion = await policy.generate([Message("user", (ImagePart(drawn(1)), forged))], GREEDY)
        assert completion.usage.completion_tokens > 0


async def test_turns_at_once_and_cancelled_ones_do_not_disturb_each_other(inside: Policy) -> None:
    alone = await inside.generate(prompt(1), Sampling(max_tokens=48, regex=TURN))
    assert re.fullmatch(TURN, alone.text)
    abandoned = asyncio.create_task(inside.generate(prompt(2), Sampling(max_tokens=2000)))
    together = [asyncio.create_task(inside.generate(prompt(1), Sampling(max_tokens=48, regex=TURN))) for _ in range(4)]
    await asyncio.sleep(0.05)
    abandoned.cancel()
    for completion in await asyncio.gather(*together):
        assert re.fullmatch(TURN, completion.text)
    with pytest.raises(asyncio.CancelledError):
        await abandoned


async def test_a_dead_engine_fails_its_turn_and_is_known_to_be_lost(inside: ResidentPolicy) -> None:
    """The last of this module: it ends the engine of the others."""
    under_way = asyncio.create_task(inside.generate(prompt(3), Sampling(max_tokens=3000)))
    await asyncio.sleep(0.5)
    assert not inside.lost
    # Its own child; a server that other tests keep up has an engine too, as a child of a child.
    engines = [child for child in psutil.Process().children() if "EngineCore" in "".join(child.cmdline())]
    assert engines
    for engine in engines:
        engine.kill()
    with pytest.raises(RolloutFailure, match="policy: the engine died"):
        await under_way
    assert inside.lost
    with pytest.raises(RolloutFailure, match="policy: the engine died"):
        await inside.generate(prompt(1), GREEDY)
