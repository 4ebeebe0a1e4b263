"""What a worker makes sure of on its own machine: data, experts, the policy's endpoint and its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from small_worlds import small_registry

from maestro_eval.records import Regime, Sampling
from maestro_eval.rollout import settle_sampling
from maestro_eval.runtime.executor import UnfitNodeError
from maestro_eval.runtime.worker import WorkerSpec, check_node
from maestro_eval.tasks import TaskSpec
from maestro_eval.testing import simulated_in_thread


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    return WorkerSpec(
        registry=small_registry(tmp_path),
        policy="random",
        policy_key_env="",
        tasks=(),
        regime=Regime(),
        sampling=settle_sampling(Sampling(), Regime()),
        system="Decide.",
        seed=0,
        concurrency=1,
    )


def at(spec: WorkerSpec, url: str) -> WorkerSpec:
    """All endpoints of the registry at ``url``."""
    return replace(spec, registry=small_registry(Path(spec.registry.path).parent, url))


@pytest.fixture(scope="module")
def gone() -> str:
    """An address where nobody listens."""
    with simulated_in_thread(reply="x") as server:
        return server.url


def test_a_machine_that_reaches_all_is_fit(spec: WorkerSpec) -> None:
    with simulated_in_thread(reply="x") as server:
        check_node(at(spec, server.url))


def test_an_expert_that_this_machine_does_not_reach_is_named(spec: WorkerSpec, gone: str) -> None:
    with pytest.raises(UnfitNodeError, match=gone):
        check_node(at(spec, gone))


def test_a_policy_that_this_machine_does_not_reach_is_named(spec: WorkerSpec, gone: str) -> None:
    with simulated_in_thread(reply="x") as server, pytest.raises(UnfitNodeError, match=gone):
        check_node(replace(at(spec, server.url), policy=f"openai:{gone}#m"))


def test_a_key_that_is_set_for_the_driver_only_is_named(spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAESTRO_TEST_KEY", raising=False)
    with simulated_in_thread(reply="x") as server:
        keyed = at(spec, server.url)
        endpoints = {
            name: replace(entry, api_key_env="MAESTRO_TEST_KEY") for name, entry in keyed.registry.endpoints.items()
        }
        with pytest.raises(UnfitNodeError, match="MAESTRO_TEST_KEY is not set"):
            check_node(replace(keyed, registry=replace(keyed.registry, endpoints=endpoints)))


def test_data_that_is_not_on_this_machine_is_named(spec: WorkerSpec, tmp_path: Path) -> None:
    task = TaskSpec("maestro_chartqa", str(tmp_path), str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(UnfitNodeError, match=r"task maestro_chartqa: .*nowhere\.jsonl is not there"):
        check_node(replace(spec, tasks=(task,)))
