"""Applies a rule that ends benchmarks early, beside the rollouts: judging is slow, and no rollout waits for it.

The rule sees one batch of committed rollouts at a time, in its own thread. Tasks that it ends early are retired in the
driver's loop: no rollout of them starts any more, and those in flight finish as usual. The manifest records the end
before the plan is cut, so that a run that dies in between is cut when it is resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from msgspec import structs

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import EarlyStop, Failed, RolloutKey, RunManifest, TaskRecord
from maestro_eval.runtime.observer import Observer
from maestro_eval.runtime.threads import PatientPool

# Rollouts of an earlier session that are read at a time; transcripts are tens of kilobytes each.
_BATCH = 64


class StopRule(Protocol):
    """Decides when a task may end. Called in one thread at a time."""

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        """Raise UserError unless the rule applies to each of ``tasks``; called before any request is sent."""

    def arrange(self, task: TaskRecord, sample_ids: Sequence[str], repeats: int) -> list[str]:
        """Return the ids in the order in which they are to be begun, whatever the order of ``sample_ids``."""

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        """Return the tasks whose comparison these rollouts end. May take seconds; an exception ends the run."""


def ordered_plan(rule: StopRule, manifest: RunManifest, plan: Iterable[RolloutKey]) -> Iterator[RolloutKey]:
    """Yield the keys of ``plan`` in the rule's order, task by task."""
    rule.check(manifest.tasks)
    ids: dict[str, dict[str, None]] = {task.name: {} for task in manifest.tasks}
    for key in plan:
        ids[key.task][key.sample_id] = None
    for task in manifest.tasks:
        for sample_id in rule.arrange(task, list(ids[task.name]), manifest.repeats):
            for repeat in range(manifest.repeats):
                yield RolloutKey(task.name, sample_id, repeat)


def restore_rule(rule: StopRule, journal: Journal) -> None:
    """Prepare ``rule`` to resume an interrupted run: pass it the plan of the tasks that did not end early."""
    cut(journal)
    manifest = journal.manifest
    over = {stop.task for stop in manifest.ended_early}
    tasks = [task for task in manifest.tasks if task.name not in over]
    rule.check(tasks)
    for task in tasks:
        rule.arrange(task, list(dict.fromkeys(key.sample_id for key in journal.plan(task.name))), manifest.repeats)


def cut(journal: Journal) -> None:
    """Remove from the plan the rollouts that early stops have left unrun."""
    for stop in journal.manifest.ended_early:
        journal.release(stop.task)


class EarlyStopper(Observer):
    """Applies ``rule`` to a run in progress, as an observer of every commit.

    retire, decided: called in the loop for each task that ends early, once the manifest records it.
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
        self._thread = PatientPool(1, "stopper")
        self._waiting: deque[Sequence[Finished]] = deque()
        self._arrived = asyncio.Event()
        self._judging: asyncio.Task[None] | None = None
        self._over = self._broken_off = False
        self._error: BaseException | None = None

    def begin(self, stop: asyncio.Event) -> None:
        """Start judging, in the loop and before the first rollout; rollouts of an earlier session come first."""
        earlier = _earlier(self._journal.folder)
        # The first read fixes which rows are earlier ones; later commits are not among them.
        first = next(earlier, ())
        self._judging = asyncio.create_task(self._judge(first, earlier, stop))

    def committed(self, batch: Sequence[Finished]) -> None:
        """Queue ``batch``, which is in the journal, for judging. Called in the loop."""
        if batch and self._error is None:
            self._waiting.append(batch)
            self._arrived.set()

    async def end(self, *, broken_off: bool = False) -> None:
        """Wait in the loop, after the last rollout, until all is judged, and cut the plan. Raises what the rule raised.

        ``broken_off``: wait only for the batch that is being judged; the next session judges the others.
        """
        self._over, self._broken_off = True, broken_off
        self._arrived.set()
        if self._judging is not None:
            await asyncio.wait({self._judging})
        self._thread.shutdown(wait=False, cancel_futures=True)
        cut(self._journal)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Discard rollouts that are not judged yet. Called outside the loop, however the run ended."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _judge(self, batch: Sequence[Finished], earlier: Generator[list[Finished]], stop: asyncio.Event) -> None:
        """Judge batch after batch; an error ends the run by ``stop``."""
        loop = asyncio.get_running_loop()
        try:
            with contextlib.closing(earlier):
                batch = batch or await self._next(earlier)
                while batch and not self._broken_off:
                    observed = loop.run_in_executor(self._thread, self._rule.observe, batch, self._journal.manifest)
                    self._carry_out(await observed)
                    batch = await self._next(earlier)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever the rule raised, SystemExit included
            self._error = error
            stop.set()

    async def _next(self, earlier: Iterator[Sequence[Finished]]) -> Sequence[Finished]:
        """Return the next batch, or an empty one once no more will come.

        Earlier ones are first: a rule reads rollouts in the order of the plan, and decides nothing without them.
        """
        if batch := next(earlier, ()):
            return batch
        while not self._waiting:
            if self._over:
                return ()
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def _carry_out(self, stops: Sequence[EarlyStop]) -> None:
        if stops:
            manifest = self._journal.manifest
            # A task that ran to its end is judged again once its failures have been retried.
            latest = {stop.task: stop for stop in (*manifest.stopped, *stops)}
            self._journal.amend(structs.replace(manifest, stopped=tuple(latest.values())))
        early = {stop.task for stop in self._journal.manifest.ended_early}
        for stop in (stop for stop in stops if stop.task in early):
            self._retire(stop.task)
            self._decided(stop)


def _earlier(folder: Path) -> Generator[list[Finished]]:
    """Yield the rollouts that an earlier session left, except failed ones, which are retried."""
    with Journal.open(folder, read_only=True) as journal:
        ended = (Finished(*each) for each in journal.rollouts() if not isinstance(each[0].outcome, Failed))
        while batch := list(islice(ended, _BATCH)):
            yield batch
