"""Runs rollouts on Ray: one actor per worker, which gets keys as it has room for them.

A worker that loads a model has GPUs of its own; unless the user says otherwise there are as many workers as the
cluster's GPUs allow. They may differ in speed: each asks for more when it has room, and its times are measured.

The driver leases keys, never more than can begin at once, so that a slow rollout delays no other and the tail of a run
is spread over all workers. Results return one by one as bytes; only the driver commits. ``ray_worker`` drives a single
worker.

A worker that dies or overruns its lease loses its keys to the others (see ``leases``) and is started again. One whose
node is sick, at its start or by its failures (see ``health``), rests and is then retired, and what failed there is run
once more on another node. One that restarts several times in a row without a result is given up. When all are given up,
the run ends with an error, after finished rollouts are committed.

API keys are read from the environment of each worker. A Ray started here inherits the driver's; an existing cluster
must have its own, because Ray writes what a driver sends to files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any

from maestro_eval.journal import Finished
from maestro_eval.models import Places
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.runtime import ray_actor
from maestro_eval.runtime.executor import CLOSE_S, Batcher, Commit, WorkerFactory, harness_failure
from maestro_eval.runtime.health import REST_S, Health
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.ray_cluster import (
    actor_environment,
    connect,
    import_ray,
    one_line,
    own_signals,
    package_folder,
)
from maestro_eval.runtime.ray_worker import (
    LOOK_S,
    TICK_S,
    Node,
    SickNodeError,
    WorkerActor,
    WorkerLostError,
)
from maestro_eval.runtime.shares import Shares
from maestro_eval.runtime.status import ExecutorState, added, counters, executor_state

# Results are small and short-lived; by default Ray takes a third of the machine's memory.
_OBJECT_STORE_BYTES = 256 * 2**20
# A node where a worker could not start is retried after this time: a disk or a network may be coming up.
_SECOND_TRY_S = 5.0
# The user is warned of workers that have waited this long for room.
_FEW_S = 30.0


@dataclass(frozen=True, slots=True)
class Room:
    """The workers of a run and the GPUs of each; the cluster's ``total`` GPUs have room for ``most`` workers."""

    workers: int
    gpus: float = 0.0
    most: int = 0
    total: float = 0.0

    def idle(self) -> str:
        """Return a line about GPUs that no worker uses; ``""`` if there are none, or if workers use no GPUs."""
        idle = self.total - min(self.workers, self.most) * self.gpus
        if not self.gpus or not idle:
            return ""
        more = f"--workers {self.most} would use {self.most * self.gpus:g}"
        why = more if self.workers < self.most else f"each worker takes {self.gpus:g} of one machine"
        return f"{idle:g} of {self.total:g} GPUs stay idle: {why}"


