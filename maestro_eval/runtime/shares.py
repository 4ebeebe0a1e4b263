"""The calls at once that each worker may make at each endpoint, so that an endpoint's limit holds for all of them.

Every worker has an equal part. The places that do not divide evenly (all of them, where there are more workers than
places) go to workers that have calls waiting, and pass to the next of these after ``TURN_S``.

A place that one worker is to lose is given to another only when its call has ended, or its worker has: workers come,
go and die without a moment in which more calls are allowed than the limit. What a dead worker had sent may be at the
server a little longer. Pure accounting: no workers, no messages and no waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from maestro_eval.models import InUse

# So long that the moment in which a place passes on, and is empty, weighs little.
TURN_S = 5.0


class Shares:
    """``limits`` are calls at once, by the endpoint's name in the registry. ``clock`` is monotonic seconds."""

    def __init__(self, limits: Mapping[str, int], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoints = {name: _Endpoint(limit, clock) for name, limit in limits.items()}

    def join(self, worker: str) -> None:
        """Add a worker that is up; it may call nobody until it gets its share."""
        for endpoint in self._endpoints.values():
            endpoint.allowed[worker] = 0
            endpoint.use[worker] = InUse()

    def leave(self, worker: str) -> None:
        """Remove a worker that is gone."""
        for endpoint in self._endpoints.values():
            for known in (endpoint.allowed, endpoint.use, endpoint.extra, endpoint.passed_on):
                known.pop(worker, None)

    def turn(self) -> None:
        """Pass on the places that do not divide evenly; to be called several times a second."""
        for endpoint in self._endpoints.values():
            endpoint.turn()

    def due(self, worker: str) -> bool:
        """Return whether the worker needs a message: its share has changed, or its calls may have ended."""
        return any(endpoint.next(worker) != endpoint.allowed[worker] for endpoint in self._endpoints.values())

    def tell(self, worker: str) -> dict[str, int]:
        """Return the worker's share, to be sent to it now."""
        return {name: endpoint.tell(worker) for name, endpoint in self._endpoints.items()}

    def heard(self, worker: str, told: Mapping[str, int], use: Mapping[str, InUse]) -> None:
        """Note a worker's reply to the share ``told``: what it uses."""
        for name, endpoint in self._endpoints.items():
            endpoint.heard(worker, told[name], use.get(name, InUse()))


class _Endpoint:
    """The places of one endpoint.

    allowed: calls that a worker may have there at most, by what it was told and has replied.
    use: its last reply. extra: who has one of the places that do not divide evenly, and since when.
    passed_on: when it last passed one on.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self.allowed: dict[str, int] = {}
        self.use: dict[str, InUse] = {}
        self.extra: dict[str, float] = {}
        self.passed_on: dict[str, float] = {}

    def turn(self) -> None:
        if not self.allowed:
            return
        now, count = self._clock(), self._limit % len(self.allowed)
        while len(self.extra) > count:
            self._pass_on(now)
        others = [worker for worker in self.allowed if worker not in self.extra]
        # Who has calls waiting goes first; among those, who had a place the longest ago.
        others.sort(key=lambda worker: (not self.use[worker].queued, self.passed_on.get(worker, 0.0)))
        for worker in others:
            if len(self.extra) == count and count and self.use[worker].queued and self._may_pass_on(now):
                self._pass_on(now)
            if len(self.extra) < count:
                self.extra[worker] = now

    def next(self, worker: str) -> int:
        """Return what the worker may have now: its share, or as much of it as the others have left."""
        part = self._limit // len(self.allowed) + (worker in self.extra)
        allowed = self.allowed[worker]
        # Sums are made only where more is wanted, which is rare.
        return part if part <= allowed else min(part, allowed + self._limit - sum(self.allowed.values()))

    def tell(self, worker: str) -> int:
        told = self.next(worker)
        # It may begin calls as soon as it is told of more; that it has ended some is known from its reply.
        self.allowed[worker] = max(self.allowed[worker], told)
        return told

    def heard(self, worker: str, told: int, use: InUse) -> None:
        self.use[worker] = use
        self.allowed[worker] = max(told, use.in_flight)

    def _may_pass_on(self, now: float) -> bool:
        worker, since = self._first()
        return now - since >= TURN_S or self.use[worker] == InUse()

    def _pass_on(self, now: float) -> None:
        worker, _ = self._first()
        del self.extra[worker]
        self.passed_on[worker] = now

    def _first(self) -> tuple[str, float]:
        """The next to pass its place on: one that uses none, else the one that has had it the longest."""
        return min(self.extra.items(), key=lambda item: (self.use[item[0]] != InUse(), item[1]))
