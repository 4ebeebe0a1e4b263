"""One life of a worker on Ray: its actor is started, is given keys as it has room for them, and is polled.

It ends in order when the run is over, and otherwise with the error that says whether the worker is lost or its node
is sick; what follows from that is the fleet's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import msgspec

from maestro_eval.journal import Finished
from maestro_eval.models.limiter import Places
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.runtime.executor import Outbox, WorkerReport, failed_keys
from maestro_eval.runtime.health import REST_S, Health, may_be_the_nodes
from maestro_eval.runtime.leases import Lease, LeaseQueue
from maestro_eval.runtime.shares import Shares
from maestro_eval.runtime.status import WorkerState
from maestro_eval.serving.ray_cluster import answer

# How soon an idle worker sees that keys came back, or anyone that a lease is overdue.
TICK_S = 0.25
# How often a worker that does not start looks whether Ray is still there.
LOOK_S = 5.0
# How often a worker is polled; where there are many, the driver's time is spared.
_ASK_S = 2.0
_ASKED_PER_S = 50
# However many there are: who is not heard of for twice as long is said to be silent (see ``stall``).
_ASK_MOST_S = 7.0


@dataclass
class RaySettings:
    """How rollouts are spread over a cluster.

    workers: ``None`` for as many as the GPUs allow; one, where no GPU is used.
    concurrency_per_worker: rollouts at once on each.
    lease_size: keys handed to a worker in one go.
    address: of a running cluster; without one, Ray is started on this machine and stopped afterwards.
    gpus_per_worker: a part of one, or a whole number. ``None`` for one where ``resident`` is set and Ray sees GPUs,
        else none.
    resident: the worker holds its model in its own process.
    limits: calls at once at each endpoint, by its name in the registry, of all workers together.
    expected: seconds that a rollout of a task took before, where known.
    lease_s: after this time a worker that still holds a key is taken for dead; more than any rollout's deadline.
    grace_s: what rollouts in flight get after a stop.
    start_s: what a worker gets to start.
    max_restarts: lives in a row without a result before a worker is given up.
    rest_s: how long a worker whose failures are its node's own gets nothing (see ``health``).
    warn: is told in one line what the user is to know now.
    """

    workers: int | None
    concurrency_per_worker: int = 16
    lease_size: int = 4
    address: str | None = None
    _: KW_ONLY
    gpus_per_worker: float | None = None
    resident: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, float] | None = None
    lease_s: float = 3600.0
    grace_s: float = 30.0
    start_s: float = 600.0
    max_restarts: int = 3
    rest_s: float = REST_S
    warn: Callable[[str], None] = lambda line: None


class WorkerLostError(Exception):
    """A worker is not to be counted on any more; the message says why."""


class SickNodeError(Exception):
    """A worker's node is not to be counted on; the message says why. ``final``: it has had its second chance."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, and its name for people."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Shared:
    """All that the workers of one run share. ``lives`` are those of now, by the worker's name.

    failed_once: rollouts that failed and are tried on another node, with the worker and the result of the first try.
    factory, code: the pickled ``WorkerFactory``, and the fingerprint of the driver's package.
    """

    ray: Any
    settings: RaySettings
    queue: LeaseQueue
    outbox: Outbox
    stop: asyncio.Event
    health: Health
    shares: Shares
    factory: bytes
    code: str
    lives: dict[str, Life] = field(default_factory=dict)
    failed_once: dict[RolloutKey, tuple[str, Finished]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.stop.is_set() or self.queue.finished


class Life:
    """``start``, then ``work`` until there is no more to do.

    node: where the actor is, once it has a place. up: it is started. results: rollouts that came back.
    """

    def __init__(self, shared: Shared, actor: Any, name: str) -> None:
        self._shared = shared
        self._actor = actor
        self._name = name
        self._heard_at = asyncio.get_running_loop().time()
        self.engines: Mapping[str, Places] = {}
        self.node: Node | None = None
        self.up = False
        self.results = 0

    def state(self, now: float) -> WorkerState:
        """How it stands, by its last report; ``now`` is the event loop's time."""
        return WorkerState(self._name, now - self._heard_at, self.engines, starting=not self.up)

    async def start(self) -> bool:
        """Start the worker; False where the run is over before a full cluster had room for it."""
        lives = self._shared.lives
        # Where no machine has room yet, it may come: that is no fault of the worker's, while others work.
        where = await self._wait_for(
            self._actor.where.remote(), limited=lambda: not any(life.node for life in lives.values())
        )
        if where is None:
            return False
        self.node = Node(*where)
        call = self._actor.start.remote(self._name, self._shared.factory, self._shared.code, time.time())
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
        self._shared.health.begin(self._name, self.node.id)
        # Before its first rollout a worker knows how many calls it may make.
        self._shared.shares.join(self._name)
        told = self._shared.shares.tell(self._name)
        report = await self._wait_for(self._actor.report.remote(told), limited=lambda: True)
        if report is None:
            return False
        self._hear(told, report)
        self.up = True
        return True

    async def work(self) -> None:
        """Give the worker keys until the run is over; raises when the worker is lost."""
        shared = self._shared
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
                elif shared.over:
                    break
                else:
                    await asyncio.sleep(TICK_S)
                if not all(shared.queue.holds(lease.id) for lease in in_flight.values()):
                    raise WorkerLostError(f"a rollout took longer than its lease of {shared.settings.lease_s:g} s")
        finally:
            for task in (polling, *in_flight):
                task.cancel()
            await asyncio.gather(polling, *in_flight, return_exceptions=True)
        with contextlib.suppress(shared.ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(answer(self._actor.close.remote()), 10)

    async def _poll(self) -> None:
        """Tell the worker how many calls it may make, and have its reports. Death is detected in ``work``."""
        clock, shares = asyncio.get_running_loop().time, self._shared.shares
        with contextlib.suppress(self._shared.ray.exceptions.RayError):
            while True:
                await asyncio.sleep(TICK_S)
                if shares.due(self._name) or clock() >= self._heard_at + asked_every(len(self._shared.lives)):
                    told = shares.tell(self._name)
                    self._hear(told, await answer(self._actor.report.remote(told)))

    def _hear(self, told: Mapping[str, int], said: bytes) -> None:
        report = msgspec.json.decode(said, type=WorkerReport)
        self._shared.shares.heard(self._name, told, report.in_use)
        self.engines = report.places
        self._heard_at = asyncio.get_running_loop().time()

    async def _wait_for(self, reference: Any, *, limited: Callable[[], bool]) -> Any:
        """The actor's reply, ``None`` where the run is over before. It gets ``start_s`` while it is ``limited``."""
        settings = self._shared.settings
        waiting = asyncio.create_task(answer(reference))
        clock = asyncio.get_running_loop().time
        left, look, before = settings.start_s, clock() + LOOK_S, clock()
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=TICK_S)
                if self._shared.over:
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
        """UserError when Ray has no machine left: a worker would wait for one in vain. A cluster may get new ones."""
        if self._shared.settings.address is None and not any(node["Alive"] for node in self._shared.ray.nodes()):
            raise UserError(
                "Ray itself died on this machine (its logs are under /tmp/ray/session_latest/logs); what was committed "
                "is safe: resume the run, with --executor local if it dies again"
            )

    def _hand_out(self, in_flight: dict[asyncio.Task[None], Lease]) -> None:
        """Fill the worker's free places; a worker that rests gets nothing, one on probation a single rollout."""
        shared, node = self._shared, self.node
        assert node is not None
        if shared.health.rests(self._name):
            return
        most = 1 if shared.health.on_probation(self._name) else shared.settings.concurrency_per_worker
        while not shared.stop.is_set():
            free = min(most - len(in_flight), shared.settings.lease_size)
            lease = shared.queue.lease(self._name, free, node.id) if free > 0 else None
            if lease is None:
                return
            for key in lease.keys:
                in_flight[asyncio.create_task(self._run_one(lease, key, node))] = lease

    async def _run_one(self, lease: Lease, key: RolloutKey, node: Node) -> None:
        shared, health = self._shared, self._shared.health
        reply = await answer(self._actor.run.remote(msgspec.json.encode(key)))
        self.results += 1
        finished = msgspec.json.decode(reply, type=Finished)
        why = may_be_the_nodes(finished)
        if why and key not in shared.failed_once and health.nodes(without=node.id):
            # Another node may do better; until then this is not the last word.
            if shared.queue.retry_elsewhere(lease.id, key, node.id):
                shared.failed_once[key] = (self._name, finished)
                if health.failed(self._name):
                    raise SickNodeError(why, final=True)
            return
        before = shared.failed_once.pop(key, None)
        if why and before is not None:
            health.absolve(before[0])
        elif not why:
            health.well(self._name)
        if shared.queue.complete(lease.id, [key], failed=failed_keys(finished)):
            shared.outbox.add(finished)


def asked_every(workers: int) -> float:
    """Seconds between two questions to one of so many workers."""
    return min(max(_ASK_S, workers / _ASKED_PER_S), _ASK_MOST_S)
