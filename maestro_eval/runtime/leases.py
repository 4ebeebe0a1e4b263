"""Who may work on what, and what becomes of it when a worker dies: pure accounting, no workers and no waiting.

Which key is next is the ``Order``'s to say. Work is delivered at least once: a key is out under one lease at a
time, and a lost lease (its worker died, or its time ran out) puts its keys back before the others of their tasks. A
key may itself be what kills workers. So a key has a bounded number of deliveries; the last one is made alone, to a
worker that holds nothing else, so that a key is never condemned for the company it kept. A key that loses that one
too is poisoned: it is not delivered again, and the caller records it as failed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from itertools import takewhile

from msgspec import Struct

from maestro_eval.records import RolloutKey
from maestro_eval.runtime.scheduler import Order


class Lease(Struct, frozen=True):
    """A worker's right to ``keys`` from ``since`` until ``deadline`` (seconds on the queue's clock)."""

    id: int
    worker: str
    keys: tuple[RolloutKey, ...]
    deadline: float
    since: float = 0.0


class Out(Struct, frozen=True):
    """A key that a worker holds, and since when (seconds on the queue's clock)."""

    key: RolloutKey
    worker: str
    since: float


class Lost(Struct, frozen=True):
    """What a worker's death or lateness cost: the leases that are void, and the keys that are now poisoned."""

    leases: tuple[Lease, ...] = ()
    poisoned: tuple[RolloutKey, ...] = ()


class LeaseCounts(Struct, frozen=True):
    """Where the keys are. The four add up to the number of keys."""

    queued: int
    leased: int
    done: int
    poisoned: int


class LeaseQueue:
    """The keys of a run, with the leases on them. Keys are expected to differ.

    expected: seconds that a rollout of a task took before, where known (see ``scheduler.expected_times``).
    workers: how many there are to be.
    """

    def __init__(
        self,
        keys: Iterable[RolloutKey],
        *,
        expected: Mapping[str, float] | None = None,
        workers: int = 1,
        lease_s: float = float("inf"),
        deliveries: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._order = Order(keys, expected, workers=workers)
        self._total = len(self._order)
        self._lease_s = lease_s
        self._deliveries = deliveries
        self._clock = clock
        self._alone: deque[RolloutKey] = deque()
        self._losses: dict[RolloutKey, int] = {}
        self._leases: dict[int, Lease] = {}
        # The ids of each worker's leases in the order of their making, which a set would lose.
        self._held: dict[str, dict[int, None]] = {}
        self._open: dict[int, set[RolloutKey]] = {}
        self._done = 0
        # Of keys that are done, those that were once lost: only of these can there be another result. A set of all
        # that is done would take more memory than the plan of a very long run.
        self._done_late: set[RolloutKey] = set()
        self._poisoned: set[RolloutKey] = set()
        self._retired: set[str] = set()
        self._elsewhere: dict[RolloutKey, str] = {}
        self._next_id = 1

    def lease(self, worker: str, n: int, place: str = "") -> Lease | None:
        """Up to ``n`` keys for ``worker``, which is at ``place``, or ``None`` when there is nothing for it now.

        ``None`` does not mean that the run is over (see ``finished``): keys may come back from others, and what is
        left may be left to faster workers for now.
        """
        # Only a key that was lost can be on its last delivery: where none was, hundreds of leases are not looked at.
        held = [self._leases[number] for number in self._held.get(worker, ())] if self._losses else []
        if any(self._is_last_delivery(key) for lease in held for key in lease.keys):
            return None
        now = self._clock()
        keys = [] if held else self._take_alone()
        if not keys:
            keys = self._take_from_elsewhere(place, n)
        if not keys:
            keys = self._take(worker, n, now)
        if not keys:
            return None
        lease = Lease(self._next_id, worker, tuple(keys), now + self._lease_s, now)
        self._next_id += 1
        self._leases[lease.id] = lease
        self._held.setdefault(worker, {})[lease.id] = None
        self._open[lease.id] = set(keys)
        return lease

    def complete(
        self, lease_id: int, keys: Sequence[RolloutKey], *, failed: Container[RolloutKey] = ()
    ) -> list[RolloutKey]:
        """Take ``keys`` as done; those that were not settled before, whose results are to be kept.

        The lease may have been lost meanwhile: a late result is as good as any. From the times of ``failed`` ones
        nothing is learnt.
        """
        rest = self._open.get(lease_id)
        if rest is not None:
            now = self._clock()
            for key in keys:
                if key in rest:
                    self._order.finish(key, now, typical=key not in failed)
        fresh = []
        for key in keys:
            ours = rest is not None and key in rest
            if rest is not None:
                rest.discard(key)
            lost = key in self._losses
            # What is in no lease and was never lost is done.
            if not (ours or lost) or key in self._done_late or key in self._poisoned:
                continue
            if not ours and key.task in self._retired and not any(key in keys_out for keys_out in self._open.values()):
                # Forgotten, and done all the same by the worker that had lost it.
                self._total += 1
            self._done += 1
            if lost:
                self._done_late.add(key)
            fresh.append(key)
        if rest is not None and not rest:
            self._close(lease_id)
        return fresh

    def retry_elsewhere(self, lease_id: int, key: RolloutKey, place: str) -> bool:
        """Give a key that failed at ``place`` to a worker of another one; False where the lease is no longer held."""
        rest = self._open.get(lease_id)
        if rest is None or key not in rest or key in self._done_late or key.task in self._retired:
            return False
        self._order.finish(key, self._clock(), typical=False)
        rest.discard(key)
        if not rest:
            self._close(lease_id)
        self._elsewhere[key] = place
        return True

    def stranded(self, places: Collection[str]) -> list[RolloutKey]:
        """Settle the keys that wait for a place other than theirs while there is none among ``places``: these."""
        left = [key for key, place in self._elsewhere.items() if not any(other != place for other in places)]
        for key in left:
            del self._elsewhere[key]
            self._done += 1
        return left

    def release(self, worker: str) -> Lost:
        """The worker is gone: what it held goes back into the queue, before the others of the same tasks."""
        lost = self._lose([self._leases[number] for number in self._held.get(worker, ())])
        self._order.forget(worker)
        return lost

    def expire(self) -> Lost:
        """Void the leases whose time is over; their workers are to be considered lost."""
        now = self._clock()
        # In the order of their making, which is that of their deadlines: this is asked often, of thousands.
        return self._lose(list(takewhile(lambda lease: lease.deadline <= now, self._leases.values())))

    def retire(self, task: str) -> None:
        """Nothing more of ``task`` is leased: what is queued of it is forgotten, and what its workers lose."""
        self._retired.add(task)
        alone = [key for key in self._alone if key.task == task]
        self._alone = deque(key for key in self._alone if key.task != task)
        for key in [key for key in self._elsewhere if key.task == task]:
            del self._elsewhere[key]
            self._total -= 1
        untouched, given_back = self._order.retire(task)
        # A late result may have come while its key was queued again.
        self._total -= untouched + sum(key not in self._done_late for key in (*alone, *given_back))

    def holds(self, lease_id: int) -> bool:
        """Whether a lease is neither complete nor lost."""
        return lease_id in self._leases

    @property
    def finished(self) -> bool:
        """Whether every key is done or poisoned."""
        return self._done + len(self._poisoned) == self._total

    @property
    def losses(self) -> int:
        """How often a key was lost with its worker."""
        return sum(self._losses.values())

    def out(self) -> tuple[Out, ...]:
        """The keys that workers hold, the longest held first."""
        return tuple(
            Out(key, lease.worker, lease.since)
            for lease in self._leases.values()
            for key in lease.keys
            if key in self._open[lease.id] and key not in self._done_late
        )

    def counts(self) -> LeaseCounts:
        """Where the keys are now."""
        settled = self._done + len(self._poisoned)
        # A key whose lease was lost may be done by its late worker and still be out with, or queued for, another.
        leased = len({key for keys in self._open.values() for key in keys} - self._done_late)
        return LeaseCounts(self._total - settled - leased, leased, self._done, len(self._poisoned))

    def _take(self, worker: str, n: int, now: float) -> list[RolloutKey]:
        keys: list[RolloutKey] = []
        while len(keys) < n and (key := self._order.take(worker, now)) is not None:
            # The late result of a lost lease may have come while its key was queued again.
            if key in self._done_late:
                self._order.withdraw(key)
            else:
                keys.append(key)
        return keys

    def _take_from_elsewhere(self, place: str, n: int) -> list[RolloutKey]:
        keys = [key for key, avoided in self._elsewhere.items() if avoided != place][:n]
        for key in keys:
            del self._elsewhere[key]
        return keys

    def _take_alone(self) -> list[RolloutKey]:
        while self._alone:
            key = self._alone.popleft()
            if key not in self._done_late:
                return [key]
        return []

    def _lose(self, leases: Sequence[Lease]) -> Lost:
        poisoned = []
        # From the last lease and key to the first, so that what comes back keeps the order of the plan.
        for lease in reversed(leases):
            rest = self._close(lease.id)
            for key in reversed(lease.keys):
                if key not in rest:
                    continue
                self._order.withdraw(key)
                if key in self._done_late:
                    continue
                if key.task in self._retired:
                    # Its worker may end it all the same.
                    self._losses.setdefault(key, 0)
                    self._total -= 1
                    continue
                self._losses[key] = self._losses.get(key, 0) + 1
                if self._losses[key] >= self._deliveries:
                    self._poisoned.add(key)
                    poisoned.append(key)
                elif self._is_last_delivery(key):
                    self._alone.appendleft(key)
                else:
                    self._order.give_back([key])
        return Lost(tuple(leases), tuple(reversed(poisoned)))

    def _close(self, lease_id: int) -> set[RolloutKey]:
        """The lease is over; the keys that it still held."""
        del self._held[self._leases.pop(lease_id).worker][lease_id]
        return self._open.pop(lease_id)

    def _is_last_delivery(self, key: RolloutKey) -> bool:
        return 0 < self._losses.get(key, 0) == self._deliveries - 1
