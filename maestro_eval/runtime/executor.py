"""The interface between executors, workers and the journal, and the executor that runs in this process.

An executor runs every key it is given and passes the results to ``commit``, in the driver's process and in batches. It
knows nothing of policies or tasks; workers do. A failed rollout is a result like any other (``Failed``); an exception
from a worker is a defect of ours, which is recorded for its key, and the run continues.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from maestro_eval.journal import Finished
from maestro_eval.models import InUse, Places
from maestro_eval.records import Failed, Rollout, RolloutKey, Sample, UserError
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.status import ExecutorState, WorkerState, executor_state

# Closing workers and cancelling rollouts at the end of a run may take this long.
CLOSE_S = 60.0
_NAME = "local"

Commit = Callable[[Sequence[Finished]], Any]
"""Stores a batch; an exception ends the run."""


class UnfitNodeError(Exception):
    """No worker can start on this node, while another node may do; the message says why in one line."""


class WorkerReport(Struct, frozen=True):
    """The limiter's state for each engine, by its url, and the use of each endpoint, by its name."""

    places: Mapping[str, Places]
    in_use: Mapping[str, InUse]


class Worker(Protocol):
    """Runs rollouts, several at once in one event loop."""

    async def run(self, key: RolloutKey) -> Finished:
        """Run the rollout of ``key``, whatever its outcome."""

    @property
    def lost(self) -> bool:
        """Return whether the model is lost: every further rollout fails, and only a new process helps."""

    def places(self) -> Mapping[str, Places]:
        """Return the limiter's state for each engine that it calls, by the engine's url."""

    def allow(self, allowed: Mapping[str, int]) -> Mapping[str, InUse]:
        """Set the number of calls at once at each endpoint, by its name; return the present use of each."""

    async def close(self) -> None:
        """Release connections and models."""


WorkerFactory = Callable[[str], Awaitable[Worker]]
"""Makes a worker of a given name in the process that runs it. Picklable."""


class Executor(Protocol):
    """Runs keys on workers."""

    async def run(self, queue: LeaseQueue, factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event) -> None:
        """Run all keys of ``queue`` and commit each result.

        Once ``stop`` is set no rollout begins; those in flight get a grace time to end and are then cancelled, leaving
        no record. Whatever ends this call, all finished rollouts have been committed, unless ``commit`` itself failed.
        """

    def state(self) -> ExecutorState:
        """Return the run's state. Called in the loop that runs it."""


class Batcher:
    """Commits results to the journal in batches of ``size``, or after ``interval_s``."""

    def __init__(self, commit: Commit, *, size: int = 64, interval_s: float = 0.5) -> None:
        self._commit = commit
        self._size = size
        self._interval_s = interval_s
        self._waiting: list[Finished] = []
        self._full = asyncio.Event()

    def add(self, finished: Finished) -> None:
        """Add a result, to be committed soon."""
        self._waiting.append(finished)
        if len(self._waiting) >= self._size:
            self._full.set()

    async def commit_all(self, work: Coroutine[Any, Any, None], *, stop: asyncio.Event, grace_s: float) -> None:
        """Run ``work``, commit what it adds, and end it ``grace_s`` after ``stop`` is set."""
        task = asyncio.create_task(work)
        clock = asyncio.get_running_loop().time
        deadline = math.inf
        try:
            while not task.done() and clock() < deadline:
                full = asyncio.create_task(self._full.wait())
                await asyncio.wait({task, full}, timeout=self._interval_s, return_when=asyncio.FIRST_COMPLETED)
                full.cancel()
                self._flush()
                if stop.is_set():
                    deadline = min(deadline, clock() + grace_s)
            graceless = not task.done()
        finally:
            # Reached when the grace time is over, and when this coroutine is itself cancelled or cannot commit. A
            # rollout that resists cancellation is abandoned: the others' results count.
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=CLOSE_S)
            self._flush()
        if task.done() and not (graceless and task.cancelled()):
            task.result()

    def _flush(self) -> None:
        """Commit waiting results. A batch that ``commit`` rejects is not offered again."""
        batch, self._waiting = self._waiting, []
        self._full.clear()
        if batch:
            self._commit(batch)


