"""Divides each endpoint's limit of calls at once among the workers, so that it applies to all of them together.

Every worker has an equal share. The places that do not divide evenly (all of them, if there are more workers than
places) go to workers that have calls waiting, and pass to the next of these after ``TURN_S``.

A place moves from one worker to another only when its call has ended, or its worker has: as workers join, leave and
die, the allowed calls never exceed the limit. The requests of a dead worker may be at the server a little longer. Pure
accounting: no workers, no messages and no waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from maestro_eval.models import InUse

# Long enough that the moment in which a moving place is empty does not matter.
TURN_S = 5.0


class Shares:
    """``limits`` are calls at once, by the endpoint's name in the registry. ``clock`` is monotonic seconds."""

    def __init__(self, limits: Mapping[str, int], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoints = {name: _Endpoint(limit, clock) for name, limit in limits.items()}

    def join(self, worker: str) -> None:
        """Add a worker that is up; it may make no call until it gets its share."""
        for endpoint in self._endpoints.values():
            endpoint.allowed[worker] = 0
            endpoint.use[worker] = InUse()

    def leave(self, worker: str) -> None:
        """Remove a worker that has ended."""
        for endpoint in self._endpoints.values():
            for known in (endpoint.allowed, endpoint.use, endpoint.extra, endpoint.passed_on):
                known.pop(worker, None)

    def turn(self) -> None:
        """Pass on the places that do not divide evenly. Call it several times a second."""
        for endpoint in self._endpoints.values():
            endpoint.turn()

    def due(self, worker: str) -> bool:
        """Return whether the worker needs a message: its share has changed, or its calls may have ended."""
        return any(endpoint.next(worker) != endpoint.allowed[worker] for endpoint in self._endpoints.values())

    def grant(self, worker: str) -> dict[str, int]:
        """Return the worker's share, to be sent to it now."""
        return {name: endpoint.grant(worker) for name, endpoint in self._endpoints.items()}

    def on_report(self, worker: str, granted: Mapping[str, int], use: Mapping[str, InUse]) -> None:
        """Record a worker's reply to the share ``granted``: what it uses."""
        for name, endpoint in self._endpoints.items():
            endpoint.on_report(worker, granted[name], use.get(name, InUse()))


class _Endpoint:
    """The places of one endpoint.

    allowed: the most calls that a worker may have there, by the shares sent to it and its replies.
    use: its last reply. extra: workers with one of the places that do not divide evenly, and since when.
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
        # Workers with calls waiting come first; among those, the one that had a place the longest ago.
        others.sort(key=lambda worker: (not self.use[worker].queued, self.passed_on.get(worker, 0.0)))
        for worker in others:
            if len(self.extra) == count and count and self.use[worker].queued and self._may_pass_on(now):
                self._pass_on(now)
            if len(self.extra) < count:
                self.extra[worker] = now

    def next(self, worker: str) -> int:
        """Return what the worker may have now: its share, or as much of it as the others leave."""
        part = self._limit // len(self.allowed) + (worker in self.extra)
        allowed = self.allowed[worker]
        # The sum is computed only when more is wanted, which is rare.
        return part if part <= allowed else min(part, allowed + self._limit - sum(self.allowed.values()))

    def grant(self, worker: str) -> int:
        granted = self.next(worker)
        # It may begin calls as soon as it gets a larger share; only its reply shows that calls have ended.
        self.allowed[worker] = max(self.allowed[worker], granted)
        return granted

    def on_report(self, worker: str, granted: int, use: InUse) -> None:
        self.use[worker] = use
        self.allowed[worker] = max(granted, use.in_flight)

    def _may_pass_on(self, now: float) -> bool:
        worker, since = self._first()
        return now - since >= TURN_S or self.use[worker] == InUse()

    def _pass_on(self, now: float) -> None:
        worker, _ = self._first()
        del self.extra[worker]
        self.passed_on[worker] = now

    def _first(self) -> tuple[str, float]:
        """Return who passes its place on next: a worker that uses none, else the one that has had it the longest."""
        return min(self.extra.items(), key=lambda item: (self.use[item[0]] != InUse(), item[1]))
