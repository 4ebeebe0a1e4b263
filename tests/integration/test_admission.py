"""Rollouts that wait for experts that wait for places: with one engine and few places everything still ends."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import Cli, write_chartqa, write_registry
from patience import PATIENCE_S

from maestro_eval.journal import Journal
from maestro_eval.models import ExpertClient, ModelAsk
from maestro_eval.records import Answered, Endpoint, ExpertCall, Message, Sampling, TextPart
from maestro_eval.runtime import run_facts
from maestro_eval.testing import Fault, Latency, SimulatedServer, at_random, simulated_in_thread


def ask(endpoint: Endpoint, text: str) -> ModelAsk:
    return ModelAsk("expert", endpoint.name, "m", endpoint, (Message("user", (TextPart(text),)),), Sampling())


@pytest.mark.parametrize("places", [1, 2, 4])
async def test_nested_waits_on_one_engine_end(places: int) -> None:
    """Each rollout asks the policy, then two experts at once, then the policy, all at one address."""
    async with SimulatedServer(latency=Latency(base_s=0.002)) as server, ExpertClient(poll_s=0.02) as client:
        policy = Endpoint("policy", server.url, concurrency=places)
        experts = [Endpoint(name, server.url, concurrency=places) for name in ("a", "b")]

        async def rollout(number: int) -> list[ExpertCall]:
            first = await client.call(ask(policy, f"{number} first"))
            found = await asyncio.gather(*(client.call(ask(expert, f"{number} then")) for expert in experts))
            return [first, *found, await client.call(ask(policy, f"{number} last"))]

        done = await asyncio.wait_for(asyncio.gather(*map(rollout, range(64))), PATIENCE_S)
        (left,) = client.places().values()
    assert {call.error for calls in done for call in calls} == {""}
    assert max(request.in_flight for request in server.requests) == places
    assert (left.cap, left.in_flight, left.queued) == (places, 0, 0)


async def test_deadlines_and_cancellations_in_the_queue_leave_every_place_free() -> None:
    rng = random.Random(3)
    faults = at_random(0.3, Fault("hang"), 1)
    async with SimulatedServer(latency=Latency(base_s=0.002), faults=faults) as server, ExpertClient() as client:
        endpoint = Endpoint("e", server.url, concurrency=2, timeout_s=0.05, max_tries=1)
        calls = [
            asyncio.create_task(client.call(ask(endpoint, str(number)), deadline=time.monotonic() + rng.random()))
            for number in range(80)
        ]
        for call in rng.sample(calls, 20):
            await asyncio.sleep(0.002)
            call.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE_S)
        (left,) = client.places().values()
    errors = {call.error.split(":")[0] for call in ended if isinstance(call, ExpertCall)}
    assert {"timeout", "deadline"} <= errors <= {"", "timeout", "deadline"}
    assert (left.in_flight, left.queued) == (0, 0)


async def test_an_engine_whose_queue_grows_is_asked_less() -> None:
    # Long against what HTTP costs on a busy machine: the queue must be the engine's.
    latency = Latency(base_s=0.06, slots=4)
    async with SimulatedServer(latency=latency, metrics=True) as server, ExpertClient(poll_s=0.05) as client:
        endpoint = Endpoint("e", server.url, concurrency=32)
        await asyncio.gather(*(client.call(ask(endpoint, str(number))) for number in range(150)))
        (left,) = client.places().values()
    late = [request.in_flight for request in server.requests[-100:-40]]
    # Close to 1.1 of 4, and far from 32 where HTTP is what takes time.
    assert sorted(late)[len(late) // 2] <= 12
    assert left.limit < 32


async def test_an_engine_that_refuses_is_asked_less_and_every_call_is_answered() -> None:
    most = 6

    def refuse(number: int) -> Fault | None:
        busy = server.requests and server.requests[-1].in_flight >= most
        return Fault("status", 429, retry_after="0.05") if busy else None

    server = SimulatedServer(latency=Latency(base_s=0.01), metrics=False, faults=refuse)
    async with server, ExpertClient(poll_s=0.02) as client:
        endpoint = Endpoint("e", server.url, concurrency=64, max_tries=50)
        done = await asyncio.gather(*(client.call(ask(endpoint, str(number))) for number in range(400)))
        (left,) = client.places().values()
    assert {call.error for call in done} == {""}
    assert left.limit <= 2 * most
    assert sum(call.tries for call in done) < 3 * len(done)


def test_a_run_whose_policy_and_expert_share_a_narrow_engine_finishes_and_says_what_it_reached(
    cli: Cli, tmp_path: Path
) -> None:
    def speak(body: dict[str, Any]) -> str:
        if body["model"] == "oracle":
            return "Answer: 4"
        if "<information>" not in json.dumps(body["messages"][-1]["content"]):
            return "<search> Oracle@@Ask: How many bars? </search>"
        return "<answer> 4 </answer>"

    data = write_chartqa(tmp_path / "d", [{"question": f"How many bars, {n}?", "answer": "4"} for n in range(64)])
    with simulated_in_thread(reply=speak, latency=Latency(base_s=0.01, slots=2)) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        result = cli(
            "run", "--policy", f"openai:{server.url}#orchestrator", "--registry", registry, "--concurrency", "64",
            "--tasks", "maestro_chartqa", "--data", f"maestro_chartqa={data}", "--out", "out",
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with Journal.open(tmp_path / "out", read_only=True) as journal:
        assert all(isinstance(rollout.outcome, Answered) for rollout, _ in journal.rollouts())
    seen = run_facts(tmp_path / "out").throughput
    assert (seen.rollouts, seen.asked) == (64, 64)
    assert 1 < seen.in_flight <= 64
    assert {(each.endpoint, each.asked, each.calls) for each in seen.endpoints} == {
        ("there", 32, 64),
        ("policy", 64, 128),
    }
