"""Leases keys to workers, and recovers the keys of workers that die: pure accounting, no workers and no waiting.

``Order`` decides which key is next. Delivery is at least once: a key has one lease at a time, and a lost lease (its
worker died, or its time ran out) puts its keys back before the others of their tasks. A key may itself be what kills
workers. So a key has a bounded number of deliveries; the last one goes to a worker that has no other lease, so that a
key is never blamed for another one in the same worker. A key that loses that one too is poisoned: it is not delivered
again, and the caller records it as failed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile

from msgspec import Struct

from maestro_eval.records import RolloutKey
from maestro_eval.runtime.scheduler import Order


class Lease(Struct, frozen=True):
    """A worker's right to a key, since when (seconds on the queue's clock); ``id`` tells it from earlier leases."""

    key: RolloutKey
    worker: str
    since: float
    id: int = 0


class LeaseQueue:
    """The keys of a run and the leases on them. Keys must differ; ``keys_of`` counts those of each task.

    expected: seconds that a rollout of a task took before, where known (see ``scheduler.expected_times``).
    lease_s: a worker that has a key for longer counts as dead; must exceed any rollout's deadline.
    """

    def __init__(
        self,
        keys: Iterable[RolloutKey],
        *,
        expected: Mapping[str, float] | None = None,
        lease_s: float = float("inf"),
        deliveries: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._order = Order(keys, expected)
        self.keys_of = self._order.waiting()
        self._total = sum(self.keys_of.values())
        self.lease_s = lease_s
        self._deliveries = deliveries
        self._clock = clock
        self._alone: deque[RolloutKey] = deque()
        # How often each key was lost with its worker, and the sum.
        self._losses: dict[RolloutKey, int] = {}
        self.losses = 0
        # In order of creation, which is also the order of expiry.
        self._leases: dict[int, Lease] = {}
        # By worker, in the same order.
        self._held: dict[str, dict[int, Lease]] = {}
        self._done = 0
        # Done keys that were lost once: only they can have another result. A set of all done keys would take more
        # memory than the plan of a very long run.
        self._done_late: set[RolloutKey] = set()
        self._poisoned: set[RolloutKey] = set()
        self._retired: set[str] = set()
        self._elsewhere: dict[RolloutKey, str] = {}
        self._next_id = 1

    def expect_workers(self, workers: int) -> None:
        """Set the number of workers to expect; with several, the order depends on their speed."""
        self._order.workers = workers

    def lease(self, worker: str, place: str = "") -> Lease | None:
        """Lease a key to ``worker``, which is at ``place``; ``None`` if there is none for it now.

        ``None`` does not mean that the run is over (see ``finished``): keys may come back from other workers.
        """
        held = self._held.setdefault(worker, {})
        # Only a lost key can be on its last delivery: without losses, hundreds of leases need no check.
        if self._losses and any(self._is_last_delivery(lease.key) for lease in held.values()):
            return None
        now = self._clock()
        if self._alone and not held:
            key: RolloutKey | None = self._alone.popleft()
        else:
            key = next((key for key, avoided in self._elsewhere.items() if avoided != place), None)
            if key is not None:
                del self._elsewhere[key]
            # The late result of a lost lease may have arrived while its key was queued again.
            while key is None and (key := self._order.take(worker, now)) in self._done_late:
                self._order.finish(key, now, typical=False)
                key = None
        if key is None:
            return None
        lease = Lease(key, worker, now, self._next_id)
        self._next_id += 1
        self._leases[lease.id] = held[lease.id] = lease
        return lease

    def complete(self, lease: Lease, *, failed: bool = False) -> bool:
        """Mark the key as done; return whether its result counts, that is, it was not settled before.

        The lease may have been lost meanwhile: a late result is as good as any. The time of one that ``failed`` is
        ignored.
        """
        key, ours = lease.key, self.holds(lease)
        if ours:
            self._end(lease, typical=not failed)
        lost = key in self._losses
        # Keys that are neither leased nor lost have completed.
        if not (ours or lost) or key in self._done_late or key in self._poisoned:
            return False
        if not ours and key.task in self._retired and not any(other.key == key for other in self._leases.values()):
            # Its task was retired when the worker lost it, and the worker finished it all the same.
            self._total += 1
        self._done += 1
        if lost:
            self._done_late.add(key)
            if key in self._alone:
                self._alone.remove(key)
        return True

    def retry_elsewhere(self, lease: Lease, place: str) -> bool:
        """Queue a key that failed at ``place`` for a worker elsewhere; return False if the lease is no longer held."""
        if lease.key in self._done_late or lease.key.task in self._retired or not self.holds(lease):
            return False
        self._end(lease, typical=False)
        self._elsewhere[lease.key] = place
        return True

    def stranded(self, places: Collection[str]) -> list[RolloutKey]:
        """Settle and return the keys that wait for another place while ``places`` contains none."""
        left = [key for key, place in self._elsewhere.items() if not any(other != place for other in places)]
        for key in left:
            del self._elsewhere[key]
            self._done += 1
        return left

    def release(self, worker: str) -> list[RolloutKey]:
        """Requeue what a lost worker had leased, before other keys of the same tasks; return poisoned keys."""
        lost = self._lose(list(self._held.get(worker, {}).values()))
        self._order.forget(worker)
        return lost

    def expire(self) -> list[RolloutKey]:
        """Void the leases that have expired, whose workers count as lost; return poisoned keys."""
        now = self._clock()
        # Stops at the first lease that is young enough: this is called often, with thousands of leases.
        return self._lose(list(takewhile(lambda lease: lease.since + self.lease_s <= now, self._leases.values())))

    def retire(self, task: str) -> None:
        """Lease nothing more of ``task``: drop its queued keys, and those that its workers lose later."""
        self._retired.add(task)
        alone = [key for key in self._alone if key.task == task]
        self._alone = deque(key for key in self._alone if key.task != task)
        for key in [key for key in self._elsewhere if key.task == task]:
            del self._elsewhere[key]
            self._total -= 1
        untouched, given_back = self._order.retire(task)
        # A late result may have arrived while its key was queued again.
        self._total -= untouched + sum(key not in self._done_late for key in (*alone, *given_back))

    def holds(self, lease: Lease) -> bool:
        """Return whether a lease is neither complete nor lost."""
        return lease.id in self._leases

    @property
    def finished(self) -> bool:
        """Return whether every key is done or poisoned."""
        return self._done + len(self._poisoned) == self._total

    def out(self) -> tuple[Lease, ...]:
        """Return the leases on keys that are not done yet, the oldest first."""
        return tuple(lease for lease in self._leases.values() if lease.key not in self._done_late)

    @property
    def queued(self) -> int:
        """Return the number of keys that are neither settled nor leased."""
        # A key whose lease was lost may be done by its late worker while another has it, or while it is queued.
        return self._total - self._done - len(self._poisoned) - len(self.out())

    def _end(self, lease: Lease, *, typical: bool) -> None:
        del self._leases[lease.id], self._held[lease.worker][lease.id]
        self._order.finish(lease.key, self._clock(), typical=typical)

    def _lose(self, leases: Sequence[Lease]) -> list[RolloutKey]:
        poisoned = []
        # From the last to the first, so that requeued keys keep the order of the plan.
        for lease in reversed(leases):
            key = lease.key
            self._end(lease, typical=False)
            if key in self._done_late:
                continue
            if key.task in self._retired:
                # Its worker may finish it all the same.
                self._losses.setdefault(key, 0)
                self._total -= 1
                continue
            self._losses[key] = self._losses.get(key, 0) + 1
            self.losses += 1
            if self._losses[key] >= self._deliveries:
                self._poisoned.add(key)
                poisoned.append(key)
            elif self._is_last_delivery(key):
                self._alone.appendleft(key)
            else:
                self._order.give_back([key])
        return poisoned[::-1]

    def _is_last_delivery(self, key: RolloutKey) -> bool:
        return 0 < self._losses.get(key, 0) == self._deliveries - 1
