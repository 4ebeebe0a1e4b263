"""Runs engines on a Ray cluster: Ray allocates nodes and GPUs, we start the engines and restart them.

Engines that share a GPU share a bundle of a placement group, which Ray puts on one node; every other engine has a
bundle of its own. In each bundle an actor runs the same supervisor as on a single machine. If an actor dies, its
engines end because their pipes close, and it is restarted, on another node if necessary.

Keys are read from the environment of each node. On a cluster of one node engines listen on the loopback; on larger
clusters they listen at their node's address, open to every client that can reach it.
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
from maestro_eval.runtime import ray_cluster as cluster
from maestro_eval.serving.engines import LOOPBACK
from maestro_eval.serving.gpus import detect_gpus
from maestro_eval.serving.launch import find_vllm, make_launch
from maestro_eval.serving.placement import Gpu, Placement, Plan, plan
from maestro_eval.serving.session import Host
from maestro_eval.serving.supervise import Death, Event, Report, Stop, Supervision, Supervisor, open_log

_RESERVE_S = 120.0
_PROBE_S = 120.0
# The seconds after the engines' grace in which the actor reports that they have ended.
_REPORT_S = 10.0
_OBJECT_STORE_BYTES = 100 * 2**20


@contextlib.contextmanager
def ray_cluster(address: str | None) -> Iterator[Any]:
    """Connect to Ray at ``address``, or start one on this machine for the block; yield the module."""
    ray = cluster.import_ray(address)
    if ray.is_initialized():
        yield ray
        return
    with cluster.own_signals():
        cluster.connect(ray, address, object_store_memory=_OBJECT_STORE_BYTES)
    try:
        yield ray
    finally:
        with cluster.own_signals():
            ray.shutdown()


def plan_on_ray(ray: Any, registry: Registry, gpu_memory_gb: float | None = None) -> Plan:
    """Place the engines with loopback addresses; other addresses belong to the machines that they name."""
    return plan(registry, cluster_gpus(ray, gpu_memory_gb), own_names=())


def cluster_gpus(ray: Any, memory_gb: float | None = None) -> tuple[Gpu, ...]:
    """Return the GPUs of all nodes; each node is probed for their memory unless ``memory_gb`` is given."""
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
                num_cpus=0, scheduling_strategy=there, runtime_env=cluster.actor_environment()
            )
            try:
                memory = min(ray.get(probe.remote(name), timeout=_PROBE_S))
            except (ray.exceptions.RayError, ValueError) as error:
                raise UserError(
                    f"{name}: its GPUs cannot be queried ({cluster.one_line(error)}); give --gpu-memory"
                ) from error
        found += [Gpu(index, memory, name) for index in range(number)]
    return tuple(found)


def serve_on_ray(ray: Any, placed: Plan, logs: Path, supervision: Supervision | None = None) -> Host:
    """Return a host for the engines of ``placed``. The plan shows that they fit; Ray may choose other nodes."""
    settings = supervision or Supervision()

    async def host(report: Report, stop: Stop) -> None:
        room = await _reserve(ray, placed.groups, stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, group in enumerate(placed.groups):
                    tasks.create_task(_Bundle(ray, room, number, group, logs, settings).supervise(report, stop))
        finally:
            ray.util.remove_placement_group(room)

    return host


class _Bundle:
    """One bundle of engines, and the current actor that runs them."""

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
            runtime_env=cluster.actor_environment(),
        )

    async def supervise(self, report: Report, stop: Stop) -> None:
        """Run the engines until ``stop``, until they are given up, or until too many actors have died."""
        deaths: list[Death] = []
        while not stop.now.is_set():
            alone = sum(bool(node["Alive"]) for node in self._ray.nodes()) == 1
            actor = self._actor_class.remote(tuple(self._group), str(self._logs), self._settings, alone)
            states: set[str] = set()
            try:
                await self._follow(actor, report, stop, states)
                return
            except self._ray.exceptions.RayError as error:
                lost = f"its actor was lost ({cluster.one_line(error)})"
            finally:
                self._ray.kill(actor)
            deaths.append(Death(time.monotonic(), "ready" in states))
            delay = self._settings.restarts.delay(deaths, time.monotonic())
            for placement in self._group:
                detail = lost if delay is None else f"{lost}; starting again in {delay:g} s"
                report(Event(placement.engine.name, "given up" if delay is None else "died", "", detail))
            if delay is None:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.now.wait(), delay)

    async def _follow(self, actor: Any, report: Report, stop: Stop, states: set[str]) -> None:
        problem = await cluster.answer(actor.begin.remote())
        if problem:
            raise UserError(problem)
        ending = asyncio.create_task(self._stop_with(actor, stop))
        try:
            while (news := await cluster.answer(actor.news.remote())) is not None:
                for event in news:
                    states.add(event.state)
                    report(event)
        finally:
            ending.cancel()

    async def _stop_with(self, actor: Any, stop: Stop) -> None:
        await stop.now.wait()
        actor.stop.remote()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.hurry.wait(), self._settings.grace_s + _REPORT_S)
        actor.stop.remote()
        await asyncio.sleep(_REPORT_S)
        # The engines end with the actor.
        self._ray.kill(actor)


class _EngineHost:
    """The actor: it runs a supervisor on the bundle's node."""

    def __init__(self, group: Sequence[Placement], logs: str, settings: Supervision, alone: bool) -> None:
        self._group = group
        self._logs = Path(logs)
        self._settings = settings
        self._alone = alone
        self._news: asyncio.Queue[Event | None] = asyncio.Queue()

    async def begin(self) -> str:
        """Start the engines; return the error for the user, or "" if there is none."""
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
        """Wait for events and return them; ``None`` once the supervisor has ended."""
        events = [await self._news.get()]
        while not self._news.empty():
            events.append(self._news.get_nowait())
        reported = [event for event in events if event is not None]
        if not reported:
            self._running.result()
            return None
        if None in events:
            self._news.put_nowait(None)
        return reported

    async def stop(self) -> None:
        """End the engines; a second call kills them without grace."""
        self._stop.ask()


async def _reserve(ray: Any, groups: Sequence[Sequence[Placement]], stop: Stop) -> Any:
    bundles = [{"CPU": 1.0, **({"GPU": float(_gpus_of(group))} if _gpus_of(group) else {})} for group in groups]
    room = ray.util.placement_group(bundles, strategy="PACK")
    ready = asyncio.ensure_future(cluster.answer(room.ready()))
    stopping = asyncio.ensure_future(stop.now.wait())
    await asyncio.wait({ready, stopping}, timeout=_RESERVE_S, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ready.done() and not stop.now.is_set():
        ray.util.remove_placement_group(room)
        ready.cancel()
        wanted = ", ".join(sorted({f"{int(b.get('GPU', 0))} GPUs" if "GPU" in b else "1 CPU" for b in bundles}))
        raise UserError(
            f"the cluster has no room within {_RESERVE_S:g} s for {len(bundles)} bundles ({wanted}, each on one "
            "node); see `ray status` for what is in use"
        )
    return room


def _gpus_of(group: Sequence[Placement]) -> int:
    return len({gpu for placement in group for gpu in placement.gpus})


def _node_gpus(name: str) -> list[float]:
    # The empty environment lists all GPUs: Ray hides them from a task that reserves none.
    return [gpu.memory_gb for gpu in detect_gpus(name, {})]
