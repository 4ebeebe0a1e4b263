"""Rollouts on Ray: one actor a worker, which is given keys as it has room for them.

A worker that holds a model has GPUs of its own; unless the user says otherwise there are as many workers as the
cluster's GPUs allow. They need not be alike: each asks for more when it has room, and how long it takes is measured.

The driver leases keys, never more than can begin at once, so that a slow rollout holds up no other and the
tail of a run is spread over all workers. Results come back one by one as bytes; only the driver commits. What one
worker does is in ``ray_worker``, and what becomes of those that die in ``ray_fleet``.

API keys are read from the environment of each worker. A Ray started here inherits the driver's; a cluster that
was there before must have its own, because what a driver sends along is kept in Ray's files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from maestro_eval.records import RolloutKey, UserError
from maestro_eval.runtime.executor import CLOSE_S, Commit, Outbox, WorkerFactory, drive
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.ray_fleet import Fleet, Room
from maestro_eval.runtime.ray_worker import RaySettings
from maestro_eval.runtime.status import ExecutorState
from maestro_eval.serving.ray_cluster import connect, import_ray, own_signals

# Results are small and short-lived; Ray would take a third of the machine's memory.
_OBJECT_STORE_BYTES = 256 * 2**20


@dataclass
class RayExecutor(RaySettings):
    """Runs rollouts on ``workers`` actors, ``concurrency_per_worker`` at once on each."""

    _fleet: Fleet | None = field(default=None, init=False)
    _retired: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        each = self.gpus_per_worker
        if each is not None and not (each >= 0 and (each < 1 or each == int(each))):
            raise UserError(f"GPUs per worker: {each:g} is neither a part of one nor a whole number of them")

    async def run(
        self, keys: Sequence[RolloutKey], factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event
    ) -> None:
        """See ``Executor.run``."""
        ray = import_ray(self.address)
        ours = not ray.is_initialized()
        if ours:
            own = {"num_cpus": self.workers, "object_store_memory": _OBJECT_STORE_BYTES}
            with own_signals():
                await asyncio.to_thread(partial(connect, ray, self.address, **own))
        try:
            outbox = Outbox(commit)
            room = self.room(ray.nodes())
            self._say_at_start(room)
            queue = LeaseQueue(keys, expected=self.expected, workers=room.workers, lease_s=self.lease_s)
            fleet = self._fleet = Fleet(ray, self, room, self.room, queue, factory, outbox, stop)
            # Ray takes seconds to start; a task may have been decided meanwhile, by what an earlier session left.
            for task in self._retired:
                fleet.retire(task)
            await drive(fleet.work(), outbox, stop=stop, grace_s=self.grace_s)
        finally:
            if ours:
                with contextlib.suppress(TimeoutError), own_signals():
                    await asyncio.wait_for(asyncio.to_thread(ray.shutdown), CLOSE_S)

    def retire(self, task: str) -> None:
        """See ``Executor.retire``."""
        self._retired.add(task)
        if self._fleet is not None:
            self._fleet.retire(task)

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        return ExecutorState() if self._fleet is None else self._fleet.state()

    def room(self, nodes: Sequence[dict[str, Any]], without: Collection[str] = ()) -> Room:
        """How many workers there are and what each is given, on Ray's ``nodes`` but for those named in ``without``."""
        gpus = [node["Resources"].get("GPU", 0.0) for node in nodes if node["Alive"] and node["NodeID"] not in without]
        each = self.gpus_per_worker
        if each is None:
            each = 1.0 if self.resident and any(gpus) else 0.0
        if not each:
            return Room(self.workers or 1)
        # A worker's GPUs are those of one machine; parts of one GPU are not put together from several.
        most = sum(int(count / each) if each >= 1 else int(count) * int(1 / each) for count in gpus)
        if not most:
            raise UserError(
                f"{each:g} GPUs per worker: the largest machine that Ray sees has {max(gpus, default=0.0):g}; ask for "
                "fewer, or join a cluster with --ray-address"
            )
        return Room(self.workers or most, each, most, sum(gpus))

    def _say_at_start(self, room: Room) -> None:
        if idle := room.idle():
            self.warn(idle)
        if few := [name for name, limit in self.limits.items() if limit < room.workers]:
            others = f" (as for {', '.join(few[1:])})" if few[1:] else ""
            self.warn(
                f"endpoints.{few[0]}.concurrency: {self.limits[few[0]]} at once for {room.workers} workers, which take "
                f"turns{others}; raise it where the server takes more"
            )
