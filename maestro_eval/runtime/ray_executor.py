"""Rollouts on Ray: one actor a worker, which is given keys as it has room for them.

A worker that holds a model has GPUs of its own; unless the user says otherwise there are as many workers as the
cluster's GPUs allow. They need not be alike: each asks for more when it has room, and how long it takes is measured.

The driver leases keys, never more than can begin at once, so that a slow rollout holds up no other and the
tail of a run is spread over all workers. Results come back one by one as bytes; only the driver commits.

A worker that dies or overruns its lease loses what it held to the others (see ``leases``) and is started again. One
whose node is sick, at its start or by what its rollouts fail of (see ``health``), is rested and then retired, and what
failed there is run once more on another node.
Several lives in a row that finish nothing are taken for a sick machine: that worker is given up. When all are,
the run ends with an error, after what was finished has been committed.

API keys are read from the environment of each worker. A Ray started here inherits the driver's; a cluster that
was there before must have its own, because what a driver sends along is kept in Ray's files.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from maestro_eval.journal import Finished
from maestro_eval.models.limiter import Places
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.runtime import ray_actor
from maestro_eval.runtime.executor import (
    CLOSE_S,
    Commit,
    Outbox,
    WorkerFactory,
    drive,
    failed_keys,
    harness_failure,
)
from maestro_eval.runtime.health import REST_S, Health, may_be_the_nodes
from maestro_eval.runtime.leases import Lease, LeaseQueue, Lost
from maestro_eval.runtime.status import ExecutorState, WorkerState, added, counters
from maestro_eval.serving.ray_cluster import (
    actor_environment,
    answer,
    connect,
    import_ray,
    one_line,
    own_signals,
    package_folder,
)

# How soon an idle worker sees that keys came back, or anyone that a lease is overdue.
_TICK_S = 0.25
# How often a worker that does not start looks whether Ray is still there.
_LOOK_S = 5.0
# How often a worker is asked how it stands; where there are many, the driver's time is spared.
_ASK_S = 2.0
_ASKED_PER_S = 50
# However many there are: who is not heard of for twice as long is said to be silent (see ``stall``).
_ASK_MOST_S = 7.0
# A node where a worker could not start is tried again so soon: a disk or a network may be coming up.
_SECOND_TRY_S = 5.0
# After so long without a place a worker is said to wait for one.
_FEW_S = 30.0
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
    rest_s: how long a worker whose failures are its node's own gets nothing (see ``health``).
    warn: is told in one line what the user is to know now.
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
        rest_s: float = REST_S,
        warn: Callable[[str], None] = lambda line: None,
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
        self.rest_s = rest_s
        self.warn = warn
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
            places = self.room(ray)
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

    def room(self, ray: Any, without: Collection[str] = ()) -> _Places:
        """How many workers there are and what each is given, on the nodes that there are now but for ``without``."""
        nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in without]
        gpus = [node["Resources"].get("GPU", 0.0) for node in nodes]
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
        if self.workers is not None and self.workers < room and not without:
            idle = sum(gpus) - self.workers * each
            self.warn(f"{idle:g} of {sum(gpus):g} GPUs stay idle: --workers {room} would use them all")
        return _Places(self.workers or room, each)


@dataclass(frozen=True, slots=True)
class _Places:
    """The workers of a run, and the GPUs of each."""

    workers: int
    gpus: float


class _WorkerLostError(Exception):
    """A worker is not to be counted on any more; the message says why."""


class _SickNodeError(Exception):
    """A worker's node is not to be counted on; the message says why."""


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
        self._outbox = outbox
        self._stop = stop
        self._reason = ""
        self._results: Counter[str] = Counter()
        self._heard: dict[str, _Heard] = {}
        self._gone: dict[str, Places] = {}
        self._health = Health(rest_s=settings.rest_s)
        self._nodes: dict[str, _Node] = {}
        self._strikes: Counter[str] = Counter()
        self._banned: set[str] = set()
        self._failed_once: dict[RolloutKey, tuple[str, Finished]] = {}
        self._lives: dict[asyncio.Task[None], str] = {}
        self._up: set[str] = set()
        self._most_up = 0
        self._said_few = False
        self._begun = 0.0
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        self._factory: bytes = ray.cloudpickle.dumps(factory)
        self._code = ray_actor.code_fingerprint(package_folder())

    async def work(self) -> None:
        """Keep the workers alive until every key is settled, or a stop."""
        self._begun = asyncio.get_running_loop().time()
        for _ in range(self._places.workers):
            self._add_worker()
        looked = asyncio.get_running_loop().time()
        try:
            while self._lives:
                done, _ = await asyncio.wait(self._lives, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                for life in done:
                    del self._lives[life]
                    life.result()
                self._settle_stranded()
                if asyncio.get_running_loop().time() > looked + _LOOK_S:
                    looked = asyncio.get_running_loop().time()
                    self._follow_cluster()
        finally:
            for life in self._lives:
                life.cancel()
            if self._lives:
                await asyncio.wait(self._lives)
        if not self._over:
            raise UserError(
                f"all {self._places.workers} Ray workers died again and again (last: {self._reason}); what was "
                "committed is safe: fix that (Ray's logs are under /tmp/ray/session_latest/logs) and resume the run"
            )
        if self._most_up < self._places.workers:
            self._warn(f"the run had {self._most_up} of {self._places.workers} workers{self._why_few()}")

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

    def _warn(self, line: str) -> None:
        self._settings.warn(line)

    def _why_late(self) -> str:
        return f" ({self._reason})" if self._reason else ""

    def _why_few(self) -> str:
        return f" ({self._reason})" if self._reason else ": the cluster had no room for more"

    def _add_worker(self) -> None:
        name = f"ray-{len(self._lives) + 1}"
        while name in self._lives.values():
            name = f"ray-{int(name[4:]) + 1}"
        self._lives[asyncio.create_task(self._keep_alive(name))] = name

    def _follow_cluster(self) -> None:
        """Say that workers wait for room; and where their number is that of the GPUs, have more as GPUs come."""
        up = len(self._up)
        late = asyncio.get_running_loop().time() - self._begun > _FEW_S
        if up < self._places.workers and late and not self._said_few and not self._over:
            self._said_few = True
            self._warn(f"{up} of {self._places.workers} workers are up, the others wait for room{self._why_late()}")
        if self._settings.workers is None and self._places.gpus and not self._over:
            # While no machine has a GPU, nobody is added.
            with contextlib.suppress(UserError):
                room = self._settings.room(self._ray, self._banned).workers
                while room > len(self._lives):
                    self._add_worker()
                    self._places = replace(self._places, workers=max(self._places.workers, len(self._lives)))

    def _settle_stranded(self) -> None:
        """A failed rollout that was to be tried on another node is final where there is no other."""
        for key in self._queue.stranded(self._health.nodes()):
            _, finished = self._failed_once.pop(key)
            self._outbox.add(finished)

    async def _keep_alive(self, name: str) -> None:
        fruitless = 0
        while not self._over and fruitless <= self._settings.max_restarts and not self._nowhere():
            before = self._results[name]
            actor = self._new_actor()
            self._hear(name, {}, starting=True)
            sick = ""
            try:
                await self._live(actor, name)
                return
            except _SickNodeError as error:
                sick = one_line(error)
                self._reason = f"node {self._nodes[name].name}: {sick}" if name in self._nodes else sick
            except (_WorkerLostError, self._ray.exceptions.RayError) as error:
                self._reason = one_line(error)
            finally:
                self._gone = added(self._gone, counters(self._heard.pop(name).engines))
                self._up.discard(name)
                node = self._nodes.pop(name, None)
                self._health.end(name)
                self._ray.kill(actor)
            lost = self._queue.release(name)
            self._bury(lost)
            if sick and node is not None:
                await self._strike(node, sick)
                continue
            fruitless = 0 if lost.poisoned or self._results[name] > before else fruitless + 1

    def _new_actor(self) -> Any:
        options: dict[str, Any] = {}
        if self._banned:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(self._banned))})"}
        return (
            self._ray.remote(ray_actor.Host)
            .options(
                num_cpus=1,
                num_gpus=self._places.gpus,
                max_restarts=0,
                # Beside the rollouts there are `where`, `start`, `places` and `close`.
                max_concurrency=self._settings.concurrency_per_worker + 4,
                runtime_env=actor_environment(),
                **options,
            )
            .remote()
        )

    def _nowhere(self) -> bool:
        """Whether every machine that there is has been given up. A cluster that was joined may get new ones."""
        if not self._banned:
            return False
        return all(node["NodeID"] in self._banned for node in self._ray.nodes() if node["Alive"])

    async def _strike(self, node: _Node, why: str) -> None:
        """A worker could not start on ``node``, or failed there again: it rests; the second time, it is given up."""
        if node.id in self._banned:
            return
        self._strikes[node.id] += 1
        if self._strikes[node.id] < 2:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(self._settings.rest_s, _SECOND_TRY_S))
            return
        self._banned.add(node.id)
        self._warn(f"node {node.name} is given no more work: {why}")

    async def _live(self, actor: Any, name: str) -> None:
        """One life of a worker: returns when there is no more to do, raises when it is lost."""
        if not await self._start(actor, name):
            return
        self._hear(name, {})
        self._up.add(name)
        self._most_up = max(self._most_up, len(self._up))
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
        """Poll the worker's limiters. That it is gone is detected in ``_live``."""
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
        # Where no machine has room yet, it may come: that is no fault of the worker's, while others work.
        where = await self._wait_for(actor.where.remote(), limited=lambda: not self._nodes)
        if where is None:
            return False
        node = self._nodes[name] = _Node(*where)
        call = actor.start.remote(name, self._factory, self._code, time.time())
        started = await self._wait_for(call, limited=lambda: True)
        if started is None:
            return False
        kind, why = started
        if kind == "user":
            raise UserError(why)
        if kind == "node":
            raise _SickNodeError(why)
        if kind == "defect":
            raise _WorkerLostError(why)
        self._health.begin(name, node.id)
        return True

    async def _wait_for(self, reference: Any, *, limited: Callable[[], bool]) -> Any:
        """The actor's reply, ``None`` where the run is over before. It gets ``start_s`` while it is ``limited``."""
        waiting = asyncio.create_task(answer(reference))
        clock = asyncio.get_running_loop().time
        left, look, before = self._settings.start_s, clock() + _LOOK_S, clock()
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=_TICK_S)
                if self._over:
                    return None
                if clock() > look:
                    await asyncio.to_thread(self._check_machines)
                    look = clock() + _LOOK_S
                left, before = left - (clock() - before) * limited(), clock()
                if left < 0:
                    raise _WorkerLostError(f"it did not start within {self._settings.start_s:g} s")
            return waiting.result()
        finally:
            waiting.cancel()

    def _check_machines(self) -> None:
        """UserError when Ray has no machine left: a worker would wait for one in vain. A cluster may get new ones."""
        if self._settings.address is None and not any(node["Alive"] for node in self._ray.nodes()):
            raise UserError(
                "Ray itself died on this machine (its logs are under /tmp/ray/session_latest/logs); what was committed "
                "is safe: resume the run, with --executor local if it dies again"
            )

    def _hand_out(self, actor: Any, name: str, in_flight: dict[asyncio.Task[None], Lease]) -> None:
        """Fill the worker's free places; a worker that rests gets nothing, one on probation a single rollout."""
        if self._health.rests(name):
            return
        most = 1 if self._health.on_probation(name) else self._settings.concurrency_per_worker
        node = self._nodes[name]
        while not self._stop.is_set():
            free = most - len(in_flight)
            lease = self._queue.lease(name, min(free, self._settings.lease_size), node.id) if free > 0 else None
            if lease is None:
                return
            for key in lease.keys:
                in_flight[asyncio.create_task(self._run_one(actor, lease, key, node))] = lease

    async def _run_one(self, actor: Any, lease: Lease, key: RolloutKey, node: _Node) -> None:
        reply = await answer(actor.run.remote(msgspec.json.encode(key)))
        self._results[lease.worker] += 1
        finished = msgspec.json.decode(reply, type=Finished)
        why = may_be_the_nodes(finished)
        if why and key not in self._failed_once and self._health.nodes(without=node.id):
            # Another node may do better; until then this is not the last word.
            if self._queue.retry_elsewhere(lease.id, key, node.id):
                self._failed_once[key] = (lease.worker, finished)
                self._blame(lease.worker, node, why)
            return
        before = self._failed_once.pop(key, None)
        if why and before is not None:
            self._health.absolve(before[0])
        elif not why:
            self._health.well(lease.worker)
        if self._queue.complete(lease.id, [key], failed=failed_keys(finished)):
            self._outbox.add(finished)

    def _blame(self, worker: str, node: _Node, why: str) -> None:
        if self._health.failed(worker):
            self._strikes[node.id] = 1
            raise _SickNodeError(why)

    def _bury(self, lost: Lost) -> None:
        for key in lost.poisoned:
            detail = f"every worker that ran it was lost (last: {self._reason or 'it overran its lease'})"
            self._outbox.add(harness_failure(key, "ray", detail))


@dataclass(frozen=True, slots=True)
class _Node:
    """A machine of the cluster, and what people call it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a worker last said of itself, and when."""

    at: float
    engines: dict[str, Places]
    starting: bool


def _asked_every(workers: int) -> float:
    """Seconds between two questions to one of so many workers."""
    return min(max(_ASK_S, workers / _ASKED_PER_S), _ASK_MOST_S)


def _can_be_had(gpus: float) -> bool:
    return gpus >= 0 and (gpus < 1 or gpus == int(gpus))
