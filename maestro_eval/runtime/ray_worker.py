"""One life of a worker on Ray: starts its actor, gives it keys as it has room for them, and polls it.

It returns when the run is over, and otherwise raises whether the worker is lost or its node is sick; ``Fleet`` decides
what follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_eval.journal import Finished
from maestro_eval.models import Places
from maestro_eval.records import Failed, UserError
from maestro_eval.runtime.executor import WorkerReport
from maestro_eval.runtime.health import may_be_the_nodes
from maestro_eval.runtime.leases import Lease
from maestro_eval.runtime.ray_cluster import answer
from maestro_eval.runtime.status import WorkerState

if TYPE_CHECKING:
    from maestro_eval.runtime.ray_executor import Fleet

# How soon an idle worker notices requeued keys, and the fleet an overdue lease.
TICK_S = 0.25
# How often a worker that does not start checks whether Ray is still running.
LOOK_S = 5.0
# How often a worker is polled; with many workers less often, to save the driver's time.
_ASK_S = 2.0
_ASKED_PER_S = 50
# The maximum for any number of workers: one that is silent for twice as long is reported (see ``stall``).
_ASK_MOST_S = 7.0


class WorkerLostError(Exception):
    """A worker is no longer usable; the message says why."""


class SickNodeError(Exception):
    """A worker's node is no longer usable; the message says why. ``final``: it has had its second chance."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, with a readable name."""

    id: str
    name: str


