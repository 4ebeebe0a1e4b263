"""The places at one engine: who may call it now, and in which order the others follow.

Promises. No more calls are at the engine than its limit (see ``Control``), and no more of one endpoint record than
its ``concurrency``, or than its part of that where processes share it. Calls wait in the order in which they came; one
passes another only where the other's own record has no place left. A call that is cancelled while it waits, or in the
moment it is given a place, takes none.

A call holds at most one place and waits for nothing while it holds it but the engine's reply; so calls that wait on
calls (a rollout on its experts) cannot block each other, however few places there are.

When the limit comes down, calls that are at the engine stay; there are fewer when they end. It belongs to one event
loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from msgspec import Struct

from maestro_eval.models.adaptive_concurrency import CallEnd, Control
from maestro_eval.models.engine_metrics import EngineState
from maestro_eval.records import Endpoint


class Places(Struct, frozen=True):
    """The state of a limiter: the most it may allow, what it allows now, calls at the engine, calls that wait.

    answered, refused, broken: requests that ended so (see ``CallEnd``) since the limiter was made.
    """

    cap: int
    limit: int
    in_flight: int
    queued: int
    answered: int = 0
    refused: int = 0
    broken: int = 0

    def __add__(self, other: Places) -> Places:
        return Places(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class InUse(Struct, frozen=True):
    """The calls of one process at one endpoint: those that are there and those that wait for a place."""

    in_flight: int = 0
    queued: int = 0


class Limiter:
    """``enter`` and ``leave`` around each call; ``observed`` and ``unobserved`` say what is known of the engine."""

    def __init__(
        self, *, allowed: Mapping[str, int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = allowed or {}
        self._clock = clock
        self._control = Control(1)
        self._lines: dict[Endpoint, _Line] = {}
        self._in_flight = 0
        self._queued = 0
        self._came = 0
        self._ends = {"answered": 0, "refused": 0, "broken": 0}

    @property
    def places(self) -> Places:
        return Places(self._control.cap, self._control.limit, self._in_flight, self._queued, **self._ends)

    @property
    def busy(self) -> bool:
        """Return whether any call is at the engine or waits for a place."""
        return self._in_flight + self._queued > 0

    def allow(self, allowed: Mapping[str, int]) -> None:
        """Let at most so many calls, by the endpoint record's name, be at the engine; the others keep theirs."""
        self._allowed = allowed
        for endpoint, line in self._lines.items():
            line.places = self._places_of(endpoint)
        self._control.set_cap(max((line.places for line in self._lines.values()), default=1))
        self._admit()

    def in_use(self) -> dict[str, InUse]:
        """The calls of each endpoint record, by its name."""
        return {endpoint.name: InUse(line.in_flight, line.queued) for endpoint, line in self._lines.items()}

    async def enter(self, endpoint: Endpoint) -> None:
        """Wait for a place; it is the caller's until ``leave``."""
        line = self._lines.get(endpoint)
        if line is None:
            line = self._lines[endpoint] = _Line(self._places_of(endpoint))
            self._control.set_cap(max(self._control.cap, line.places))
        self._came += 1
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append((self._came, ready))
        self._queued += 1
        self._admit()
        try:
            await ready
        except asyncio.CancelledError:
            if ready.cancelled():
                self._queued -= 1
            else:
                self._give_back(line)
            raise

    def leave(self, endpoint: Endpoint, end: CallEnd) -> None:
        """Give a place back, and tell how the call ended."""
        self._ends[end.how] += 1
        self._control.finished(end, self._in_flight)
        self._give_back(self._lines[endpoint])

    def observed(self, state: EngineState) -> None:
        """Take the state that the engine reports."""
        self._control.observed(state, self._clock(), self._in_flight)
        self._admit()

    def unobserved(self) -> None:
        """The engine does not say how it stands."""
        self._control.unobserved()

    def _places_of(self, endpoint: Endpoint) -> int:
        return self._allowed.get(endpoint.name, max(1, endpoint.concurrency))

    def _give_back(self, line: _Line) -> None:
        line.in_flight -= 1
        self._in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        """Let in who came first of those whose record has a place."""
        while self._in_flight < self._control.limit:
            ready = [(came, line) for line in self._lines.values() if (came := line.next()) is not None]
            if not ready:
                return
            _, line = min(ready, key=itemgetter(0))
            line.waiting.popleft()[1].set_result(None)
            line.in_flight += 1
            self._in_flight += 1
            self._queued -= 1


@dataclass
class _Line:
    """The calls of one endpoint record: how many are at the engine, and those that wait, each with its number."""

    places: int
    in_flight: int = 0
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)

    @property
    def queued(self) -> int:
        return sum(not ready.done() for _, ready in self.waiting)

    def next(self) -> int | None:
        """The number of the call that is to be let in next; ``None`` where none waits or no place is left."""
        # Who was cancelled has been counted out already; in the middle of the line it costs nothing.
        while self.waiting and self.waiting[0][1].done():
            self.waiting.popleft()
        return self.waiting[0][0] if self.waiting and self.in_flight < self.places else None
