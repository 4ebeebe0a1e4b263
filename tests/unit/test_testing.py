"""The simulated server does what its settings say."""

import asyncio
import json
import re
import time
import urllib.request

import aiohttp
import pytest

from maestro_eval.testing import (
    Fault,
    Latency,
    SimulatedServer,
    at_random,
    on_requests,
    simulated_in_thread,
)


async def post(server: SimulatedServer, text: str = "q", **settings: object) -> tuple[int, dict]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **settings}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/chat/completions", json=body) as response,
    ):
        return response.status, await response.json()


async def reply_of(server: SimulatedServer, text: str = "q", **settings: object) -> str:
    return (await post(server, text, **settings))[1]["choices"][0]["message"]["content"]


async def test_a_script_is_said_line_by_line_and_ends_in_an_error():
    async with SimulatedServer(reply=["one", "two"]) as server:
        assert [await reply_of(server), await reply_of(server)] == ["one", "two"]
        status, body = await post(server)
    assert status == 400
    assert "only 2 replies" in body["error"]["message"]


async def test_a_fault_does_not_use_up_a_line_of_the_script():
    async with SimulatedServer(reply=["one"], faults=on_requests({1: Fault("status", 503)})) as server:
        assert (await post(server))[0] == 503
        assert await reply_of(server) == "one"


async def test_a_rule_sees_the_body_as_it_was_sent():
    async with SimulatedServer(reply=lambda body: f"{body['model']} {body['extra']}") as server:
        assert await reply_of(server, extra=7) == "m 7"


async def test_stop_and_max_tokens_cut_the_reply():
    async with SimulatedServer(reply="abcdefghijkl") as server:
        stopped = (await post(server, stop=["kl", "gh"]))[1]["choices"][0]
        cut = (await post(server, max_tokens=2))[1]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("abcdef", "stop")
    assert cut["choices"][0]["message"]["content"] == "abcdefgh"
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 2


async def test_only_named_models_and_the_right_key_are_served():
    async with SimulatedServer(models=("other",)) as server:
        assert (await post(server))[0] == 404
    async with SimulatedServer(api_key="secret") as server:
        assert (await post(server))[0] == 401
        assert server.requests == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": 1, "messages": []}', b'{"messages": []}'])
async def test_a_body_that_is_no_request_is_a_400(body):
    async with (
        SimulatedServer() as server,
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/chat/completions", data=body) as response,
    ):
        assert response.status == 400


async def test_requests_are_recorded_as_they_arrived():
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "first"}, image]},
        {"role": "assistant", "content": "reply"},
        {"role": "user", "content": [image, {"type": "text", "text": "second"}]},
    ]
    async with SimulatedServer(faults=on_requests({2: Fault("empty")})) as server:
        await post(server, messages=messages)
        await post(server)
    first, second = server.requests
    assert (first.number, first.model, first.text, first.images, first.fault) == (1, "m", "second", 2, "")
    assert (second.number, second.text, second.fault) == (2, "q", "empty")
    assert first.arrived_at <= second.arrived_at


async def test_requests_beyond_the_slots_queue():
    async with SimulatedServer(latency=Latency(base_s=0.05, slots=2)) as server:
        began = time.monotonic()
        await asyncio.gather(*(reply_of(server) for _ in range(6)))
        elapsed = time.monotonic() - began
    assert elapsed >= 0.15
    assert max(request.in_flight for request in server.requests) > 2


def test_latency_counts_the_prompt_before_the_first_token_and_the_reply_after_it():
    latency = Latency(base_s=1.0, per_prompt_token_s=0.1, per_completion_token_s=0.01)
    assert latency.prefill_s(10) == pytest.approx(2.0)
    assert latency.decode_s(100) == pytest.approx(1.0)


SAMPLE = re.compile(r'vllm:(\w+)\{engine="0",model_name="([^"]*)"(?:,finished_reason="(\w+)")?\} ([0-9.e+-]+)')


async def metrics_of(server: SimulatedServer) -> dict[str, float]:
    """Every sample of /metrics; one with a reason as ``name.reason``."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url.removesuffix("/v1") + "/metrics") as response,
    ):
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = (await response.text()).splitlines()
    samples = [SAMPLE.fullmatch(line) for line in lines if not line.startswith("#")]
    assert all(samples)
    for match in samples:
        assert any(line.startswith(f"# TYPE vllm:{match[1]} ") for line in lines)
    return {match[1] + (f".{match[3]}" if match[3] else ""): float(match[4]) for match in samples}


async def test_metrics_tell_who_runs_who_waits_and_how_full_the_cache_is():
    latency = Latency(base_s=30.0, slots=2, cache_tokens=100)
    async with SimulatedServer(reply="x" * 40, latency=latency) as server:
        tasks = [asyncio.create_task(post(server, "q" * 80)) for _ in range(5)]
        while len(server.requests) < 5:  # noqa: ASYNC110  the server has no event for it
            await asyncio.sleep(0.01)
        busy = await metrics_of(server)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while (idle := await metrics_of(server))["request_success_total.abort"] < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (busy["num_requests_running"], busy["num_requests_waiting"]) == (2, 3)
    assert busy["kv_cache_usage_perc"] == pytest.approx(0.4)
    assert (idle["num_requests_running"], idle["num_requests_waiting"], idle["kv_cache_usage_perc"]) == (0, 0, 0)


async def test_metrics_count_requests_by_their_end_and_tokens_by_their_side():
    async with SimulatedServer(reply="x" * 40, models=("m",), faults=on_requests({4: Fault("status", 500)})) as server:
        for settings in ({}, {}, {"max_tokens": 5}, {}):
            await post(server, "q" * 12, **settings)
        counted = await metrics_of(server)
    assert counted["request_success_total.stop"] == 2
    assert counted["request_success_total.length"] == 1
    assert (counted["prompt_tokens_total"], counted["generation_tokens_total"]) == (9, 25)
    assert counted["num_preemptions_total"] == 0


def test_random_faults_depend_on_seed_and_number_alone():
    fault = Fault("cut")
    plan, again, other = (at_random(0.3, fault, seed) for seed in (1, 1, 2))
    numbers = range(1, 2001)
    assert [plan(n) for n in numbers] == [again(n) for n in reversed(numbers)][::-1]
    assert [plan(n) for n in numbers] != [other(n) for n in numbers]
    assert 0.25 < sum(plan(n) is fault for n in numbers) / 2000 < 0.35
    assert at_random(0.0, fault, 1)(1) is None


async def test_closing_does_not_wait_for_requests_that_hang():
    arrived = asyncio.Event()
    faults = on_requests({1: Fault("hang")})
    async with SimulatedServer(faults=faults, on_request=lambda record: arrived.set()) as server:
        task = asyncio.create_task(post(server))
        await arrived.wait()
        began = time.monotonic()
    assert time.monotonic() - began < 60
    with pytest.raises(aiohttp.ClientError):
        await task


def test_on_a_thread_it_serves_synchronous_code():
    with simulated_in_thread(reply="hello", models=("a",)) as server:
        with urllib.request.urlopen(f"{server.url}/models") as response:
            assert json.load(response)["data"][0]["id"] == "a"
        with urllib.request.urlopen(server.url.removesuffix("/v1") + "/health") as response:
            assert response.status == 200
        address = server.url
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/models")


def test_a_thread_that_cannot_serve_raises_where_it_was_asked_for():
    with simulated_in_thread() as server:
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"), simulated_in_thread(port=port):
            pass
