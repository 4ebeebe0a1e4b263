"""A worker and the policy that it holds; where calls are kept on the machine that asks."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from small_worlds import loaded_sample, small_registry
from unit.runtime.live_worlds import small_spec

from maestro_eval.records import Failed, RolloutFailure, RolloutKey
from maestro_eval.runtime import ray_actor
from maestro_eval.runtime import worker as worker_module
from maestro_eval.runtime.executor import UnfitNodeError
from maestro_eval.runtime.worker import CacheSpec, RolloutWorker, WorkerSpec, check_node
from maestro_eval.tasks import TaskSpec
from maestro_eval.testing import simulated_in_thread


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
    started = await RolloutWorker.start(small_spec(tmp_path, policy="vllm:somewhere"), "w")
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
    worker = await RolloutWorker.start(small_spec(tmp_path, policy="vllm:somewhere", read_s=1.0), "w")
    # Twice as many as are read at once: those that hang are given up, and their places with them.
    hung = await asyncio.gather(*(worker.run(RolloutKey("signs", f"x{number}")) for number in range(16)))
    assert {finished.rollout.outcome.cause for finished in hung} == {"deadline"}
    assert "not read within 1 s" in hung[0].rollout.outcome.detail
    assert hung[0].sample.sample_id == "x0"
    assert (await worker.run(RolloutKey("signs", "s1"))).rollout.outcome == Failed("policy", "the engine died")
    await worker.close()
    end.set()


# Where calls are kept on the machine that asks.


def test_a_folder_of_every_machine_and_of_this_one_is_used_as_it_is():
    for host in ("", socket.gethostname()):
        assert CacheSpec("/runs/one/cache", host).on_this_machine() == Path("/runs/one/cache")


def test_another_machines_folder_has_a_private_one_here_for_each_run(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    one, two = (CacheSpec(f"/runs/{name}/cache", "elsewhere") for name in ("one", "two"))
    here = one.on_this_machine()
    assert here is not None
    assert here == one.on_this_machine() != two.on_this_machine()
    assert here.parent.parent == tmp_path
    assert here.parent.stat().st_mode & 0o077 == 0


def test_a_folder_that_somebody_else_could_have_made_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    spec = CacheSpec("/runs/one/cache", "elsewhere")
    made = spec.on_this_machine()
    assert made is not None
    made.parent.chmod(0o777)
    assert spec.on_this_machine() is None
    made.parent.rmdir()
    made.parent.symlink_to(tmp_path)
    assert spec.on_this_machine() is None


# What a worker makes sure of on its own machine: data, experts, the policy's endpoint and its key.


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    return small_spec(tmp_path)


def at(spec: WorkerSpec, url: str) -> WorkerSpec:
    """All endpoints of the registry at ``url``."""
    registry = small_registry(Path(spec.settings.registry.path).parent, url)
    return replace(spec, settings=replace(spec.settings, registry=registry))


@pytest.fixture(scope="module")
def gone() -> str:
    """An address where nobody listens."""
    with simulated_in_thread(reply="x") as server:
        return server.url


async def test_a_machine_that_reaches_all_is_fit(spec: WorkerSpec) -> None:
    with simulated_in_thread(reply="x") as server:
        await check_node(at(spec, server.url))


async def test_an_expert_that_this_machine_does_not_reach_is_named(spec: WorkerSpec, gone: str) -> None:
    with pytest.raises(UnfitNodeError, match=gone):
        await check_node(at(spec, gone))


async def test_a_policy_that_this_machine_does_not_reach_is_named(spec: WorkerSpec, gone: str) -> None:
    with simulated_in_thread(reply="x") as server, pytest.raises(UnfitNodeError, match=gone):
        await check_node(replace(at(spec, server.url), policy=f"openai:{gone}#m"))


async def test_a_key_that_is_set_for_the_driver_only_is_named(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAESTRO_TEST_KEY", raising=False)
    with simulated_in_thread(reply="x") as server:
        keyed = at(spec, server.url)
        registry = keyed.settings.registry
        endpoints = {name: replace(entry, api_key_env="MAESTRO_TEST_KEY") for name, entry in registry.endpoints.items()}
        settings = replace(keyed.settings, registry=replace(registry, endpoints=endpoints))
        with pytest.raises(UnfitNodeError, match="MAESTRO_TEST_KEY is not set"):
            await check_node(replace(keyed, settings=settings))


async def test_data_that_is_not_on_this_machine_is_named(spec: WorkerSpec, tmp_path: Path) -> None:
    task = TaskSpec("maestro_chartqa", str(tmp_path), str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(UnfitNodeError, match=r"task maestro_chartqa: .*nowhere\.jsonl is not there"):
        await check_node(replace(spec, tasks=(task,)))
