"""Rollouts on Ray: one actor a worker, which is given keys as it has room for them.

A worker that holds a model has GPUs of its own; unless the user says otherwise there are as many workers as the
cluster's GPUs allow. They need not be alike: each asks for more when it has room, and how long it takes is measured.

The driver leases keys, never more than can begin at once, so that a slow rollout holds up no other and the
tail of a run is spread over all workers. Results come back one by one as bytes; only the driver commits.

A worker that dies or overruns its lease loses what it held to the others (see ``leases``) and is started again.
Several lives in a row that finish nothing are taken for a sick machine: that worker is given up. When all are,
the run ends with an error, after what was finished has been committed.

API keys are read from the environment of each worker. A Ray started here inherits the driver's; a cluster that
was there before must have its own, because what a driver sends along is kept in Ray's files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from maestro_eval.experts.limiter import Places
from maestro_eval.journal import Finished
from maestro_eval.runtime.executor import (
    CLOSE_S,
    Commit,
    Outbox,
    Worker,
    WorkerFactory,
    drive,
    failed_keys,
    harness_failure,
    run_key,
)
from maestro_eval.runtime.leases import Lease, LeaseQueue, Lost
from maestro_eval.runtime.live import ExecutorState, WorkerState, added, counters
from maestro_eval.serving.ray_cluster import actor_environment, answer, connect, import_ray, one_line, own_signals
from maestro_eval.types import RolloutKey, UserError

# How soon an idle worker sees that keys came back, or anyone that a lease is overdue.
_TICK_S = 0.25
# How often a worker that does not start looks whether Ray is still there.
_LOOK_S = 5.0
# How often a worker is asked how it stands; where there are many, the driver's time is spared.
_ASK_S = 2.0
_ASKED_PER_S = 50
# However many there are: who is not heard of for twice as long is said to be silent (see ``stall``).
_ASK_MOST_S = 7.0
# Results are small and short-lived; Ray would take a third of the machine's memory.
_OBJECT_STORE_BYTES = 256 * 2**20


class RayExecutor:
    """Runs rollouts on ``workers`` actors, ``concurrency_per_worker`` at once on each.

    workers: ``None`` for as many as the GPUs allow; one, where no GPU is used.
    gpus_per_worker: a part of one, or a whole number. ``None`` for one where ``resident`` is set and Ray sees GPUs,
        else none.
    resident: the worker holds its model in its own process.
    expected: seconds that a rollout of a task took before, where known.
    lease_size: keys handed to a worker in one go.
    address: of a running cluster; without one, Ray is started on this machine and stopped afterwards.
    lease_s: after this time a worker that still holds a key is taken for dead; more than any rollout's deadline.
    grace_s: what rollouts in flight get after a stop.
    start_s: what a worker gets to start.
    max_restarts: lives in a row without a result before a worker is given up.
    """

    def __init__(
        self,
        workers: int | None,
        concurrency_per_worker: int = 16,
        lease_size: int = 4,
        address: str | None = None,
        *,
        gpus_per_worker: float | None = None,
        resident: bool = False,
        expected: Mapping[str, float] | None = None,
        lease_s: float = 3600.0,
        grace_s: float = 30.0,
        start_s: float = 600.0,
        max_restarts: int = 3,
    ) -> None:
        if gpus_per_worker is not None and not _can_be_had(gpus_per_worker):
            raise UserError(f"GPUs per worker: {gpus_per_worker:g} is neither a part of one nor a whole number of them")
        self.workers = workers
        self.gpus_per_worker = gpus_per_worker
        self.resident = resident
        self.expected = expected
        self.concurrency_per_worker = concurrency_per_worker
        self.lease_size = lease_size
        self.address = address
        self.lease_s = lease_s
        self.grace_s = grace_s
        self.start_s = start_s
        self.max_restarts = max_restarts
        self._fleet: _Fleet | None = None
        self._retired: set[str] = set()

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
            places = self._places([node["Resources"] for node in ray.nodes() if node["Alive"]])
            queue = LeaseQueue(keys, expected=self.expected, workers=places.workers, lease_s=self.lease_s)
            fleet = self._fleet = _Fleet(ray, self, places, queue, factory, outbox, stop)
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

    def _places(self, nodes: Sequence[Mapping[str, float]]) -> _Places:
        """How many workers there are and what each is given, on ``nodes`` with these resources."""
        gpus = [node.get("GPU", 0.0) for node in nodes]
        each = self.gpus_per_worker
        if each is None:
            each = 1.0 if self.resident and any(gpus) else 0.0
        if not each:
            return _Places(self.workers or 1, 0.0)
        # A worker's GPUs are those of one machine; parts of one GPU are not put together from several.
        room = sum(int(count / each) if each >= 1 else int(count) * int(1 / each) for count in gpus)
        if not room:
            most = max(gpus, default=0.0)
            raise UserError(
                f"{each:g} GPUs per worker: the largest machine that Ray sees has {most:g}; ask for fewer, or join "
                "a cluster with --ray-address"
            )
        return _Places(self.workers or room, each)


@dataclass(frozen=True, slots=True)
class _Places:
    """The workers of a run, and the GPUs of each."""

    workers: int
    gpus: float


class _WorkerLostError(Exception):
    """A worker is not to be counted on any more; the message says why."""


class _Fleet:
    """The workers of one run and what they share."""

    def __init__(
        self,
        ray: Any,
        settings: RayExecutor,
        places: _Places,
        queue: LeaseQueue,
        factory: WorkerFactory,
        outbox: Outbox,
        stop: asyncio.Event,
    ) -> None:
        self._ray = ray
        self._settings = settings
        self._places = places
        self._queue = queue
        self._factory = factory
        self._outbox = outbox
        self._stop = stop
        self._reason = ""
        self._results: Counter[str] = Counter()
        self._heard: dict[str, _Heard] = {}
        self._gone: dict[str, Places] = {}
        self._actor_class = ray.remote(_Host).options(
            num_cpus=1,
            num_gpus=places.gpus,
            max_restarts=0,
            # Beside the rollouts there are `start`, `places` and `close`.
            max_concurrency=settings.concurrency_per_worker + 3,
            runtime_env=actor_environment(),
        )

    async def work(self) -> None:
        """Keep the workers alive until every key is settled, or a stop."""
        names = [f"ray-{number}" for number in range(1, self._places.workers + 1)]
        lives = [asyncio.create_task(self._keep_alive(name)) for name in names]
        try:
            await asyncio.gather(*lives)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.wait(lives)
        if not self._over:
            raise UserError(
                f"all {len(names)} Ray workers died again and again (last: {self._reason}); what was committed is "
                "safe: mend that (Ray's logs are under /tmp/ray/session_latest/logs) and resume the run"
            )

    def retire(self, task: str) -> None:
        """See ``Executor.retire``."""
        self._queue.retire(task)

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        now = asyncio.get_running_loop().time()
        workers = tuple(
            WorkerState(name, now - heard.at, heard.engines, heard.starting) for name, heard in self._heard.items()
        )
        return ExecutorState(self._queue.counts().queued, self._queue.out(), self._queue.losses, workers, self._gone)

    @property
    def _over(self) -> bool:
        return self._stop.is_set() or self._queue.finished

    async def _keep_alive(self, name: str) -> None:
        fruitless = 0
        while not self._over and fruitless <= self._settings.max_restarts:
            before = self._results[name]
            actor = self._actor_class.remote()
            self._hear(name, {}, starting=True)
            try:
                await self._live(actor, name)
                return
            except (_WorkerLostError, self._ray.exceptions.RayError) as error:
                self._reason = one_line(error)
            finally:
                self._gone = added(self._gone, counters(self._heard.pop(name).engines))
                self._ray.kill(actor)
            lost = self._queue.release(name)
            self._bury(lost)
            fruitless = 0 if lost.poisoned or self._results[name] > before else fruitless + 1

    async def _live(self, actor: Any, name: str) -> None:
        """One life of a worker: returns when there is no more to do, raises when it is lost."""
        if not await self._start(actor, name):
            return
        self._hear(name, {})
        in_flight: dict[asyncio.Task[None], Lease] = {}
        listening = asyncio.create_task(self._listen(actor, name))
        try:
            while True:
                self._hand_out(actor, name, in_flight)
                if in_flight:
                    done, _ = await asyncio.wait(in_flight, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        del in_flight[task]
                    for failure in [failure for task in done if (failure := task.exception())]:
                        raise failure
                elif self._over:
                    break
                else:
                    await asyncio.sleep(_TICK_S)
                self._bury(self._queue.expire())
                if not all(self._queue.holds(lease.id) for lease in in_flight.values()):
                    raise _WorkerLostError(f"a rollout took longer than its lease of {self._settings.lease_s:g} s")
        finally:
            for task in (listening, *in_flight):
                task.cancel()
            await asyncio.gather(listening, *in_flight, return_exceptions=True)
        with contextlib.suppress(self._ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(answer(actor.close.remote()), 10)

    async def _listen(self, actor: Any, name: str) -> None:
        """Ask the worker again and again how it stands. That it is gone is for others to find."""
        every = _asked_every(self._places.workers)
        with contextlib.suppress(self._ray.exceptions.RayError):
            while True:
                said = await answer(actor.places.remote())
                self._hear(name, msgspec.json.decode(said, type=dict[str, Places]))
                await asyncio.sleep(every)

    def _hear(self, name: str, engines: dict[str, Places], *, starting: bool = False) -> None:
        self._heard[name] = _Heard(asyncio.get_running_loop().time(), engines, starting)

    async def _start(self, actor: Any, name: str) -> bool:
        """Whether the worker stands; not when the run was over before a full cluster had room for it."""
        starting = asyncio.create_task(answer(actor.start.remote(name, self._factory)))
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.start_s
        look = clock() + _LOOK_S
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=_TICK_S)
                if self._over:
                    return False
                if clock() > look:
                    await asyncio.to_thread(self._check_machines)
                    look = clock() + _LOOK_S
                if clock() > deadline:
                    raise _WorkerLostError(f"it did not start within {self._settings.start_s:g} s")
            started: _Started = starting.result()
        finally:
            starting.cancel()
        if started.user_error:
            raise UserError(started.user_error)
        if started.defect:
            raise _WorkerLostError(started.defect)
        return True

    def _check_machines(self) -> None:
        """UserError when Ray has no machine left: a worker would wait for one in vain. A cluster may get new ones."""
        if self._settings.address is None and not any(node["Alive"] for node in self._ray.nodes()):
            raise UserError(
                "Ray itself died on this machine (its logs are under /tmp/ray/session_latest/logs); what was committed "
                "is safe: resume the run, with --executor local if it dies again"
            )

    def _hand_out(self, actor: Any, name: str, in_flight: dict[asyncio.Task[None], Lease]) -> None:
        """Fill the worker's free places."""
        while not self._stop.is_set():
            free = self._settings.concurrency_per_worker - len(in_flight)
            lease = self._queue.lease(name, min(free, self._settings.lease_size)) if free else None
            if lease is None:
                return
            for key in lease.keys:
                in_flight[asyncio.create_task(self._run_one(actor, lease, key))] = lease

    async def _run_one(self, actor: Any, lease: Lease, key: RolloutKey) -> None:
        reply = await answer(actor.run.remote(msgspec.json.encode(key)))
        self._results[lease.worker] += 1
        finished = msgspec.json.decode(reply, type=Finished)
        if self._queue.complete(lease.id, [key], failed=failed_keys(finished)):
            self._outbox.add(finished)

    def _bury(self, lost: Lost) -> None:
        for key in lost.poisoned:
            detail = f"every worker that ran it was lost (last: {self._reason or 'it overran its lease'})"
            self._outbox.add(harness_failure(key, "ray", detail))


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a worker last said of itself, and when."""

    at: float
    engines: dict[str, Places]
    starting: bool


class _Started(msgspec.Struct, frozen=True):
    """How a worker's start went: the user's fault, ours, or well."""

    user_error: str = ""
    defect: str = ""


class _Host:
    """The actor: a worker in a process of its own, with its own event loop."""

    async def start(self, name: str, factory: WorkerFactory) -> _Started:
        """Build the worker."""
        self._name = name
        try:
            self._worker: Worker = await factory(name)
        except UserError as error:
            return _Started(user_error=str(error))
        except Exception as error:
            return _Started(defect=f"{type(error).__name__}: {one_line(error)}")
        return _Started()

    async def run(self, key: bytes) -> bytes:
        """One rollout."""
        finished = await run_key(self._worker, self._name, msgspec.json.decode(key, type=RolloutKey))
        return msgspec.json.encode(finished)

    async def places(self) -> bytes:
        """How the limiters of its engines stand."""
        return msgspec.json.encode(self._worker.places())

    async def close(self) -> None:
        """Close the worker."""
        await self._worker.close()


def _asked_every(workers: int) -> float:
    """Seconds between two questions to one of so many workers."""
    return min(max(_ASK_S, workers / _ASKED_PER_S), _ASK_MOST_S)


def _can_be_had(gpus: float) -> bool:
    return gpus >= 0 and (gpus < 1 or gpus == int(gpus))
