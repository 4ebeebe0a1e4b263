"""The workers of one run on Ray: how many there are, what follows when one ends, and which nodes are given up.

A worker that dies or overruns its lease loses what it held to the others (see ``leases``) and is started again. One
whose node is sick, at its start or by what its rollouts fail of (see ``health``), is rested and then retired, and what
failed there is run once more on another node.
Several lives in a row that finish nothing are taken for a sick machine: that worker is given up. When all are,
the run ends with an error, after what was finished has been committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from maestro_eval.models.limiter import Places
from maestro_eval.records import UserError
from maestro_eval.runtime import ray_actor
from maestro_eval.runtime.executor import Outbox, WorkerFactory, harness_failure
from maestro_eval.runtime.health import Health
from maestro_eval.runtime.leases import LeaseQueue, Lost
from maestro_eval.runtime.ray_worker import (
    LOOK_S,
    TICK_S,
    Life,
    Node,
    RaySettings,
    Shared,
    SickNodeError,
    WorkerLostError,
)
from maestro_eval.runtime.shares import Shares
from maestro_eval.runtime.status import ExecutorState, added, counters
from maestro_eval.serving.ray_cluster import actor_environment, one_line, package_folder

# A node where a worker could not start is tried again so soon: a disk or a network may be coming up.
_SECOND_TRY_S = 5.0
# After so long without a place a worker is said to wait for one.
_FEW_S = 30.0


@dataclass(frozen=True, slots=True)
class Room:
    """The workers of a run and the GPUs of each; how many workers the cluster's ``total`` GPUs have room for."""

    workers: int
    gpus: float = 0.0
    most: int = 0
    total: float = 0.0

    def idle(self) -> str:
        """One line that says which GPUs no worker uses; ``""`` where there are none, or workers use none at all."""
        idle = self.total - min(self.workers, self.most) * self.gpus
        if not self.gpus or not idle:
            return ""
        more = f"--workers {self.most} would use {self.most * self.gpus:g}"
        why = more if self.workers < self.most else f"each worker takes {self.gpus:g} of one machine"
        return f"{idle:g} of {self.total:g} GPUs stay idle: {why}"


