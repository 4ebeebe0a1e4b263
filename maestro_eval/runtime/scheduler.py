"""Decides which rollout begins next, and on which worker: long ones first, but none of them on a slow engine.

A run ends when its last rollout does, so long rollouts begin early. The time of a rollout is predicted from its task
alone: by earlier runs, and more and more by the present one. Tasks without any known time come first, in turns: they
may be long, and their times are learnt early. Within a task the order of the plan is kept, because data is read as a
forward stream.

Engines differ, and the order learns this too: a worker whose rollouts take longer than others' of the same tasks is
slow, and gets the shortest ones. So does a worker without any results, if some tasks are much shorter. docs/schedule.md
compares this with other orders.

``Order`` is pure accounting: it has no clock and no workers, decides the same for the same events, and the records of a
run do not depend on it. The simulation in ``benchmarks/schedule.py`` runs this class, not a model of it.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maestro_eval.journal import Journal
from maestro_eval.records import RolloutKey, UserError

# Rollouts of an unknown task that begin before its mean is used; an earlier run's mean has the weight of as many.
_PROBES = 8
# A worker is slow when it takes 10 % longer than the others beyond chance: times of one task have a standard deviation
# of about their mean, so the mean of n has a relative error of 1/sqrt(n); three of these exclude chance.
_SLOWER = 1.1
_CHANCE = 3.0
# Rollouts that reveal a worker of half the speed; until then it gets no long ones.
_GAUGE = 32
_GAUGE_BELOW = 0.25
# Ranks change little from one rollout to the next, and computing them visits every task of every worker: they are
# renewed after this many rollouts, or one for each worker, or 2 % of all that ended.
_RERANK_EVERY = 32
_RERANK_SHARE = 0.02
# Enough for a mean, and quick to read.
_RECORDS_PER_TASK = 200
_PAST_RUNS = 8
# The share of the longest times that a mean leaves out: calls that hung until their deadline.
_STALLED = 0.02


class Order:
    """The queued keys of a run. Every key is handed out once, and again only after ``give_back``.

    ``expected`` are seconds by task, where known; ``workers`` is the expected number. ``now`` is seconds on any
    monotonic clock.
    """

    def __init__(
        self, keys: Iterable[RolloutKey], expected: Mapping[str, float] | None = None, *, workers: int = 1
    ) -> None:
        self.workers = workers
        self._keys = keys if isinstance(keys, Sequence) else list(keys)
        self._tasks: dict[str, _Task] = {}
        for place, key in enumerate(self._keys):
            task = self._tasks.get(key.task)
            if task is None:
                task = self._tasks[key.task] = _Task(key.task, (expected or {}).get(key.task))
            task.places.append(place)
        self._queued = len(self._keys)
        self._workers: dict[str, _Worker] = {}
        self._running: dict[RolloutKey, _Begun] = {}
        self._finished = 0
        self._rank_at = 0
        self._ranking: list[_Task] = []
        self._unknown: list[_Task] = []
        self._usual = 1.0

    def waiting(self) -> dict[str, int]:
        """Count the queued keys by task."""
        return {task.name: task.queued for task in self._tasks.values()}

    def take(self, worker: str, now: float) -> RolloutKey | None:
        """Return the key that ``worker`` begins next, or ``None`` when all have been handed out."""
        if not self._queued:
            return None
        if self._finished >= self._rank_at:
            self._rank(now)
        me = self._workers.setdefault(worker, _Worker())
        task = self._choose(me)
        if task.back:
            key = task.back.popleft()
        else:
            key = self._keys[task.places[task.next]]
            task.next += 1
        task.given += 1
        self._queued -= 1
        self._running[key] = _Begun(worker, now)
        task.spent.begin(now)
        me.spent.setdefault(task.name, _Spent()).begin(now)
        return key

    def finish(self, key: RolloutKey, now: float, *, typical: bool = True) -> None:
        """Learn from a rollout that ended. Not ``typical``: it failed or was lost, and its time is ignored."""
        begun = self._running.pop(key, None)
        if begun is None:
            return
        task, worker = self._tasks[key.task], self._workers[begun.worker]
        task.spent.end(begun.at, now, typical)
        worker.spent[task.name].end(begun.at, now, typical)
        self._finished += typical

    def give_back(self, keys: Sequence[RolloutKey]) -> None:
        """Requeue keys that were not run, in this order, before the others of their tasks."""
        for key in reversed(keys):
            self.finish(key, 0.0, typical=False)
            task = self._tasks[key.task]
            task.back.appendleft(key)
            self._queued += 1
        # Its task may have had no more keys, and so be in no ranking.
        self._rank_at = self._finished

    def retire(self, task: str) -> tuple[int, list[RolloutKey]]:
        """Drop the queued keys of ``task``; return how many were never handed out, and those that were given back."""
        known = self._tasks.get(task)
        if known is None:
            return 0, []
        self._queued -= known.queued
        untouched, given_back = len(known.places) - known.next, list(known.back)
        known.next = len(known.places)
        known.back.clear()
        return untouched, given_back

    def forget(self, worker: str) -> None:
        """Forget a worker that was lost; one of that name may come back on another machine."""
        self._workers.pop(worker, None)
        self._rank_at = self._finished

    def _choose(self, me: _Worker) -> _Task:
        unknown = [task for task in self._unknown if task.queued]
        known = [task for task in self._ranking if task.queued]
        # The unknown task that was tried least, or else the longest.
        longest = min(unknown, key=lambda task: task.given) if unknown else known[0]
        if self.workers == 1:
            return longest
        shortest = known[-1] if known else longest
        if me.is_slow(self._usual):
            return shortest
        untried = me.ended < _GAUGE and not unknown and shortest.expected <= longest.expected * _GAUGE_BELOW
        return shortest if untried else longest

    def _rank(self, now: float) -> None:
        """Update times, rankings and slowness by all that happened until ``now``."""
        self._rank_at = self._finished + max(_RERANK_EVERY, len(self._workers), int(self._finished * _RERANK_SHARE))
        tried = self._finished >= _PROBES
        known = [task for task in self._tasks.values() if task.prior is not None or (tried and task.given >= _PROBES)]
        for task in known:
            task.expected = task.mean(now)
        longest = max((task.expected for task in known), default=1.0)
        self._unknown = [task for task in self._tasks.values() if task.queued and task not in known]
        for task in self._unknown:
            task.expected = longest
        self._ranking = sorted((task for task in known if task.queued), key=lambda task: -task.expected)
        means = {task.name: task.mean(now) for task in self._tasks.values()}
        for worker in self._workers.values():
            worker.learn(means, now)
        # The lower quartile: of many workers, the quickest is so by chance.
        slownesses = sorted(worker.slowness for worker in self._workers.values())
        self._usual = slownesses[len(slownesses) // 4] if slownesses else 1.0


def past_runs(folder: Path) -> list[Path]:
    """Return ``folder`` and the latest run folders beside it, newest first, to learn times from."""
    beside = [path for path in folder.absolute().parent.glob("*/manifest.json") if path.parent != folder.absolute()]
    beside.sort(key=lambda path: (-path.stat().st_mtime, path))
    return [folder, *(path.parent for path in beside[:_PAST_RUNS])]


def expected_times(folders: Sequence[Path], tasks: Collection[str]) -> dict[str, float]:
    """Return the mean seconds of a rollout of each of ``tasks`` in earlier runs, without the few longest.

    ``folders`` are run folders in order of preference: a task's time is from the first that has rollouts of it. A
    folder that cannot be read is skipped.
    """
    times: dict[str, float] = {}
    for folder in folders:
        unknown = [task for task in tasks if task not in times]
        if not unknown:
            break
        try:
            with Journal.open(folder, read_only=True) as journal:
                for task in unknown:
                    # Only successful rollouts: the time of a failed one is that of its fault.
                    seconds = sorted(journal.times(task, _RECORDS_PER_TASK))
                    if kept := seconds[: len(seconds) - int(len(seconds) * _STALLED)]:
                        times[task] = sum(kept) / len(kept)
        except UserError:
            continue
    return times


@dataclass(slots=True, eq=False)
class _Spent:
    """Time spent on rollouts, including those in progress.

    Total time over ended rollouts estimates the time of one even while most are in progress: the mean of the ended ones
    alone would be too low for a task whose short rollouts ended first.
    """

    ended: int = 0
    seconds: float = 0.0
    running: int = 0
    begun: float = 0.0

    def begin(self, now: float) -> None:
        self.running += 1
        self.begun += now

    def end(self, begun: float, now: float, typical: bool) -> None:
        self.running -= 1
        self.begun -= begun
        if typical:
            self.ended += 1
            self.seconds += now - begun

    def total(self, now: float) -> float:
        return self.seconds + max(0.0, self.running * now - self.begun)


@dataclass(slots=True, eq=False)
class _Task:
    """``places`` are those of its keys in the plan, of which ``next`` have been handed out; ``back`` were given back.

    Four bytes a key, so that a very long run costs little more than its sequence of keys.
    """

    name: str
    prior: float | None
    places: array[int] = field(default_factory=lambda: array("I"))
    next: int = 0
    back: deque[RolloutKey] = field(default_factory=deque)
    given: int = 0
    spent: _Spent = field(default_factory=_Spent)
    expected: float = 1.0

    @property
    def queued(self) -> int:
        return len(self.back) + len(self.places) - self.next

    def mean(self, now: float) -> float:
        """Return the seconds of a rollout; if none has ended, at least as long as they have been running."""
        prior, weight = (0.0, 0) if self.prior is None else (self.prior, _PROBES)
        return (prior * weight + self.spent.total(now)) / max(1, self.spent.ended + weight)


@dataclass(slots=True, eq=False)
class _Worker:
    spent: dict[str, _Spent] = field(default_factory=dict)
    slowness: float = 1.0

    @property
    def ended(self) -> int:
        return sum(spent.ended for spent in self.spent.values())

    def learn(self, means: Mapping[str, float], now: float) -> None:
        """Set the slowness: how many should have ended in the time spent, over how many did; near 1 at first."""
        due = sum(spent.total(now) / means[task] for task, spent in self.spent.items() if means[task])
        self.slowness = (due + _PROBES) / (self.ended + _PROBES)

    def is_slow(self, usual: float) -> bool:
        return self.slowness > usual * (_SLOWER + _CHANCE / math.sqrt(self.ended + _PROBES))


@dataclass(slots=True, eq=False)
class _Begun:
    worker: str
    at: float
