"""Many rollouts at once in this process: one worker, one event loop.

Rollouts wait for endpoints most of their time, so one loop holds hundreds. Work that computes in Python for
long belongs to the Ray executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from maestro_eval.records import RolloutKey, UserError
from maestro_eval.runtime.executor import (
    CLOSE_S,
    Commit,
    Outbox,
    Worker,
    WorkerFactory,
    drive,
    failed_keys,
    run_key,
    within,
)
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.status import ExecutorState, WorkerState

_NAME = "local"


class LocalExecutor:
    """Runs up to ``concurrency`` rollouts at once.

    expected: seconds that a rollout of a task took before, where known.
    grace_s: what rollouts in flight get after a stop.
    start_s: what the worker gets to start; it may load a model.
    """

    def __init__(
        self,
        concurrency: int = 32,
        *,
        expected: Mapping[str, float] | None = None,
        grace_s: float = 30.0,
        start_s: float = 3600.0,
    ) -> None:
        self.concurrency = concurrency
        self.expected = expected
        self.grace_s = grace_s
        self.start_s = start_s
        self._queue = LeaseQueue(())
        self._retired: set[str] = set()
        self._worker: Worker | None = None

    async def run(
        self, keys: Sequence[RolloutKey], factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event
    ) -> None:
        """See ``Executor.run``."""
        queue = self._queue = LeaseQueue(keys, expected=self.expected)
        # A task may have been decided already, by what an earlier session left.
        for task in self._retired:
            queue.retire(task)
        outbox = Outbox(commit)
        worker = await self._start(factory, stop)
        if worker is None:
            return
        self._worker = worker
        try:
            await drive(self._pull_all(queue, worker, outbox, stop), outbox, stop=stop, grace_s=self.grace_s)
        finally:
            await within(worker.close())

    def retire(self, task: str) -> None:
        """See ``Executor.retire``."""
        self._retired.add(task)
        self._queue.retire(task)

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        worker = self._worker
        me = WorkerState(_NAME, engines={} if worker is None else worker.places(), starting=worker is None)
        return ExecutorState(self._queue.counts().queued, self._queue.out(), workers=(me,))

    async def _start(self, factory: WorkerFactory, stop: asyncio.Event) -> Worker | None:
        """The worker, or ``None`` where the run is stopped before it stands."""
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

    async def _pull_all(self, queue: LeaseQueue, worker: Worker, outbox: Outbox, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, queue.counts().queued)):
                group.create_task(_pull(queue, worker, outbox, stop))


async def _pull(queue: LeaseQueue, worker: Worker, outbox: Outbox, stop: asyncio.Event) -> None:
    """Run one key after another until none is left."""
    while not stop.is_set() and (lease := queue.lease(_NAME, 1)) is not None:
        (key,) = lease.keys
        finished = await run_key(worker, _NAME, key)
        outbox.add(finished)
        queue.complete(lease.id, lease.keys, failed=failed_keys(finished))