class WorkerActor:
    """One start of a worker: ``start``, then ``work`` until the run is over.

    node: where the actor is, once it has a place. up: it is started. results: rollouts that came back.
    """

    def __init__(self, fleet: Fleet, actor: Any, name: str) -> None:
        self._fleet = fleet
        self._actor = actor
        self._name = name
        self._reported_at = asyncio.get_running_loop().time()
        self.engines: Mapping[str, Places] = {}
        self.node: Node | None = None
        self.up = False
        self.results = 0

    def state(self, now: float) -> WorkerState:
        """Return its state by its last report; ``now`` is the event loop's time."""
        return WorkerState(self._name, now - self._reported_at, self.engines, starting=not self.up)

    async def start(self) -> bool:
        """Start the worker; return False if the run is over before a full cluster had room for it."""
        fleet = self._fleet
        # Room may become free later: waiting is not the worker's fault while others work.
        where = await self._wait_for(
            self._actor.where.remote(), limited=lambda: not any(life.node for life in fleet.lives.values())
        )
        if where is None:
            return False
        self.node = Node(*where)
        call = self._actor.start.remote(self._name, fleet.factory, fleet.code, time.time())
        started = await self._wait_for(call, limited=lambda: True)
        if started is None:
            return False
        kind, why = started
        if kind == "user":
            raise UserError(why)
        if kind == "node":
            raise SickNodeError(why)
        if kind == "defect":
            raise WorkerLostError(why)
        fleet.health.begin(self._name, self.node.id)
        # A worker gets its call limits before its first rollout.
        fleet.shares.join(self._name)
        granted = fleet.shares.grant(self._name)
        report = await self._wait_for(self._actor.report.remote(granted), limited=lambda: True)
        if report is None:
            return False
        self._on_report(granted, report)
        self.up = True
        return True

    async def work(self) -> None:
        """Give the worker keys until the run is over; raise when the worker is lost."""
        fleet = self._fleet
        in_flight: dict[asyncio.Task[None], Lease] = {}
        polling = asyncio.create_task(self._poll())
        try:
            while True:
                self._hand_out(in_flight)
                if in_flight:
                    done, _ = await asyncio.wait(in_flight, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        del in_flight[task]
                    for failure in [failure for task in done if (failure := task.exception())]:
                        raise failure
                elif fleet.over:
                    break
                else:
                    await asyncio.sleep(TICK_S)
                if not all(map(fleet.queue.holds, in_flight.values())):
                    raise WorkerLostError(f"a rollout took longer than its lease of {fleet.queue.lease_s:g} s")
        finally:
            for task in (polling, *in_flight):
                task.cancel()
            await asyncio.gather(polling, *in_flight, return_exceptions=True)
        with contextlib.suppress(fleet.ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(answer(self._actor.close.remote()), 10)

    async def _poll(self) -> None:
        """Send the worker its call limits, and receive its reports. Death is detected in ``work``."""
        clock, shares = asyncio.get_running_loop().time, self._fleet.shares
        with contextlib.suppress(self._fleet.ray.exceptions.RayError):
            while True:
                await asyncio.sleep(TICK_S)
                if shares.due(self._name) or clock() >= self._reported_at + asked_every(len(self._fleet.lives)):
                    granted = shares.grant(self._name)
                    self._on_report(granted, await answer(self._actor.report.remote(granted)))

    def _on_report(self, granted: Mapping[str, int], said: bytes) -> None:
        report = msgspec.json.decode(said, type=WorkerReport)
        self._fleet.shares.on_report(self._name, granted, report.in_use)
        self.engines = report.places
        self._reported_at = asyncio.get_running_loop().time()

    async def _wait_for(self, reference: Any, *, limited: Callable[[], bool]) -> Any:
        """Return the actor's reply, or ``None`` if the run ends first. ``start_s`` counts only while ``limited``."""
        settings = self._fleet.settings
        waiting = asyncio.create_task(answer(reference))
        clock = asyncio.get_running_loop().time
        left, look, before = settings.start_s, clock() + LOOK_S, clock()
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=TICK_S)
                if self._fleet.over:
                    return None
                if clock() > look:
                    await asyncio.to_thread(self._check_machines)
                    look = clock() + LOOK_S
                left, before = left - (clock() - before) * limited(), clock()
                if left < 0:
                    raise WorkerLostError(f"it did not start within {settings.start_s:g} s")
            return waiting.result()
        finally:
            waiting.cancel()

    def _check_machines(self) -> None:
        """Raise UserError if Ray has no machine left and no new one can join, so that waiting is in vain."""
        if self._fleet.settings.address is None and not any(node["Alive"] for node in self._fleet.ray.nodes()):
            raise UserError(
                "Ray itself died on this machine (its logs are under /tmp/ray/session_latest/logs); what was committed "
                "is safe: resume the run, with --executor local if it dies again"
            )

    def _hand_out(self, in_flight: dict[asyncio.Task[None], Lease]) -> None:
        """Fill the worker's free places; a resting worker gets no key, one on probation a single rollout."""
        fleet, node = self._fleet, self.node
        assert node is not None
        if fleet.health.rests(self._name):
            return
        most = 1 if fleet.health.on_probation(self._name) else fleet.settings.concurrency_per_worker
        while not fleet.stop.is_set() and len(in_flight) < most:
            if (lease := fleet.queue.lease(self._name, node.id)) is None:
                return
            in_flight[asyncio.create_task(self._run_one(lease, node))] = lease

    async def _run_one(self, lease: Lease, node: Node) -> None:
        fleet, health, key = self._fleet, self._fleet.health, lease.key
        reply = await answer(self._actor.run.remote(msgspec.json.encode(key)))
        self.results += 1
        finished = msgspec.json.decode(reply, type=Finished)
        why = may_be_the_nodes(finished)
        if why and key not in fleet.failed_once and health.nodes(without=node.id):
            # Another node may do better, so the result is not final yet.
            if fleet.queue.retry_elsewhere(lease, node.id):
                fleet.failed_once[key] = (self._name, finished)
                if health.failed(self._name):
                    raise SickNodeError(why, final=True)
            return
        before = fleet.failed_once.pop(key, None)
        if why and before is not None:
            health.absolve(before[0])
        elif not why:
            health.well(self._name)
        if fleet.queue.complete(lease, failed=isinstance(finished.rollout.outcome, Failed)):
            fleet.batcher.add(finished)


def asked_every(workers: int) -> float:
    """Return the seconds between two polls of one of ``workers``."""
    return min(max(_ASK_S, workers / _ASKED_PER_S), _ASK_MOST_S)
