"""A worker and the policy that it holds."""

import asyncio
import threading

import msgspec
import pytest
from small_worlds import loaded_sample, small_registry

from maestro_eval.records import Failed, Regime, RolloutFailure, RolloutKey, Sampling
from maestro_eval.rollout import settle_sampling
from maestro_eval.runtime import ray_actor
from maestro_eval.runtime import worker as worker_module
from maestro_eval.runtime.worker import RolloutWorker, WorkerSpec


class DyingPolicy:
    """Its engine dies in its first turn."""

    model = "dying"

    def __init__(self) -> None:
        self.lost = False
        self.events: list[str] = []

    async def open(self) -> None:
        self.events.append("open")

    async def close(self) -> None:
        self.events.append("close")

    async def generate(self, messages, sampling):
        self.lost = True
        raise RolloutFailure("policy", "the engine died")


class OneTask:
    def load(self, sample_id):
        return loaded_sample()


@pytest.fixture
def policy(monkeypatch):
    made = DyingPolicy()

    async def make(*_, **__):
        return made

    monkeypatch.setattr(worker_module, "make_policy", make)
    monkeypatch.setattr(RolloutWorker, "_task", lambda self, name: OneTask())
    return made


@pytest.fixture
async def worker(policy, tmp_path):
    spec = WorkerSpec(
        registry=small_registry(tmp_path),
        policy="vllm:somewhere",
        policy_key_env="",
        tasks=(),
        regime=Regime(),
        sampling=settle_sampling(Sampling(), Regime()),
        system="Decide.",
        seed=0,
        concurrency=1,
    )
    started = await RolloutWorker.start(spec, "w")
    yield started
    await started.close()


async def test_a_policys_model_is_opened_with_the_worker_and_closed_with_it(worker, policy):
    assert policy.events == ["open"]
    await worker.close()
    assert policy.events == ["open", "close"]


async def test_without_a_replacement_a_dead_engine_fails_its_rollouts(worker):
    finished = await worker.run(RolloutKey("signs", "s1"))
    assert finished.rollout.outcome == Failed("policy", "the engine died")


async def test_where_it_is_replaced_a_worker_without_its_engine_ends_its_process(worker, monkeypatch):
    class EndedError(Exception):
        pass

    def end(code):
        raise EndedError(code)

    monkeypatch.setattr(ray_actor.os, "_exit", end)
    host = ray_actor.Host()
    host._name = "w"
    host._worker = worker
    with pytest.raises(EndedError):
        await host.run(msgspec.json.encode(RolloutKey("signs", "s1")))


async def test_a_row_that_is_not_read_in_time_fails_and_holds_no_other_up(policy, tmp_path, monkeypatch):
    end = threading.Event()

    class Hanging:
        def load(self, sample_id):
            if sample_id != "s1":
                end.wait()
            return loaded_sample()

    monkeypatch.setattr(RolloutWorker, "_task", lambda self, name: Hanging())
    spec = WorkerSpec(
        registry=small_registry(tmp_path),
        policy="vllm:somewhere",
        policy_key_env="",
        tasks=(),
        regime=Regime(),
        sampling=settle_sampling(Sampling(), Regime()),
        system="Decide.",
        seed=0,
        concurrency=1,
        read_s=0.3,
    )
    worker = await RolloutWorker.start(spec, "w")
    # Twice as many as are read at once: those that hang are given up, and their places with them.
    hung = await asyncio.gather(*(worker.run(RolloutKey("signs", f"x{number}")) for number in range(16)))
    assert {finished.rollout.outcome.cause for finished in hung} == {"deadline"}
    assert "not read within 0.3 s" in hung[0].rollout.outcome.detail
    assert hung[0].sample.sample_id == "x0"
    assert (await worker.run(RolloutKey("signs", "s1"))).rollout.outcome == Failed("policy", "the engine died")
    await worker.close()
    end.set()
