"""How an executor, its workers and the journal meet; what both executors share.

An executor runs every key it is given and hands what came of it to ``commit``, in the driver's process and in
batches. It knows nothing of policies or tasks: a worker does. A rollout that fails is a result like any other
(``Failed``); an exception from a worker is a defect of ours, which is recorded for its key, and the run goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from maestro_eval.journal import Finished
from maestro_eval.models.limiter import InUse, Places
from maestro_eval.records import Failed, Rollout, RolloutKey, Sample
from maestro_eval.runtime.status import ExecutorState

# What is closed or cancelled at the end of a run gets as long.
CLOSE_S = 60.0

Commit = Callable[[Sequence[Finished]], Any]
"""Keeps a batch; what it raises ends the run."""


class UnfitNodeError(Exception):
    """No worker can be started on this node, while another one may do; the message says why in one line."""


class WorkerReport(Struct, frozen=True):
    """How the limiter of each engine stands, by its url, and what is in use of each endpoint, by its name."""

    places: Mapping[str, Places]
    in_use: Mapping[str, InUse]


class Worker(Protocol):
    """Runs rollouts, several at once in one event loop."""

    async def run(self, key: RolloutKey) -> Finished:
        """The rollout of ``key``, whatever its outcome."""

    @property
    def lost(self) -> bool:
        """Whether every further rollout fails and only a new process helps: its model is gone."""

    def places(self) -> Mapping[str, Places]:
        """How the limiter of each engine that it calls stands, by the engine's url."""

    def allow(self, allowed: Mapping[str, int]) -> Mapping[str, InUse]:
        """Have at most so many calls at once at each endpoint, by its name; what is in use of each now."""

    async def close(self) -> None:
        """Give back connections and models."""


WorkerFactory = Callable[[str], Awaitable[Worker]]
"""Makes a worker of a given name in the process where it is to live. Picklable."""


class Executor(Protocol):
    """Runs keys on workers."""

    async def run(
        self, keys: Sequence[RolloutKey], factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event
    ) -> None:
        """Run all of ``keys`` and commit each result.

        Once ``stop`` is set nothing new is begun; what is in flight gets a grace time to end and is then
        cancelled, leaving no record. Whatever ends this call, what had finished by then has been committed,
        unless ``commit`` itself failed.
        """

    def retire(self, task: str) -> None:
        """Begin nothing more of ``task``; what is in flight ends as always. To be called in the loop that runs it."""

    def state(self) -> ExecutorState:
        """How the run stands, to be asked in the loop that runs it."""


class Outbox:
    """Results on their way to the journal, sent in batches of ``size`` or after ``interval_s``."""

    def __init__(self, commit: Commit, *, size: int = 64, interval_s: float = 0.5) -> None:
        self._commit = commit
        self._size = size
        self._interval_s = interval_s
        self._waiting: list[Finished] = []
        self._full = asyncio.Event()

    def add(self, finished: Finished) -> None:
        """Put a result in; it is committed by the next ``flush``."""
        self._waiting.append(finished)
        if len(self._waiting) >= self._size:
            self._full.set()

    def flush(self) -> None:
        """Commit what is waiting. A batch that ``commit`` refuses is not offered again."""
        batch, self._waiting = self._waiting, []
        self._full.clear()
        if batch:
            self._commit(batch)

    async def ripen(self, work: asyncio.Task[None]) -> None:
        """Wait until a batch is full, its time has come, or ``work`` is over."""
        full = asyncio.create_task(self._full.wait())
        await asyncio.wait({work, full}, timeout=self._interval_s, return_when=asyncio.FIRST_COMPLETED)
        full.cancel()


async def drive(work: Coroutine[Any, Any, None], outbox: Outbox, *, stop: asyncio.Event, grace_s: float) -> None:
    """Let ``work`` fill the outbox, empty it all the while, and end ``work`` ``grace_s`` after ``stop`` is set."""
    task = asyncio.create_task(work)
    clock = asyncio.get_running_loop().time
    deadline: float | None = None
    try:
        while not task.done():
            await outbox.ripen(task)
            outbox.flush()
            if stop.is_set() and deadline is None:
                deadline = clock() + grace_s
            if deadline is not None and clock() >= deadline:
                break
        graceless = not task.done()
    finally:
        # Both when the grace time is over and when this coroutine is itself cancelled or cannot commit. A rollout
        # that does not let itself be cancelled is left: the others' results count.
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CLOSE_S)
        outbox.flush()
    if task.done() and not (graceless and task.cancelled()):
        task.result()


async def within(work: Coroutine[Any, Any, Any], seconds: float = CLOSE_S) -> None:
    """Wait for ``work`` for so long and no longer, even where it does not let itself be cancelled."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if done:
        task.result()
    else:
        task.cancel()


async def run_key(worker: Worker, name: str, key: RolloutKey) -> Finished:
    """The rollout of ``key`` by ``worker``, or the record of the exception that it raised."""
    try:
        finished = await worker.run(key)
        if finished.rollout.key != key:
            return harness_failure(key, name, f"the worker ran {finished.rollout.key} instead", "another rollout")
        # What cannot be written (half a surrogate pair, say, in what a model said) would take its whole batch
        # of the journal with it.
        msgspec.json.encode(finished)
        return finished
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return harness_failure(key, name, "the rollout cancelled itself", "cancelled")
    except Exception as error:
        return harness_failure(key, name, f"{type(error).__name__}: {error}", type(error).__name__)


def failed_keys(finished: Finished) -> tuple[RolloutKey, ...]:
    """The key, if its rollout failed: how long that took is no measure of others."""
    return (finished.rollout.key,) if isinstance(finished.rollout.outcome, Failed) else ()


def harness_failure(key: RolloutKey, worker: str, detail: str, kind: str) -> Finished:
    """The record for a key that was lost by a fault of ours; of its sample only the name is known."""
    line = " ".join(detail.encode("utf-8", "replace").decode().split())[:500]
    failed = Failed("harness", line, kind=kind)
    return Finished(
        Rollout(key, failed, turns=(), user_prompt="", content_hash="", seed=0, worker=worker),
        Sample(key.task, key.sample_id, question="", targets=()),
    )
