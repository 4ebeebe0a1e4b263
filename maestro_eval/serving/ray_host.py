"""Engines on a Ray cluster: Ray finds the nodes and keeps the books of their GPUs, we keep the engines up.

Engines that share a GPU go together into one bundle of a placement group, every other engine into one of its own; a
bundle is on one node by its nature. In each bundle an actor runs the same supervisor as on a single machine. An
actor that dies is started again, on another node where its own is gone; its engines end with it, because it held
their pipes.

Keys are read from the environment of each node. On a cluster of one node engines listen on the loopback, on larger
ones at their node's address, for everybody who can reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maestro_eval.records import UserError
from maestro_eval.registry import Registry
from maestro_eval.serving.engines import LOOPBACK
from maestro_eval.serving.gpus import detect_gpus
from maestro_eval.serving.launch import find_vllm, make_launch
from maestro_eval.serving.placement import Gpu, Placement, Plan, plan
from maestro_eval.serving.ray_cluster import actor_environment, answer, connect, import_ray, one_line, own_signals
from maestro_eval.serving.session import Host
from maestro_eval.serving.supervise import Death, Event, Report, Stop, Supervision, Supervisor, open_log

_ROOM_S = 120.0
_PROBE_S = 120.0
# Beyond the engines' own grace, for the actor to say that they are gone.
_FAREWELL_S = 10.0
_OBJECT_STORE_BYTES = 100 * 2**20


@contextlib.contextmanager
def ray_cluster(address: str | None) -> Iterator[Any]:
    """Ray at ``address``, or one of our own on this machine that ends with the block. Yields the module."""
    ray = import_ray(address)
    if ray.is_initialized():
        yield ray
        return
    with own_signals():
        connect(ray, address, object_store_memory=_OBJECT_STORE_BYTES)
    try:
        yield ray
    finally:
        with own_signals():
            ray.shutdown()


def plan_on_ray(ray: Any, registry: Registry, gpu_memory_gb: float | None = None) -> Plan:
    """Place what the registry has at loopback addresses; an address that names a machine means that machine."""
    return plan(registry, cluster_gpus(ray, gpu_memory_gb), own_names=())


def cluster_gpus(ray: Any, memory_gb: float | None = None) -> tuple[Gpu, ...]:
    """The GPUs of all nodes; their memory is asked for on each node unless it is given."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    found: list[Gpu] = []
    for node in sorted((n for n in ray.nodes() if n["Alive"]), key=lambda n: str(n["NodeManagerAddress"])):
        number, name = int(node["Resources"].get("GPU", 0)), str(node["NodeManagerAddress"])
        if not number:
            continue
        memory = memory_gb
        if memory is None:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            probe = ray.remote(_node_gpus).options(
                num_cpus=0, scheduling_strategy=there, runtime_env=actor_environment()
            )
            try:
                memory = min(ray.get(probe.remote(name), timeout=_PROBE_S))
            except (ray.exceptions.RayError, ValueError) as error:
                raise UserError(
                    f"{name}: what its GPUs are cannot be found ({one_line(error)}); give --gpu-memory"
                ) from error
        found += [Gpu(index, memory, name) for index in range(number)]
    return tuple(found)


