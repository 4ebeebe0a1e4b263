"""The simulated engine serves in order, within its slots and its KV cache, and gives everything back."""

import asyncio
import random

import pytest
from patience import PATIENCE_S

from maestro_eval.testing.behaviour import Latency
from maestro_eval.testing.engine import Engine


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def start(engine: Engine, *requests: tuple[int, int]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(engine.serve(*request)) for request in requests]
    await settle()
    return tasks


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slots_bound_who_runs_and_the_rest_wait():
    engine = Engine(Latency(base_s=60, slots=2))
    tasks = await start(engine, *[(10, 10)] * 5)
    assert (engine.running, engine.waiting) == (2, 3)
    await stop(tasks)
    assert (engine.running, engine.waiting, engine.cache_usage) == (0, 0, 0)


async def test_a_prompt_that_does_not_fit_waits_and_nobody_overtakes_it():
    engine = Engine(Latency(base_s=60, cache_tokens=100))
    tasks = await start(engine, (60, 10), (50, 10), (1, 1))
    assert (engine.running, engine.waiting) == (1, 2)
    assert engine.cache_usage == pytest.approx(0.6)
    await stop(tasks[:1])
    assert (engine.running, engine.waiting) == (2, 0)
    await stop(tasks)


async def test_a_reply_that_does_not_fit_is_preempted_and_finishes_once_it_does():
    engine = Engine(Latency(per_prompt_token_s=0.0, per_completion_token_s=0.001, cache_tokens=100))
    tasks = await start(engine, (40, 20), (30, 40))
    assert (engine.preemptions, engine.running, engine.waiting) == (1, 1, 1)
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
    assert (engine.preemptions, engine.running, engine.cache_usage) == (1, 0, 0)


async def test_a_request_larger_than_the_cache_is_served_alone():
    engine = Engine(Latency(cache_tokens=100))
    await asyncio.wait_for(asyncio.gather(*await start(engine, (500, 500), (10, 10), (500, 1))), PATIENCE_S)
    assert (engine.running, engine.cache_usage) == (0, 0)


async def test_whatever_is_cancelled_when_everything_is_given_back():
    rng = random.Random(5)
    engine = Engine(Latency(base_s=0.001, per_completion_token_s=0.0001, slots=3, cache_tokens=120))
    requests = [(rng.randrange(1, 90), rng.randrange(1, 90)) for _ in range(150)]
    tasks = await start(engine, *requests)
    for task in rng.sample(tasks, 75):
        await asyncio.sleep(0.001)
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
    assert engine.preemptions > 0
    assert (engine.running, engine.waiting, engine.cache_usage) == (0, 0, 0)
