"""Which rollout is begun next, and by whom: long ones first, and near the end not by a slow engine.

A run ends when its last rollout does, so what takes long is begun early. How long a rollout will take is told by
its task alone: by what its rollouts took in earlier runs, and more and more by what they take in this one. Tasks of
which nothing is known come first, in turns: they may be long, and their times are learnt early. Within a task the
order of the plan is kept, because data is read as a forward stream.

Engines differ, and the order learns this too: a worker whose rollouts take longer than others' of the same tasks is
slow. It is given the longest rollout that it would surely end before the rest of the queue is worked off; when there
is none, it is left idle while a faster worker is about to be free. That wait is bounded: where the faster ones take
as long as the slow worker would have needed, it gets the rollout after all. What a worker is given first, while
nobody knows how quick it is, is short where there is a choice.

``Order`` is pure accounting: it has no clock and no workers, decides the same for the same events, and the records
of a run do not depend on it. The simulation in ``benchmarks/schedule.py`` is decided by this class, not by a model.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from maestro_eval.journal import Journal
from maestro_eval.records import Failed, RolloutKey, UserError

# As many rollouts of an unknown task are begun before its time is believed; an earlier run's mean weighs as much.
_PROBES = 8
# A worker is slow when it takes a tenth longer than the others and that is no chance: times of one task spread by
# about their mean, so the mean of n is uncertain by its root's inverse; three of these are taken for no chance.
_SLOWER = 1.1
_CHANCE = 3.0
# So many show a worker that is half as quick; until then it is given none of the long ones.
_GAUGE = 32
_GAUGE_BELOW = 0.25
# Of a task's rollouts some take several times its mean. A slow worker is given what it would end in time even then.
_TAIL = 4.0
# Ranks change little from one rollout to the next, and cost a look at every task of every worker: they are made
# anew when so many have ended, or one for each worker, or 2 % of all.
_RERANK_EVERY = 32
_RERANK_SHARE = 0.02
# Enough for a mean, and soon read.
_RECORDS_PER_TASK = 200
_PAST_RUNS = 8
# The part of the longest times that a mean leaves out of account: calls that hung until their deadline.
_STALLED = 0.02


class Order:
    """The queued keys of a run. Every key is handed out once, and again only after ``give_back``.

    ``expected`` are seconds by task, where known; ``workers`` is how many are to come. ``now`` is seconds on any
    clock that does not go back.
    """

    def __init__(
        self, keys: Iterable[RolloutKey], expected: Mapping[str, float] | None = None, *, workers: int = 1
    ) -> None:
        self._alone = workers == 1
        expected = expected or {}
        keys = keys if isinstance(keys, Sequence) else list(keys)
        self._tasks: dict[str, _Task] = {}
        for place, key in enumerate(keys):
            task = self._tasks.get(key.task)
            if task is None:
                task = self._tasks[key.task] = _Task(key.task, expected.get(key.task), _Queue(keys))
            task.queue.append(place)
        self._queued = sum(len(task.queue) for task in self._tasks.values())
        self._workers: dict[str, _Worker] = {}
        self._running: dict[RolloutKey, _Begun] = {}
        self._finished = 0
        self._rank_at = 0
        self._ranking: list[_Task] = []
        self._unknown: list[_Task] = []
        self._work = 0.0
        self._capacity = 0.0
        self._usual = 1.0

    def __len__(self) -> int:
        """How many keys are queued."""
        return self._queued

    def take(self, worker: str, now: float) -> RolloutKey | None:
        """The key that ``worker`` is to begin, or ``None`` when there is none for it now (see the module)."""
        if not self._queued:
            return None
        if self._finished >= self._rank_at:
            self._rank(now)
        me = self._workers.setdefault(worker, _Worker())
        task = self._choose(me, now)
        if task is None:
            return None
        key = task.queue.popleft()
        task.given += 1
        self._queued -= 1
        self._work -= task.expected
        self._running[key] = _Begun(worker, now)
        me.waits_since = None
        task.spent.begin(now)
        me.begin(task.name, now)
        return key

    def finish(self, key: RolloutKey, now: float, *, typical: bool = True) -> None:
        """A rollout has ended. Not ``typical``: its time says nothing of its task, because it failed."""
        begun = self._running.pop(key, None)
        if begun is None:
            return
        task, worker = self._tasks[key.task], self._workers[begun.worker]
        task.spent.end(begun.at, now, typical)
        worker.end(task.name, begun.at, now, typical)
        self._finished += typical

    def give_back(self, keys: Sequence[RolloutKey]) -> None:
        """These have not been run: they come before the others of their tasks again, in the given order."""
        for key in reversed(keys):
            self.withdraw(key)
            task = self._tasks[key.task]
            task.queue.appendleft(key)
            self._queued += 1
            self._work += task.expected

    def withdraw(self, key: RolloutKey) -> None:
        """This key, handed out before, will not be run; nothing is learnt of it."""
        begun = self._running.pop(key, None)
        if begun is not None:
            self._tasks[key.task].spent.forget(begun.at)
            self._workers[begun.worker].forget(key.task, begun.at)

    def retire(self, task: str) -> tuple[int, list[RolloutKey]]:
        """Hand out nothing more of ``task``: how many of its keys never were, and which had been given back."""
        known = self._tasks.get(task)
        if known is None:
            return 0, []
        untouched, given_back = known.queue.clear()
        dropped = untouched + len(given_back)
        self._queued -= dropped
        self._work -= dropped * known.expected
        return untouched, given_back

    def forget(self, worker: str) -> None:
        """The worker is gone and holds nothing; one of that name may come back on another machine."""
        self._workers.pop(worker, None)
        self._rank_at = self._finished

    def expected(self) -> dict[str, float]:
        """Seconds that a rollout is thought to take, by task, longest first; only known tasks with queued keys."""
        return {task.name: task.expected for task in self._ranking if task.queue}

    def slowness(self, worker: str) -> float:
        """How long the worker takes, over what a worker takes on average; 1 where nothing is known."""
        known = self._workers.get(worker)
        return known.slowness if known else 1.0

    def _choose(self, me: _Worker, now: float) -> _Task | None:
        if self._alone:
            return next(self._by_length())
        if not me.is_slow(self._usual):
            longest = next(self._by_length())
            if me.ended >= _GAUGE or longest in self._unknown:
                return longest
            shortest = next(task for task in reversed(self._ranking) if task.queue)
            return shortest if shortest.expected <= longest.expected * _GAUGE_BELOW else longest
        tasks = list(self._by_length())
        shortest = tasks[-1]
        # When the last of the queue would end if it went to the others.
        rest = self._work / self._capacity + shortest.expected * self._usual if self._capacity else float("inf")
        for task in tasks:
            if task.expected * me.slowness * _TAIL <= rest:
                return task
        if me.waits_since is None:
            me.waits_since = now
        overdue = now - me.waits_since >= shortest.expected * me.slowness
        return shortest if overdue or not self._faster_is_busy() else None

    def _by_length(self) -> Iterator[_Task]:
        """The tasks with queued keys: unknown ones, the least tried first, then the longest."""
        unknown = [task for task in self._unknown if task.queue]
        if unknown:
            yield from sorted(unknown, key=lambda task: task.given)
        yield from (task for task in self._ranking if task.queue)

    def _faster_is_busy(self) -> bool:
        return any(worker.running and not worker.is_slow(self._usual) for worker in self._workers.values())

    def _rank(self, now: float) -> None:
        """Learn from all that happened until ``now``."""
        self._rank_at = self._finished + max(_RERANK_EVERY, len(self._workers), int(self._finished * _RERANK_SHARE))
        tried = self._finished >= _PROBES
        known = [task for task in self._tasks.values() if task.prior is not None or (tried and task.given >= _PROBES)]
        for task in known:
            task.expected = task.mean(now)
        longest = max((task.expected for task in known), default=1.0)
        self._unknown = [task for task in self._tasks.values() if task.queue and task not in known]
        for task in self._unknown:
            task.expected = longest
        self._ranking = sorted((task for task in known if task.queue), key=lambda task: -task.expected)
        self._work = sum(len(task.queue) * task.expected for task in self._tasks.values())
        means = {task.name: task.mean(now) for task in self._tasks.values()}
        for worker in self._workers.values():
            worker.learn(means, now)
        # The lower quartile: of many workers the quickest is so by chance.
        slownesses = sorted(worker.slowness for worker in self._workers.values())
        self._usual = slownesses[len(slownesses) // 4] if slownesses else 1.0
        self._capacity = sum(worker.peak / worker.slowness for worker in self._workers.values())


def past_runs(folder: Path) -> list[Path]:
    """``folder`` itself, then the run folders beside it, the newest first: where times may be learnt from."""
    beside = [path for path in folder.absolute().parent.glob("*/manifest.json") if path.parent != folder.absolute()]
    beside.sort(key=lambda path: (-path.stat().st_mtime, path))
    return [folder, *(path.parent for path in beside[:_PAST_RUNS])]


def expected_times(folders: Sequence[Path], tasks: Iterable[str] | None = None) -> dict[str, float]:
    """What a rollout of each task took in earlier runs, in seconds: a mean that a few stalled ones do not move.

    ``folders`` are run folders, the one to be believed most first: a task's time is taken from the first that has
    rollouts of it. A folder that cannot be read tells nothing. ``tasks``: only these are looked for.
    """
    wanted = None if tasks is None else set(tasks)
    times: dict[str, float] = {}
    for folder in folders:
        if wanted is not None and wanted <= times.keys():
            break
        try:
            with Journal.open(folder, read_only=True) as journal:
                for record in journal.manifest.tasks:
                    if record.name in times or (wanted is not None and record.name not in wanted):
                        continue
                    seconds = _seconds(journal, record.name)
                    if seconds:
                        times[record.name] = _mean(seconds)
        except UserError:
            continue
    return times


@dataclass(slots=True, eq=False)
class _Spent:
    """Time spent on rollouts, those under way included.

    Time over rollouts ended is what a rollout takes, also while most are still under way: the mean of the ended
    ones alone would take a task for short whose short rollouts have ended first.
    """

    ended: int = 0
    seconds: float = 0.0
    running: int = 0
    begun: float = 0.0

    def begin(self, now: float) -> None:
        self.running += 1
        self.begun += now

    def end(self, begun: float, now: float, typical: bool) -> None:
        self.forget(begun)
        if typical:
            self.ended += 1
            self.seconds += now - begun

    def forget(self, begun: float) -> None:
        self.running -= 1
        self.begun -= begun

    def total(self, now: float) -> float:
        return self.seconds + max(0.0, self.running * now - self.begun)


class _Queue:
    """The keys of one task that are to be run: the places of those never handed out, before them those given back.

    Four bytes each, so that a very long run costs no more than its sequence of keys does.
    """

    def __init__(self, keys: Sequence[RolloutKey]) -> None:
        self._keys = keys
        self._places = array("I")
        self._next = 0
        self._back: deque[RolloutKey] = deque()

    def __len__(self) -> int:
        return len(self._back) + len(self._places) - self._next

    def append(self, place: int) -> None:
        self._places.append(place)

    def appendleft(self, key: RolloutKey) -> None:
        self._back.appendleft(key)

    def popleft(self) -> RolloutKey:
        if self._back:
            return self._back.popleft()
        self._next += 1
        return self._keys[self._places[self._next - 1]]

    def clear(self) -> tuple[int, list[RolloutKey]]:
        """Drop all: how many were never handed out, and the others."""
        untouched, given_back = len(self._places) - self._next, list(self._back)
        self._places, self._next = array("I"), 0
        self._back.clear()
        return untouched, given_back


@dataclass(slots=True, eq=False)
class _Task:
    name: str
    prior: float | None
    queue: _Queue
    given: int = 0
    spent: _Spent = field(default_factory=_Spent)
    expected: float = 1.0

    def mean(self, now: float) -> float:
        """Seconds a rollout; where none has ended, it takes at least as long as they have been under way."""
        prior, weight = (0.0, 0) if self.prior is None else (self.prior, _PROBES)
        return (prior * weight + self.spent.total(now)) / max(1, self.spent.ended + weight)


@dataclass(slots=True, eq=False)
class _Worker:
    spent: dict[str, _Spent] = field(default_factory=dict)
    running: int = 0
    peak: int = 0
    ended: int = 0
    slowness: float = 1.0
    waits_since: float | None = None

    def begin(self, task: str, now: float) -> None:
        self.spent.setdefault(task, _Spent()).begin(now)
        self.running += 1
        self.peak = max(self.peak, self.running)

    def end(self, task: str, begun: float, now: float, typical: bool) -> None:
        self.spent[task].end(begun, now, typical)
        self.running -= 1
        self.ended += typical

    def forget(self, task: str, begun: float) -> None:
        self.spent[task].forget(begun)
        self.running -= 1

    def learn(self, means: Mapping[str, float], now: float) -> None:
        """Slowness is how many should have ended in the time spent, over how many have; at first it is near 1."""
        due = sum(spent.total(now) / means[task] for task, spent in self.spent.items() if means[task])
        self.slowness = (due + _PROBES) / (self.ended + _PROBES)

    def is_slow(self, usual: float) -> bool:
        return self.slowness > usual * (_SLOWER + _CHANCE / math.sqrt(self.ended + _PROBES))


@dataclass(slots=True, eq=False)
class _Begun:
    worker: str
    at: float


def _seconds(journal: Journal, task: str) -> list[float]:
    rollouts = (rollout for rollout, _ in islice(journal.rollouts(task), _RECORDS_PER_TASK))
    # A failed rollout took as long as its trouble did.
    return [rollout.timing.elapsed_s for rollout in rollouts if not isinstance(rollout.outcome, Failed)]


def _mean(seconds: Sequence[float]) -> float:
    kept = sorted(seconds)[: len(seconds) - int(len(seconds) * _STALLED)]
    return sum(kept) / len(kept)
