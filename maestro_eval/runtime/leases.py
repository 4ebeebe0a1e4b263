"""Who may work on what, and what becomes of it when a worker dies: pure accounting, no workers and no waiting.

Work is delivered at least once: a key is out under one lease at a time, and a lost lease (its worker died, or
its time ran out) puts its keys back to the front. A key may itself be what kills workers. So a key has a
bounded number of deliveries; the last one is made alone, to a worker that holds nothing else, so that a key
is never condemned for the company it kept. A key that loses that one too is poisoned: it is not delivered
again, and the caller records it as failed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from maestro_eval.types import RolloutKey


class Lease(Struct, frozen=True):
    """A worker's right to ``keys`` until ``deadline`` (seconds on the queue's clock)."""

    id: int
    worker: str
    keys: tuple[RolloutKey, ...]
    deadline: float


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
    """The keys of a run in order, with the leases on them. Keys are expected to differ."""

    def __init__(
        self,
        keys: Iterable[RolloutKey],
        *,
        lease_s: float = float("inf"),
        deliveries: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = deque(keys)
        self._total = len(self._queue)
        self._lease_s = lease_s
        self._deliveries = deliveries
        self._clock = clock
        self._alone: deque[RolloutKey] = deque()
        self._losses: dict[RolloutKey, int] = {}
        self._leases: dict[int, Lease] = {}
        self._open: dict[int, set[RolloutKey]] = {}
        self._done: set[RolloutKey] = set()
        self._poisoned: set[RolloutKey] = set()
        self._next_id = 1

    def lease(self, worker: str, n: int) -> Lease | None:
        """Up to ``n`` keys for ``worker``, or ``None`` when there is nothing for it now.

        ``None`` does not mean that the run is over (see ``finished``): keys may come back from others.
        """
        held = [lease for lease in self._leases.values() if lease.worker == worker]
        if any(self._is_last_delivery(key) for lease in held for key in lease.keys):
            return None
        keys: list[RolloutKey] = []
        if not held:
            keys = self._take(self._alone, 1)
        if not keys:
            keys = self._take(self._queue, n)
        if not keys:
            return None
        lease = Lease(self._next_id, worker, tuple(keys), self._clock() + self._lease_s)
        self._next_id += 1
        self._leases[lease.id] = lease
        self._open[lease.id] = set(keys)
        return lease

    def complete(self, lease_id: int, keys: Sequence[RolloutKey]) -> list[RolloutKey]:
        """Take ``keys`` as done; those that were not settled before, whose results are to be kept.

        The lease may have been lost meanwhile: a late result is as good as any.
        """
        fresh = []
        for key in keys:
            if key not in self._done and key not in self._poisoned:
                self._done.add(key)
                fresh.append(key)
        rest = self._open.get(lease_id)
        if rest is not None:
            rest.difference_update(keys)
            if not rest:
                del self._open[lease_id], self._leases[lease_id]
        return fresh

    def release(self, worker: str) -> Lost:
        """The worker is gone: what it held goes back to the front of the queue."""
        return self._lose([lease for lease in self._leases.values() if lease.worker == worker])

    def expire(self) -> Lost:
        """Void the leases whose time is over; their workers are to be considered lost."""
        now = self._clock()
        return self._lose([lease for lease in self._leases.values() if lease.deadline <= now])

    def holds(self, lease_id: int) -> bool:
        """Whether a lease is neither complete nor lost."""
        return lease_id in self._leases

    @property
    def finished(self) -> bool:
        """Whether every key is done or poisoned."""
        return len(self._done) + len(self._poisoned) == self._total

    def counts(self) -> LeaseCounts:
        """Where the keys are now."""
        settled = len(self._done) + len(self._poisoned)
        # A key whose lease was lost may be done by its late worker and still be out with, or queued for, another.
        leased = len({key for keys in self._open.values() for key in keys} - self._done)
        return LeaseCounts(self._total - settled - leased, leased, len(self._done), len(self._poisoned))

    def _take(self, queue: deque[RolloutKey], n: int) -> list[RolloutKey]:
        keys: list[RolloutKey] = []
        while queue and len(keys) < n:
            key = queue.popleft()
            if key not in self._done:
                keys.append(key)
        return keys

    def _lose(self, leases: Sequence[Lease]) -> Lost:
        poisoned = []
        # From the last lease and key to the first, so that the front of the queue keeps the order of the plan.
        for lease in reversed(leases):
            del self._leases[lease.id]
            rest = self._open.pop(lease.id)
            for key in reversed(lease.keys):
                if key not in rest or key in self._done:
                    continue
                self._losses[key] = self._losses.get(key, 0) + 1
                if self._losses[key] >= self._deliveries:
                    self._poisoned.add(key)
                    poisoned.append(key)
                elif self._is_last_delivery(key):
                    self._alone.appendleft(key)
                else:
                    self._queue.appendleft(key)
        return Lost(tuple(leases), tuple(reversed(poisoned)))

    def _is_last_delivery(self, key: RolloutKey) -> bool:
        return 0 < self._losses.get(key, 0) == self._deliveries - 1