class Fleet:
    """Keeps the workers alive and hands their lost keys on. ``room`` is how many there are at the start.

    look: the room on Ray's nodes of now, but for those named; UserError where there is none.
    """

    def __init__(
        self,
        ray: Any,
        settings: RaySettings,
        room: Room,
        look: Callable[[Sequence[dict[str, Any]], Collection[str]], Room],
        queue: LeaseQueue,
        factory: WorkerFactory,
        outbox: Outbox,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._room = room
        self._look = look
        self._reason = ""
        self._gone: dict[str, Places] = {}
        self._strikes: Counter[str] = Counter()
        self._banned: set[str] = set()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._most_up = 0
        self._said_few = False
        self._begun = 0.0
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        self._shared = Shared(
            ray,
            settings,
            queue,
            outbox,
            stop,
            Health(rest_s=settings.rest_s),
            Shares(settings.limits),
            factory=ray.cloudpickle.dumps(factory),
            code=ray_actor.code_fingerprint(package_folder()),
        )

    async def work(self) -> None:
        """Keep the workers alive until every key is settled, or a stop."""
        clock, shared = asyncio.get_running_loop().time, self._shared
        self._begun = looked = clock()
        for _ in range(self._room.workers):
            self._add_worker()
        try:
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del self._tasks[task]
                    task.result()
                self._bury(shared.queue.expire())
                self._settle_stranded()
                shared.shares.turn()
                if clock() > looked + LOOK_S:
                    looked = clock()
                    self._follow_cluster()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        if not shared.over:
            raise UserError(
                f"all {self._room.workers} Ray workers died again and again (last: {self._reason}); what was "
                "committed is safe: fix that (Ray's logs are under /tmp/ray/session_latest/logs) and resume the run"
            )
        if self._most_up < self._room.workers:
            self._settings.warn(f"the run had {self._most_up} of {self._room.workers} workers{self._why_few()}")
        if self._room.gpus:
            self._say_idle()

    def retire(self, task: str) -> None:
        """See ``Executor.retire``."""
        self._shared.queue.retire(task)

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        now, queue = asyncio.get_running_loop().time(), self._shared.queue
        workers = tuple(life.state(now) for life in self._shared.lives.values())
        return ExecutorState(queue.counts().queued, queue.out(), queue.losses, workers, self._gone)

    def _why_few(self) -> str:
        return f" ({self._reason})" if self._reason else ": the cluster had no room for more"

    def _up(self) -> int:
        return sum(life.up for life in self._shared.lives.values())

    def _add_worker(self) -> None:
        name = f"ray-{len(self._tasks) + 1}"
        while name in self._tasks.values():
            name = f"ray-{int(name[4:]) + 1}"
        self._tasks[asyncio.create_task(self._keep_alive(name))] = name

    def _follow_cluster(self) -> None:
        """Say that workers wait for room; and where their number is that of the GPUs, have more as GPUs come."""
        if self._shared.over:
            return
        up = self._up()
        late = asyncio.get_running_loop().time() - self._begun > _FEW_S
        if up < self._room.workers and late and not self._said_few:
            self._said_few = True
            why = f" ({self._reason})" if self._reason else ""
            self._settings.warn(f"{up} of {self._room.workers} workers are up, the others wait for room{why}")
        if self._settings.workers is None and self._room.gpus:
            # While no machine has a GPU, nobody is added.
            with contextlib.suppress(UserError):
                room = self._look(self._shared.ray.nodes(), self._banned).workers
                while room > len(self._tasks):
                    self._add_worker()
                    self._room = replace(self._room, workers=max(self._room.workers, len(self._tasks)))

    def _say_idle(self) -> None:
        """Name the GPUs that joined and found no use; those of the start have been named."""
        # The run is over and safe, whatever becomes of Ray now.
        with contextlib.suppress(UserError, self._shared.ray.exceptions.RayError):
            now = self._look(self._shared.ray.nodes(), self._banned)
            if now.total > self._room.total and now.idle():
                self._settings.warn(now.idle())

    def _settle_stranded(self) -> None:
        """A failed rollout that was to be tried on another node is final where there is no other."""
        for key in self._shared.queue.stranded(self._shared.health.nodes()):
            _, finished = self._shared.failed_once.pop(key)
            self._shared.outbox.add(finished)

    async def _keep_alive(self, name: str) -> None:
        shared, fruitless = self._shared, 0
        while not shared.over and fruitless <= self._settings.max_restarts and not self._nowhere():
            actor = self._new_actor()
            life = shared.lives[name] = Life(shared, actor, name)
            sick: SickNodeError | None = None
            try:
                if await life.start():
                    self._most_up = max(self._most_up, self._up())
                    await life.work()
                return
            except SickNodeError as error:
                sick = error
                self._reason = f"node {life.node.name}: {one_line(error)}" if life.node else one_line(error)
            except (WorkerLostError, shared.ray.exceptions.RayError) as error:
                self._reason = one_line(error)
                if life.up and life.node is not None and not shared.over:
                    where = f"worker {name} on node {life.node.name}"
                    self._settings.warn(f"{where} is lost and its rollouts are run again: {self._reason}")
            finally:
                del shared.lives[name]
                self._gone = added(self._gone, counters(life.engines))
                shared.health.end(name)
                shared.shares.leave(name)
                shared.ray.kill(actor)
            lost = shared.queue.release(name)
            self._bury(lost)
            if sick and life.node is not None:
                await self._strike(life.node, sick)
                continue
            fruitless = 0 if lost.poisoned or life.results else fruitless + 1

    def _new_actor(self) -> Any:
        options: dict[str, Any] = {}
        if self._banned:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(self._banned))})"}
        return (
            self._shared.ray.remote(ray_actor.Host)
            .options(
                num_cpus=1,
                num_gpus=self._room.gpus,
                max_restarts=0,
                # Beside the rollouts there are `where`, `start`, `report` and `close`.
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
        return all(node["NodeID"] in self._banned for node in self._shared.ray.nodes() if node["Alive"])

    async def _strike(self, node: Node, sick: SickNodeError) -> None:
        """A worker could not start on ``node``, or failed there again: it rests; the second time, it is given up."""
        if node.id in self._banned:
            return
        self._strikes[node.id] += 1
        if self._strikes[node.id] < 2 and not sick.final:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._shared.stop.wait(), min(self._settings.rest_s, _SECOND_TRY_S))
            return
        self._banned.add(node.id)
        self._settings.warn(f"node {node.name} is given no more work: {one_line(sick)}")

    def _bury(self, lost: Lost) -> None:
        for key in lost.poisoned:
            detail = f"every worker that ran it was lost (last: {self._reason or 'it overran its lease'})"
            self._shared.outbox.add(harness_failure(key, "ray", detail, "every worker was lost"))
