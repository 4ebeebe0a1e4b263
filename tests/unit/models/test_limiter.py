"""Who gets a place and when; and how many places there are, against the simulated engine in simulated time."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from patience import PATIENCE_S

from maestro_eval.models.adaptive_concurrency import CallEnd, Control
from maestro_eval.models.engine_metrics import EngineState
from maestro_eval.models.limiter import InUse, Limiter
from maestro_eval.records import Endpoint
from maestro_eval.testing import Latency
from maestro_eval.testing.engine import Engine

ENDPOINT = Endpoint("e", "http://127.0.0.1:9/v1", concurrency=2)
GOOD = CallEnd("answered", 0.0, 0.0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# Places


async def test_how_calls_ended_is_counted():
    limiter = Limiter()
    for how in ("answered", "answered", "refused", "broken"):
        await limiter.enter(ENDPOINT)
        limiter.leave(ENDPOINT, CallEnd(how, 0.0, 0.0))
    assert (limiter.places.answered, limiter.places.refused, limiter.places.broken) == (2, 1, 1)


async def test_places_go_to_those_who_came_first():
    limiter, order = Limiter(), []

    async def call(number: int) -> None:
        await limiter.enter(ENDPOINT)
        order.append(number)
        await asyncio.sleep(0)
        limiter.leave(ENDPOINT, GOOD)

    await asyncio.gather(*(call(number) for number in range(50)))
    assert order == list(range(50))
    assert (limiter.places.in_flight, limiter.places.queued, limiter.busy) == (0, 0, False)


async def test_a_record_that_is_full_does_not_hold_up_another():
    limiter, small = Limiter(), Endpoint("s", ENDPOINT.url, concurrency=1)
    await limiter.enter(small)
    second = asyncio.create_task(limiter.enter(small))
    await settle()
    await asyncio.wait_for(limiter.enter(ENDPOINT), PATIENCE_S)
    assert (limiter.places.cap, limiter.places.in_flight, limiter.places.queued) == (2, 2, 1)
    limiter.leave(small, GOOD)
    await asyncio.wait_for(second, PATIENCE_S)


async def test_a_part_of_the_places_holds_from_the_next_call_on():
    limiter = Limiter(allowed={"e": 1})
    await limiter.enter(ENDPOINT)
    second, third = (asyncio.create_task(limiter.enter(ENDPOINT)) for _ in range(2))
    await settle()
    assert limiter.in_use() == {"e": InUse(1, 2)}
    limiter.allow({"e": 2})
    await asyncio.wait_for(second, PATIENCE_S)
    limiter.allow({"e": 0})
    limiter.leave(ENDPOINT, GOOD)
    limiter.leave(ENDPOINT, GOOD)
    await settle()
    assert limiter.in_use() == {"e": InUse(0, 1)}
    limiter.allow({"e": 1})
    await asyncio.wait_for(third, PATIENCE_S)
    assert limiter.places.limit == limiter.places.cap == 1


async def test_who_is_cancelled_while_waiting_takes_no_place():
    limiter = Limiter()
    await limiter.enter(ENDPOINT)
    await limiter.enter(ENDPOINT)
    waiting = [asyncio.create_task(limiter.enter(ENDPOINT)) for _ in range(3)]
    await settle()
    waiting[0].cancel()
    await settle()
    assert limiter.places.queued == 2
    limiter.leave(ENDPOINT, GOOD)
    await asyncio.wait_for(waiting[1], PATIENCE_S)
    assert not waiting[2].done()
    limiter.leave(ENDPOINT, GOOD)
    await asyncio.wait_for(waiting[2], PATIENCE_S)


async def test_who_is_cancelled_in_the_moment_of_being_let_in_passes_the_place_on():
    limiter = Limiter()
    await limiter.enter(ENDPOINT)
    await limiter.enter(ENDPOINT)
    first, second = (asyncio.create_task(limiter.enter(ENDPOINT)) for _ in range(2))
    await settle()
    limiter.leave(ENDPOINT, GOOD)
    first.cancel()
    await asyncio.wait_for(second, PATIENCE_S)
    assert (limiter.places.in_flight, limiter.places.queued) == (2, 0)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=40)
def test_whatever_is_cancelled_every_place_comes_back_and_nobody_starves(seed, places):
    rng = random.Random(seed)
    endpoints = [Endpoint(name, ENDPOINT.url, concurrency=rng.randint(1, places)) for name in "abc"]

    async def main() -> tuple[int, int]:
        limiter, most = Limiter(), 0

        async def call(endpoint: Endpoint) -> None:
            nonlocal most
            await limiter.enter(endpoint)
            try:
                now = limiter.places
                most = max(most, now.in_flight)
                assert 1 <= now.limit <= now.cap
                await asyncio.sleep(rng.random())
            finally:
                limiter.leave(endpoint, CallEnd("answered", 0.0, 0.0))

        tasks = [asyncio.create_task(call(rng.choice(endpoints))) for _ in range(60)]
        for task in rng.sample(tasks, 30):
            await asyncio.sleep(rng.random() / 10)
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert not limiter.busy
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)
        return most, limiter.places.cap

    most, cap = in_simulated_time(main())
    assert most <= cap


# How many, against the simulated engine


class Seen(Struct, frozen=True):
    """What came of some calls: seconds that all took, the limit at each second, the most at the engine."""

    seconds: float
    limits: list[int]
    most: int


Serve = Callable[[random.Random], Coroutine[Any, Any, int]]


def drive(
    serve: Serve, calls: int, *, cap: int, callers: int = 300, seed: int = 0, look: Callable[[], EngineState] | None
) -> Seen:
    """``callers`` call without a pause. ``serve`` is a call at the engine, what it gives the size of the reply."""

    async def main() -> Seen:
        rng, loop = random.Random(seed), asyncio.get_running_loop()
        limiter, endpoint = Limiter(clock=loop.time), Endpoint("e", "u", concurrency=cap)
        limits, most, todo = [], 0, iter(range(calls))

        async def watch() -> None:
            while True:
                await asyncio.sleep(1)
                limiter.observed(look()) if look else limiter.unobserved()
                limits.append(limiter.places.limit)

        async def caller() -> None:
            nonlocal most
            for _ in todo:
                await limiter.enter(endpoint)
                most = max(most, limiter.places.in_flight)
                began = loop.time()
                await serve(rng)
                limiter.leave(endpoint, CallEnd("answered", began, loop.time() - began))

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(caller() for _ in range(callers)))
        watching.cancel()
        return Seen(loop.time(), limits, most)

    return in_simulated_time(main())


def drive_engine(latency: Latency, calls: int, *, cap: int, readable: bool, seed: int = 0) -> tuple[Seen, Engine]:
    engine = Engine(latency)

    async def serve(rng: random.Random) -> int:
        tokens = rng.randrange(20, 400)
        await engine.serve(rng.randrange(50, 500), tokens)
        return tokens

    def look() -> EngineState:
        return EngineState(engine.running, engine.waiting, engine.cache_usage, engine.preemptions)

    return drive(serve, calls, cap=cap, seed=seed, look=look if readable else None), engine


TOKEN_S = 0.01
MEAN_S = 0.1 + 209.5 * TOKEN_S


def engine_of(slots: int, **settings: int) -> Latency:
    return Latency(base_s=0.1, per_completion_token_s=TOKEN_S, slots=slots, **settings)


@pytest.mark.parametrize(("slots", "cap"), [(1, 32), (4, 256), (8, 16), (64, 256), (200, 256)])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_engine_that_can_be_read_is_kept_full_with_a_short_queue(slots, cap, seed):
    calls = 40 * slots + 200
    seen, _ = drive_engine(engine_of(slots), calls, cap=cap, readable=True, seed=seed)
    settled = seen.limits[len(seen.limits) // 3 : -5]
    assert seen.most <= cap
    assert slots <= min(settled)
    assert max(settled) <= min(cap, 1.25 * slots + 2)
    # At the beginning the limit grows, and at the end there is too little left for all slots.
    assert seen.seconds <= 1.03 * calls * MEAN_S / slots + 10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_cache_that_overflows_brings_the_limit_down_until_few_are_preempted(seed):
    latency = engine_of(256, cache_tokens=16_000)
    few, engine = drive_engine(latency, 2000, cap=256, readable=True, seed=seed)
    _, unlimited = drive_engine(latency, 2000, cap=10**6, readable=False, seed=seed)
    # About 34 of them fit at a time.
    assert 20 <= mean(few.limits[len(few.limits) // 3 :]) <= 60
    assert engine.preemptions < unlimited.preemptions / 2


def test_an_engine_that_cannot_be_read_is_given_the_cap():
    calls = 20 * 32
    seen, _ = drive_engine(engine_of(8), calls, cap=32, readable=False)
    assert set(seen.limits) == {32}
    # The queue at the engine costs nobody time.
    assert seen.seconds <= 1.03 * calls * MEAN_S / 8


@pytest.mark.parametrize("readable", [True, False])
def test_a_short_run_is_in_flight_from_its_beginning(readable):
    seen, _ = drive_engine(engine_of(300), 15 * 256, cap=256, readable=readable)
    assert seen.most == 256
    assert 15 * 256 * MEAN_S / seen.seconds >= 0.92 * 256


# What moves the limit


def refused(began: float) -> CallEnd:
    return CallEnd("refused", began, 1.0)


def test_refusals_bring_the_limit_down_once_a_round_and_it_recovers_in_small_steps():
    control = Control(32)
    control.unobserved()
    for _ in range(32):
        control.finished(refused(0.0), 32)
    assert control.limit == 22
    for second in range(40):
        before = control.limit
        control.finished(CallEnd("answered", 2.0 + second, 1.0), control.limit)
        assert control.limit - before <= max(1, before // 8)
    assert control.limit > 22


def test_a_stumble_now_and_then_costs_nothing():
    control = Control(256)
    for call in range(5000):
        end = refused(call) if call % 100 == 0 else CallEnd("answered", call, 1.0)
        control.finished(end, 256)
    assert control.limit == 256


def test_a_burst_that_is_being_taken_in_is_no_queue():
    control = Control(64)
    control.observed(EngineState(running=2, waiting=30), 1.0, 32)
    control.observed(EngineState(running=32, waiting=0), 2.0, 32)
    assert control.limit == 64


def test_a_burst_that_is_taken_in_step_by_step_gets_its_places_back():
    control = Control(256)
    limits = []
    for second, running in enumerate([20, 40, 120, 200, 250, 256]):
        state = EngineState(running, waiting=256 - running)
        control.observed(state, second, 256)
        limits.append(control.limit)
    # The first look alone says nothing; later ones follow what runs.
    assert limits[0] == 256
    assert limits[1] < limits[2] < limits[3]
    assert limits[-1] >= 230


def test_only_our_share_of_a_queue_that_others_made_is_taken_off():
    control = Control(64)
    for second in range(2):
        control.observed(EngineState(running=50, waiting=55), second, 21)
    assert control.limit == 11


EVENTS = st.one_of(
    st.tuples(st.just("observed"), st.integers(0, 300), st.integers(0, 300), st.floats(0, 1), st.integers(0, 5)),
    st.tuples(st.sampled_from(["answered", "refused", "broken"]), st.floats(0, 1e4), st.floats(0, 1e4)),
    st.tuples(st.just("unobserved")),
)


@given(st.integers(1, 300), st.lists(st.tuples(EVENTS, st.integers(1, 300))))
@settings(max_examples=100)
def test_the_limit_stays_between_one_and_the_cap_whatever_comes(cap, events):
    control = Control(cap)
    for now, (event, in_flight) in enumerate(events):
        match event:
            case ("observed", running, waiting, cache, preemptions):
                state = EngineState(running, waiting, cache, preemptions)
                control.observed(state, now, in_flight)
            case ("unobserved",):
                control.unobserved()
            case (how, began, seconds):
                end = CallEnd(how, began, seconds)
                control.finished(end, in_flight)
        assert 1 <= control.limit <= cap


# Simulated time


class _Jump(selectors.DefaultSelector):
    """Instead of waiting, the clock is set forward."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def in_simulated_time(main: Coroutine[Any, Any, Any]) -> Any:
    """Run ``main`` in a loop whose sleeps take no time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