async def run_key(worker: Worker, name: str, key: RolloutKey) -> Finished:
    """Run ``key`` on ``worker``; an exception becomes the record of a failure."""
    try:
        finished = await worker.run(key)
        if finished.rollout.key != key:
            return harness_failure(key, name, f"the worker ran {finished.rollout.key} instead", "another rollout")
        # A result that cannot be encoded (say half a surrogate pair in a model's reply) would make its whole batch
        # fail.
        msgspec.json.encode(finished)
        return finished
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return harness_failure(key, name, "the rollout cancelled itself", "cancelled")
    except Exception as error:
        return harness_failure(key, name, f"{type(error).__name__}: {error}", type(error).__name__)


def harness_failure(key: RolloutKey, worker: str, detail: str, kind: str) -> Finished:
    """Return the record of a key that was lost by a fault of ours; only the name of its sample is known."""
    line = " ".join(detail.encode("utf-8", "replace").decode().split())[:500]
    failed = Failed("harness", line, kind=kind)
    return Finished(
        Rollout(key, failed, turns=(), user_prompt="", content_hash="", seed=0, worker=worker),
        Sample(key.task, key.sample_id, question="", targets=()),
    )


class LocalExecutor:
    """Runs up to ``concurrency`` rollouts at once in this process: one worker, one event loop.

    Rollouts mostly wait for endpoints, so one loop handles hundreds. Long computations in Python belong to the Ray
    executor.

    grace_s: time for rollouts in flight after a stop.
    start_s: time for the worker to start; it may load a model.
    """

    def __init__(self, concurrency: int = 32, *, grace_s: float = 30.0, start_s: float = 3600.0) -> None:
        self.concurrency = concurrency
        self.grace_s = grace_s
        self.start_s = start_s
        self._queue: LeaseQueue | None = None
        self._worker: Worker | None = None

    async def run(self, queue: LeaseQueue, factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event) -> None:
        """See ``Executor.run``."""
        self._queue, batcher = queue, Batcher(commit)
        worker = await self._start(factory, stop)
        if worker is None:
            return
        self._worker = worker
        try:
            await batcher.commit_all(self._pull_all(queue, worker, batcher, stop), stop=stop, grace_s=self.grace_s)
        finally:
            # Bounds closing even if it cannot be cancelled.
            closing = asyncio.create_task(worker.close())
            done, _ = await asyncio.wait({closing}, timeout=CLOSE_S)
            if done:
                closing.result()
            else:
                closing.cancel()

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        worker = self._worker
        me = WorkerState(_NAME, engines={} if worker is None else worker.places(), starting=worker is None)
        return executor_state(self._queue, (me,))

    async def _start(self, factory: WorkerFactory, stop: asyncio.Event) -> Worker | None:
        """Return the worker, or ``None`` if the run is stopped before it has started."""
        starting = asyncio.ensure_future(factory(_NAME))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, timeout=self.start_s, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return starting.result()
            if stop.is_set():
                return None
            raise UserError(
                f"the worker did not start within {self.start_s:g} s; does its model load, and does its disk answer? "
                "Nothing is lost: resume the run"
            )
        finally:
            stopped.cancel()
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=CLOSE_S)

    async def _pull_all(self, queue: LeaseQueue, worker: Worker, batcher: Batcher, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, queue.queued)):
                group.create_task(_pull(queue, worker, batcher, stop))


async def _pull(queue: LeaseQueue, worker: Worker, batcher: Batcher, stop: asyncio.Event) -> None:
    """Run one key after another until none is left."""
    while not stop.is_set() and (lease := queue.lease(_NAME)) is not None:
        finished = await run_key(worker, _NAME, lease.key)
        batcher.add(finished)
        queue.complete(lease, failed=isinstance(finished.rollout.outcome, Failed))
