"""What is read from a page of metrics, and when it is asked for."""

import asyncio
import random
import time
from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S

from maestro_eval.models.engine_metrics import EngineState, EngineWatch, parse_metrics
from maestro_eval.testing import SimulatedServer
from maestro_eval.testing.metrics import ServerState, render_metrics

PAGE = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-VL-4B"} 7.0
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-VL-4B"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
vllm:gpu_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-VL-4B"} 0.25
vllm:num_preemptions_total{engine="0",model_name="Qwen/Qwen3-VL-4B"} 2.0
vllm:num_preemptions_created{engine="0",model_name="Qwen/Qwen3-VL-4B"} 1.7e+09
process_cpu_seconds_total 4.5
"""


def test_the_four_samples_are_found_among_others():
    assert parse_metrics(PAGE) == EngineState(7, 3, 0.25, 2)


def test_the_newer_name_of_the_cache_counts_too():
    assert parse_metrics(PAGE.replace("gpu_cache", "kv_cache")) == EngineState(7, 3, 0.25, 2)


def test_engines_behind_one_page_are_taken_together():
    other = PAGE.replace('engine="0"', 'engine="1"').replace("0.25", "0.75")
    assert parse_metrics(PAGE + other) == EngineState(14, 6, 0.75, 4)


@pytest.mark.parametrize("page", ["", "<html>", "vllm:num_requests_running 1", PAGE.replace("vllm:", "sglang:")])
def test_a_page_without_both_queues_is_no_engines(page):
    assert parse_metrics(page) is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-3", "1e400", "x", "9" * 40])
def test_a_value_that_cannot_be_is_passed_over(value):
    page = PAGE.replace("} 3.0", "} " + value, 1)
    assert parse_metrics(page) is None
    assert parse_metrics(page + "vllm:num_requests_waiting 4") == EngineState(7, 4, 0.25, 2)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 10**6), st.text(max_size=20))
def test_what_the_simulated_server_writes_is_read_back(running, waiting, cache, preemptions, model):
    state = ServerState(model, running, waiting, cache, preemptions, 0, 0, {"stop": 1})
    assert parse_metrics(render_metrics(state)) == EngineState(running, waiting, cache, preemptions)


@given(st.text(alphabet='vllm:num_requests_running{}" \n1.', max_size=300))
def test_no_page_raises(page):
    parse_metrics(page + PAGE)


class Listener:
    """Who is told, and how often each."""

    def __init__(self) -> None:
        self.busy = True
        self.states: list[EngineState] = []
        self.failures = 0

    def observed(self, state: EngineState) -> None:
        self.states.append(state)

    def unobserved(self) -> None:
        self.failures += 1


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.002)


async def test_a_busy_engine_is_looked_at_again_and_again_and_an_idle_one_not():
    listener = Listener()
    async with SimulatedServer() as server, aiohttp.ClientSession() as session:
        watch = EngineWatch(server.url, listener, lambda: session, poll_s=0.002)
        watch.wake()
        await until(lambda: len(listener.states) >= 3)
        listener.busy = False
        await asyncio.sleep(0.2)
        seen = len(listener.states)
        await asyncio.sleep(0.05)
        assert len(listener.states) == seen
        listener.busy = True
        watch.wake()
        await until(lambda: len(listener.states) > seen)
        await watch.close()
    assert listener.failures == 0
    assert listener.states[0] == EngineState(0, 0)


async def test_an_address_without_metrics_is_asked_ever_more_rarely():
    asked = []

    async def no_metrics(request: web.Request) -> web.Response:
        asked.append(time.monotonic())
        return web.Response(status=404)

    listener = Listener()
    async with serving(no_metrics) as url, aiohttp.ClientSession() as session:
        watch = EngineWatch(f"{url}/v1/", listener, lambda: session, poll_s=0.001)
        watch.wake()
        await until(lambda: len(asked) >= 8)
        await watch.close()
    assert 0 <= len(asked) - listener.failures <= 1
    # After 1/4, 1, 2, 4, … milliseconds.
    pauses = [after - before for before, after in pairwise(asked)]
    assert all(pause >= 0.0009 * 2**number for number, pause in enumerate(pauses[1:]))


@pytest.mark.parametrize("kind", ["redirect", "endless", "cut", "nobody"])
async def test_a_page_that_cannot_be_had_is_told_as_such(kind):
    async def answer(request: web.Request) -> web.StreamResponse:
        if kind == "redirect":
            raise web.HTTPFound("/elsewhere")
        response = web.StreamResponse()
        await response.prepare(request)
        if kind == "endless":
            block = random.Random(1).randbytes(2**20)
            for _ in range(64):
                await response.write(block)
        elif request.transport is not None:
            request.transport.abort()
        return response

    listener = Listener()
    async with serving(answer) as url, aiohttp.ClientSession() as session:
        address = "http://127.0.0.1:9/v1" if kind == "nobody" else f"{url}/v1"
        watch = EngineWatch(address, listener, lambda: session, poll_s=0.001)
        watch.wake()
        await until(lambda: listener.failures)
        await watch.close()
    assert listener.states == []


class serving:  # noqa: N801  reads as a verb
    """A server whose every page is ``answer``'s."""

    def __init__(self, answer) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