@dataclass
class RayExecutor:
    """Runs rollouts on ``workers`` actors, ``concurrency_per_worker`` at once on each.

    workers: ``None`` for as many as the GPUs allow; one, if no GPU is used.
    concurrency_per_worker: rollouts at once on each.
    address: of a running cluster; without one, Ray is started on this machine and stopped afterwards.
    gpus_per_worker: a fraction of one, or a whole number. ``None``: one if ``resident`` is set and Ray sees GPUs, else
    none.
    resident: the worker loads its model into its own process.
    limits: calls at once at each endpoint, by its name in the registry, of all workers together.
    grace_s: time for rollouts in flight after a stop.
    start_s: time for a worker to start.
    max_restarts: restarts in a row without a result before a worker is given up.
    rest_s: how long a worker whose failures are its node's own gets no keys (see ``health``).
    warn: shows the user a line at once.
    """

    workers: int | None
    concurrency_per_worker: int = 16
    address: str | None = None
    _: KW_ONLY
    gpus_per_worker: float | None = None
    resident: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    grace_s: float = 30.0
    start_s: float = 600.0
    max_restarts: int = 3
    rest_s: float = REST_S
    warn: Callable[[str], None] = lambda line: None
    _fleet: Fleet | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        each = self.gpus_per_worker
        if each is not None and not (each >= 0 and (each < 1 or each == int(each))):
            raise UserError(f"GPUs per worker: {each:g} is neither a part of one nor a whole number of them")

    def room(self, nodes: Sequence[dict[str, Any]], without: Collection[str] = ()) -> Room:
        """Return the number of workers and their GPUs on Ray's ``nodes``, except those named in ``without``."""
        gpus = [node["Resources"].get("GPU", 0.0) for node in nodes if node["Alive"] and node["NodeID"] not in without]
        each = self.gpus_per_worker
        if each is None:
            each = 1.0 if self.resident and any(gpus) else 0.0
        if not each:
            return Room(self.workers or 1)
        # A worker's GPUs are in one machine, and a fraction is of one GPU.
        most = sum(int(count / each) if each >= 1 else int(count) * int(1 / each) for count in gpus)
        if not most:
            raise UserError(
                f"{each:g} GPUs per worker: the largest machine that Ray sees has {max(gpus, default=0.0):g}; ask for "
                "fewer, or join a cluster with --ray-address"
            )
        return Room(self.workers or most, each, most, sum(gpus))

    async def run(self, queue: LeaseQueue, factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event) -> None:
        """See ``Executor.run``."""
        ray = import_ray(self.address)
        ours = not ray.is_initialized()
        if ours:
            own = {"num_cpus": self.workers, "object_store_memory": _OBJECT_STORE_BYTES}
            with own_signals():
                await asyncio.to_thread(partial(connect, ray, self.address, **own))
        try:
            batcher = Batcher(commit)
            room = self.room(ray.nodes())
            if idle := room.idle():
                self.warn(idle)
            if few := [name for name, limit in self.limits.items() if limit < room.workers]:
                others = f" (as for {', '.join(few[1:])})" if few[1:] else ""
                self.warn(
                    f"endpoints.{few[0]}.concurrency: {self.limits[few[0]]} at once for {room.workers} workers, which "
                    f"take turns{others}; raise it where the server takes more"
                )
            queue.expect_workers(room.workers)
            fleet = self._fleet = Fleet(ray, self, room, queue, factory, batcher, stop)
            await batcher.commit_all(fleet.work(), stop=stop, grace_s=self.grace_s)
        finally:
            if ours:
                with contextlib.suppress(TimeoutError), own_signals():
                    await asyncio.wait_for(asyncio.to_thread(ray.shutdown), CLOSE_S)

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        return ExecutorState() if self._fleet is None else self._fleet.state()