def serve_on_ray(ray: Any, placed: Plan, logs: Path, supervision: Supervision | None = None) -> Host:
    """The engines of ``placed`` on the cluster. The plan's nodes show that it fits; Ray may choose others."""
    settings = supervision or Supervision()

    async def host(report: Report, stop: Stop) -> None:
        room = await _reserve(ray, placed.groups, stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, group in enumerate(placed.groups):
                    tasks.create_task(_Bundle(ray, room, number, group, logs, settings).keep_up(report, stop))
        finally:
            ray.util.remove_placement_group(room)

    return host


class _Bundle:
    """One bundle's actors, one after the other."""

    def __init__(
        self, ray: Any, room: Any, number: int, group: Sequence[Placement], logs: Path, settings: Supervision
    ) -> None:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._ray = ray
        self._group = group
        self._settings = settings
        self._logs = logs
        self._actor_class = ray.remote(_EngineHost).options(
            num_cpus=1,
            num_gpus=_gpus_of(group),
            max_restarts=0,
            max_concurrency=8,
            scheduling_strategy=PlacementGroupSchedulingStrategy(room, placement_group_bundle_index=number),
            runtime_env=actor_environment(),
        )

    async def keep_up(self, report: Report, stop: Stop) -> None:
        """Until ``stop``, until its engines are given up, or until too many actors have died."""
        deaths: list[Death] = []
        while not stop.now.is_set():
            alone = sum(bool(node["Alive"]) for node in self._ray.nodes()) == 1
            actor = self._actor_class.remote(tuple(self._group), str(self._logs), self._settings, alone)
            heard: set[str] = set()
            try:
                await self._follow(actor, report, stop, heard)
                return
            except self._ray.exceptions.RayError as error:
                lost = f"its actor was lost ({one_line(error)})"
            finally:
                self._ray.kill(actor)
            deaths.append(Death(time.monotonic(), "ready" in heard))
            delay = self._settings.restarts.delay(deaths, time.monotonic())
            for placement in self._group:
                detail = lost if delay is None else f"{lost}; starting again in {delay:g} s"
                report(Event(placement.engine.name, "given up" if delay is None else "died", "", detail))
            if delay is None:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.now.wait(), delay)

    async def _follow(self, actor: Any, report: Report, stop: Stop, heard: set[str]) -> None:
        trouble = await answer(actor.begin.remote())
        if trouble:
            raise UserError(trouble)
        ending = asyncio.create_task(self._end_with(actor, stop))
        try:
            while (news := await answer(actor.news.remote())) is not None:
                for event in news:
                    heard.add(event.state)
                    report(event)
        finally:
            ending.cancel()

    async def _end_with(self, actor: Any, stop: Stop) -> None:
        await stop.now.wait()
        actor.stop.remote()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.hurry.wait(), self._settings.grace_s + _FAREWELL_S)
        actor.stop.remote()
        await asyncio.sleep(_FAREWELL_S)
        # The engines end with the actor.
        self._ray.kill(actor)


class _EngineHost:
    """The actor: a supervisor on the node where the bundle is."""

    def __init__(self, group: Sequence[Placement], logs: str, settings: Supervision, alone: bool) -> None:
        self._group = group
        self._logs = Path(logs)
        self._settings = settings
        self._alone = alone
        self._news: asyncio.Queue[Event | None] = asyncio.Queue()

    async def begin(self) -> str:
        """Start; what is wrong for the user to mend, or ""."""
        import ray

        host = LOOPBACK if self._alone else str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
        assigned = [str(gpu) for gpu in ray.get_gpu_ids()]
        planned = sorted({gpu.index for placement in self._group for gpu in placement.gpus})
        visible = dict(zip(planned, assigned, strict=True))
        try:
            vllm = find_vllm([placement.engine.serve for placement in self._group])
            launches = [
                make_launch(p, vllm, host=host, visible=[visible[gpu.index] for gpu in p.gpus]) for p in self._group
            ]
            for launch in launches:
                open_log(self._logs / launch.log_name).close()
        except UserError as error:
            return f"node {host}: {error}"
        self._stop = Stop()
        self._running = asyncio.create_task(
            Supervisor(launches, self._logs, self._news.put_nowait, self._settings).run(self._stop)
        )
        self._running.add_done_callback(lambda _: self._news.put_nowait(None))
        return ""

    async def news(self) -> list[Event] | None:
        """What has happened since the last call, as soon as anything has; ``None`` when all is over."""
        events = [await self._news.get()]
        while not self._news.empty():
            events.append(self._news.get_nowait())
        told = [event for event in events if event is not None]
        if not told:
            self._running.result()
            return None
        if None in events:
            self._news.put_nowait(None)
        return told

    async def stop(self) -> None:
        """Once to end the engines, twice to do so at once."""
        self._stop.ask()


async def _reserve(ray: Any, groups: Sequence[Sequence[Placement]], stop: Stop) -> Any:
    bundles = [{"CPU": 1.0, **({"GPU": float(_gpus_of(group))} if _gpus_of(group) else {})} for group in groups]
    room = ray.util.placement_group(bundles, strategy="PACK")
    ready = asyncio.ensure_future(answer(room.ready()))
    stopping = asyncio.ensure_future(stop.now.wait())
    await asyncio.wait({ready, stopping}, timeout=_ROOM_S, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ready.done() and not stop.now.is_set():
        ray.util.remove_placement_group(room)
        ready.cancel()
        wanted = ", ".join(sorted({f"{int(b.get('GPU', 0))} GPUs" if "GPU" in b else "1 CPU" for b in bundles}))
        raise UserError(
            f"the cluster has no room within {_ROOM_S:g} s for {len(bundles)} bundles ({wanted}, each on one "
            "node); see `ray status` for what others hold"
        )
    return room


def _gpus_of(group: Sequence[Placement]) -> int:
    return len({gpu for placement in group for gpu in placement.gpus})


def _node_gpus(name: str) -> list[float]:
    # A task without GPUs is shown none of them by Ray; the question is about all.
    return [gpu.memory_gb for gpu in detect_gpus(name, {})]
