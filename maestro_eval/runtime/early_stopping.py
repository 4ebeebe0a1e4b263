"""A rule that ends benchmarks early, applied beside the rollouts: judging is slow, and nothing waits for it.

What is committed goes to a thread of its own, in which the rule looks at it. Tasks that it ends early are retired in
the driver's loop: nothing more of them is begun, what is in flight ends as always. The manifest says so before the
plan is cut, so that a run that dies in between is cut when it is resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Protocol

from msgspec import structs

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import EarlyStop, Failed, RolloutKey, RunManifest, TaskRecord
from maestro_eval.runtime.observer import Observer
from maestro_eval.runtime.threads import PatientPool

_BATCH = 64
# Batches of an earlier session's rollouts that wait to be judged; transcripts are tens of kilobytes each.
_AHEAD = 16


class StopRule(Protocol):
    """Says when a task may end. Called in one thread at a time."""

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        """UserError unless the rule can be applied to each of ``tasks``; called before anything is asked."""

    def arrange(self, task: TaskRecord, sample_ids: Sequence[str], repeats: int) -> list[str]:
        """The same ids in the order in which they are to be begun; the same for any order of ``sample_ids``."""

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        """The tasks whose comparison these rollouts end. May take seconds; what it raises ends the run."""


def arranged(rule: StopRule, manifest: RunManifest, plan: Iterable[RolloutKey]) -> Iterator[RolloutKey]:
    """The keys of ``plan`` in the rule's order, task by task."""
    rule.check(manifest.tasks)
    ids: dict[str, dict[str, None]] = {task.name: {} for task in manifest.tasks}
    for key in plan:
        ids[key.task][key.sample_id] = None
    for task in manifest.tasks:
        for sample_id in rule.arrange(task, list(ids[task.name]), manifest.repeats):
            for repeat in range(manifest.repeats):
                yield RolloutKey(task.name, sample_id, repeat)


def take_up(rule: StopRule, journal: Journal) -> None:
    """Have ``rule`` go on with a run that was interrupted: the tasks that did not end early, as they were planned."""
    cut(journal)
    manifest = journal.manifest
    over = {stop.task for stop in manifest.ended_early}
    tasks = [task for task in manifest.tasks if task.name not in over]
    rule.check(tasks)
    for task in tasks:
        rule.arrange(task, list(dict.fromkeys(key.sample_id for key in journal.plan(task.name))), manifest.repeats)


def cut(journal: Journal) -> None:
    """Take out of the plan what its early stops have left unasked."""
    for stop in journal.manifest.ended_early:
        journal.release(stop.task)


class Umpire(Observer):
    """Applies ``rule`` to a run under way; used around the loop that runs it, told of every commit.

    retire, decided: called in the loop for each task that ends early, once the manifest says so.
    """

    def __init__(
        self,
        rule: StopRule,
        journal: Journal,
        retire: Callable[[str], None],
        decided: Callable[[EarlyStop], None],
    ) -> None:
        self._rule = rule
        self._journal = journal
        self._retire = retire
        self._decided = decided
        self._thread = PatientPool(1, "umpire")
        self._waiting: set[Future[list[EarlyStop]]] = set()
        self._fewer = asyncio.Event()
        self._earlier: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None

    def begin(self, stop: asyncio.Event) -> None:
        """In the loop, before the first rollout: look at what an earlier session has left. ``stop`` ends the run."""
        self._loop, self._stop = asyncio.get_running_loop(), stop
        earlier = Journal.open(self._journal.folder, read_only=True)
        batches = _batches(earlier)
        # Read before anything more is committed: these rows, and no later ones, are what is read from here on.
        self.committed(next(batches, ()))
        self._earlier = asyncio.create_task(self._look_back(earlier, batches))

    def committed(self, batch: Sequence[Finished]) -> None:
        """In the loop: these are in the journal."""
        if not batch or self._loop is None or self._error is not None:
            return
        future = self._thread.submit(self._rule.observe, tuple(batch), self._journal.manifest)
        self._waiting.add(future)
        loop = self._loop

        def tell(done: Future[list[EarlyStop]]) -> None:
            # A run that was broken off does not wait for what is being judged, and its loop may be gone.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._judged, done)

        future.add_done_callback(tell)

    async def end(self, *, broken_off: bool = False) -> None:
        """In the loop, after the last rollout: wait for what is still being judged, and cut the plan.

        ``broken_off``: what is not being judged yet is left to the session that goes on. Raises what the rule raised.
        """
        if self._earlier is not None:
            if broken_off:
                self._earlier.cancel()
            await asyncio.wait({self._earlier})
        if broken_off:
            for future in tuple(self._waiting):
                future.cancel()
        while self._waiting and self._error is None:
            await asyncio.wait({asyncio.wrap_future(future) for future in self._waiting})
            # The callbacks have been put into the loop and run in its next round.
            await asyncio.sleep(0)
        self._thread.shutdown(wait=False, cancel_futures=True)
        cut(self._journal)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """However the run ended, and out of its loop: what is not judged yet never is, and nobody waits for it."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _look_back(self, earlier: Journal, batches: Iterator[list[Finished]]) -> None:
        """The rest of what an earlier session has left, no more at once than memory is to hold."""
        try:
            with earlier:
                for batch in batches:
                    while len(self._waiting) >= _AHEAD:
                        self._fewer.clear()
                        await self._fewer.wait()
                    if self._error is not None:
                        return
                    self.committed(batch)
                    await asyncio.sleep(0)
        except Exception as error:
            self._fail(error)

    def _judged(self, future: Future[list[EarlyStop]]) -> None:
        self._waiting.discard(future)
        self._fewer.set()
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        try:
            self._carry_out(future.result())
        except Exception as defect:
            self._fail(defect)

    def _carry_out(self, stops: Sequence[EarlyStop]) -> None:
        if stops:
            manifest = self._journal.manifest
            # One that came to its end is judged again when its failures have been tried again.
            latest = {stop.task: stop for stop in (*manifest.stopped, *stops)}
            self._journal.amend(structs.replace(manifest, stopped=tuple(latest.values())))
        early = {stop.task for stop in self._journal.manifest.ended_early}
        for stop in (stop for stop in stops if stop.task in early):
            self._retire(stop.task)
            self._decided(stop)

    def _fail(self, error: BaseException) -> None:
        """The run ends, and says why."""
        self._error = self._error or error
        if self._stop is not None:
            self._stop.set()


def _batches(journal: Journal) -> Iterator[list[Finished]]:
    # A failed one is tried again: it counts as it ends then.
    ended = (
        Finished(rollout, sample) for rollout, sample in journal.rollouts() if not isinstance(rollout.outcome, Failed)
    )
    while batch := list(islice(ended, _BATCH)):
        yield batch
