"""Many rollouts at once in this process: one worker, one event loop.

Rollouts wait for endpoints most of their time, so one loop holds hundreds. Work that computes in Python for
long belongs to the Ray executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from maestro_eval.runtime.executor import Commit, Outbox, Worker, WorkerFactory, drive, failed_keys, run_key, within
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.live import ExecutorState, WorkerState
from maestro_eval.types import RolloutKey

_NAME = "local"


class LocalExecutor:
    """Runs up to ``concurrency`` rollouts at once.

    expected: seconds that a rollout of a task took before, where known.
    grace_s: what rollouts in flight get after a stop.
    """

    def __init__(
        self, concurrency: int = 32, *, expected: Mapping[str, float] | None = None, grace_s: float = 30.0
    ) -> None:
        self.concurrency = concurrency
        self.expected = expected
        self.grace_s = grace_s
        self._queue = LeaseQueue(())
        self._worker: Worker | None = None

    async def run(
        self, keys: Sequence[RolloutKey], factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event
    ) -> None:
        """See ``Executor.run``."""
        queue = self._queue = LeaseQueue(keys, expected=self.expected)
        outbox = Outbox(commit)
        worker = self._worker = await factory(_NAME)
        try:
            await drive(self._pull_all(queue, worker, outbox, stop), outbox, stop=stop, grace_s=self.grace_s)
        finally:
            await within(worker.close())

    def retire(self, task: str) -> None:
        """See ``Executor.retire``."""
        self._queue.retire(task)

    def state(self) -> ExecutorState:
        """See ``Executor.state``."""
        worker = self._worker
        me = WorkerState(_NAME, engines={} if worker is None else worker.places(), starting=worker is None)
        return ExecutorState(self._queue.counts().queued, self._queue.out(), workers=(me,))

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