class Fleet:
    """Keeps the workers of one run alive and requeues their lost keys. ``room`` is that of the start.

    lives: the present ones, by the worker's name. failed_once: rollouts that failed and are retried on another node,
    with the worker and the result of the first attempt. factory, code: the pickled ``WorkerFactory``, and the
    fingerprint of the driver's package.
    """

    def __init__(
        self,
        ray: Any,
        settings: RayExecutor,
        room: Room,
        queue: LeaseQueue,
        factory: WorkerFactory,
        batcher: Batcher,
        stop: asyncio.Event,
    ) -> None:
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        self.ray = ray
        self.settings = settings
        self.queue = queue
        self.batcher = batcher
        self.stop = stop
        self.health = Health(rest_s=settings.rest_s)
        self.shares = Shares(settings.limits)
        self.factory: bytes = ray.cloudpickle.dumps(factory)
        self.code = ray_actor.code_fingerprint(package_folder())
        self.lives: dict[str, WorkerActor] = {}
        self.failed_once: dict[RolloutKey, tuple[str, Finished]] = {}
        self._room = room
        self._reason = ""
        self._gone: dict[str, Places] = {}
        self._strikes: Counter[str] = Counter()
        self._banned: set[str] = set()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._most_up = 0
        self._warned_few = False
        self._begun = 0.0

    @property
    def over(self) -> bool:
        return self.stop.is_set() or self.queue.finished

    async def work(self) -> None:
        """Keep the workers alive until every key is settled, or a stop."""
        clock = asyncio.get_running_loop().time
        self._begun = looked = clock()
        for _ in range(self._room.workers):
            self._add_worker()
        try:
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del self._tasks[task]
                    task.result()
                self._mark_poisoned(self.queue.expire())
                self._settle_stranded()
                self.shares.turn()
                if clock() > looked + LOOK_S:
                    looked = clock()
                    self._follow_cluster()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        if not self.over:
            raise UserError(
                f"all {self._room.workers} Ray workers died again and again (last: {self._reason}); what was "
                "committed is safe: fix that (Ray's logs are under /tmp/ray/session_latest/logs) and resume the run"
            )
        if self._most_up < self._room.workers:
            why = f" ({self._reason})" if self._reason else ": the cluster had no room for more"
            self.settings.warn(f"the run had {self._most_up} of {self._room.workers} workers{why}")
        if self._room.gpus:
            self._say_idle()

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        now = asyncio.get_running_loop().time()
        workers = tuple(life.state(now) for life in self.lives.values())
        return executor_state(self.queue, workers, self._gone)

    def _up(self) -> int:
        return sum(life.up for life in self.lives.values())

    def _add_worker(self) -> None:
        name = f"ray-{len(self._tasks) + 1}"
        while name in self._tasks.values():
            name = f"ray-{int(name[4:]) + 1}"
        self._tasks[asyncio.create_task(self._keep_alive(name))] = name

    def _follow_cluster(self) -> None:
        """Warn if workers wait for room; if GPUs determine the number of workers, add some as GPUs join."""
        if self.over:
            return
        up = self._up()
        late = asyncio.get_running_loop().time() - self._begun > _FEW_S
        if up < self._room.workers and late and not self._warned_few:
            self._warned_few = True
            why = f" ({self._reason})" if self._reason else ""
            self.settings.warn(f"{up} of {self._room.workers} workers are up, the others wait for room{why}")
        if self.settings.workers is None and self._room.gpus:
            # No worker is added while no machine has a GPU.
            with contextlib.suppress(UserError):
                room = self.settings.room(self.ray.nodes(), self._banned).workers
                while room > len(self._tasks):
                    self._add_worker()
                    self._room = replace(self._room, workers=max(self._room.workers, len(self._tasks)))

    def _say_idle(self) -> None:
        """Warn of idle GPUs that joined later; `run` has named those of the start."""
        # The run is over and safe, whatever happens to Ray now.
        with contextlib.suppress(UserError, self.ray.exceptions.RayError):
            now = self.settings.room(self.ray.nodes(), self._banned)
            if now.total > self._room.total and now.idle():
                self.settings.warn(now.idle())

    def _settle_stranded(self) -> None:
        """Commit the failure of rollouts that were to be retried on another node if there is no other."""
        for key in self.queue.stranded(self.health.nodes()):
            _, finished = self.failed_once.pop(key)
            self.batcher.add(finished)

    async def _keep_alive(self, name: str) -> None:
        restarts = 0
        while not self.over and restarts <= self.settings.max_restarts and not self._no_node_left():
            actor = self._new_actor()
            life = self.lives[name] = WorkerActor(self, actor, name)
            sick: SickNodeError | None = None
            try:
                if await life.start():
                    self._most_up = max(self._most_up, self._up())
                    await life.work()
                return
            except SickNodeError as error:
                sick = error
                self._reason = f"node {life.node.name}: {one_line(error)}" if life.node else one_line(error)
            except (WorkerLostError, self.ray.exceptions.RayError) as error:
                self._reason = one_line(error)
                if life.up and life.node is not None and not self.over:
                    where = f"worker {name} on node {life.node.name}"
                    self.settings.warn(f"{where} is lost and its rollouts are run again: {self._reason}")
            finally:
                del self.lives[name]
                self._gone = added(self._gone, counters(life.engines))
                self.health.end(name)
                self.shares.leave(name)
                self.ray.kill(actor)
            poisoned = self.queue.release(name)
            self._mark_poisoned(poisoned)
            if sick and life.node is not None:
                await self._strike(life.node, sick)
                continue
            restarts = 0 if poisoned or life.results else restarts + 1

    def _new_actor(self) -> Any:
        options: dict[str, Any] = {}
        if self._banned:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(self._banned))})"}
        return (
            self.ray.remote(ray_actor.Host)
            .options(
                num_cpus=1,
                num_gpus=self._room.gpus,
                max_restarts=0,
                # Beside the rollouts there are `where`, `start`, `report` and `close`.
                max_concurrency=self.settings.concurrency_per_worker + 4,
                runtime_env=actor_environment(),
                **options,
            )
            .remote()
        )

    def _no_node_left(self) -> bool:
        """Return whether every present machine has been given up. A cluster that was joined may get new ones."""
        if not self._banned:
            return False
        return all(node["NodeID"] in self._banned for node in self.ray.nodes() if node["Alive"])

    async def _strike(self, node: Node, sick: SickNodeError) -> None:
        """Rest after a first failure of ``node``; exclude the node after the second."""
        if node.id in self._banned:
            return
        self._strikes[node.id] += 1
        if self._strikes[node.id] < 2 and not sick.final:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), min(self.settings.rest_s, _SECOND_TRY_S))
            return
        self._banned.add(node.id)
        self.settings.warn(f"node {node.name} is given no more work: {one_line(sick)}")

    def _mark_poisoned(self, keys: Sequence[RolloutKey]) -> None:
        for key in keys:
            detail = f"every worker that ran it was lost (last: {self._reason or 'it overran its lease'})"
            self.batcher.add(harness_failure(key, "ray", detail, "every worker was lost"))
