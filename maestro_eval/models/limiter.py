"""The places at one engine: which calls may be there now, and the order in which the others follow.

Promises. At the engine are at most as many calls as its limit (see ``Control``), and of one endpoint record at most its
``concurrency``, or this process's share of it. Calls wait in their order of arrival; one overtakes another only if the
other's own record has no free place. A call that is cancelled while it waits, or at the moment it gets a place,
occupies none.

A call occupies at most one place and then waits for nothing but the engine's reply; so calls that wait for calls (a
rollout for its experts) cannot deadlock, however few places there are.

If the limit is lowered, calls at the engine stay, and their number falls as they end. A limiter belongs to one event
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
    """The state of a limiter: its cap, its current limit, and the calls at the engine and in the queue.

    ``answered``, ``refused`` and ``broken`` count the requests that ended so (see ``CallEnd``) since its creation.
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
    """The calls of one process at one endpoint: those in flight and those that wait for a place."""

    in_flight: int = 0
    queued: int = 0


class Limiter:
    """``enter`` and ``leave`` surround each call; ``observed`` and ``unobserved`` report the engine's state."""

    def __init__(
        self, *, allowed: Mapping[str, int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = allowed or {}
        self._clock = clock
        self._control = Control(1)
        self._lines: dict[Endpoint, _Line] = {}
        self._in_flight = 0
        self._queued = 0
        self._arrivals = 0
        self._ends = {"answered": 0, "refused": 0, "broken": 0}

    @property
    def places(self) -> Places:
        return Places(self._control.cap, self._control.limit, self._in_flight, self._queued, **self._ends)

    @property
    def busy(self) -> bool:
        """Return whether any call is at the engine or waits for a place."""
        return self._in_flight + self._queued > 0

    def allow(self, allowed: Mapping[str, int]) -> None:
        """Limit the calls in flight by the endpoint record's name; other records use their ``concurrency``."""
        self._allowed = allowed
        for endpoint, line in self._lines.items():
            line.places = self._places_of(endpoint)
        self._control.set_cap(max((line.places for line in self._lines.values()), default=1))
        self._admit()

    def in_use(self) -> dict[str, InUse]:
        """Return the calls of each endpoint record, by its name."""
        return {endpoint.name: InUse(line.in_flight, line.queued) for endpoint, line in self._lines.items()}

    async def enter(self, endpoint: Endpoint) -> None:
        """Wait for a place; the caller occupies it until ``leave``."""
        line = self._lines.get(endpoint)
        if line is None:
            line = self._lines[endpoint] = _Line(self._places_of(endpoint))
            self._control.set_cap(max(self._control.cap, line.places))
        self._arrivals += 1
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append((self._arrivals, ready))
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
        """Release a place, and record how the call ended."""
        self._ends[end.how] += 1
        self._control.finished(end, self._in_flight)
        self._give_back(self._lines[endpoint])

    def observed(self, state: EngineState) -> None:
        """Adjust the limit to the state that the engine reports."""
        self._control.observed(state, self._clock(), self._in_flight)
        self._admit()

    def unobserved(self) -> None:
        """Record that the engine's state cannot be read."""
        self._control.unobserved()

    def _places_of(self, endpoint: Endpoint) -> int:
        return self._allowed.get(endpoint.name, max(1, endpoint.concurrency))

    def _give_back(self, line: _Line) -> None:
        line.in_flight -= 1
        self._in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        """Admit waiting calls, the earliest first, whose record has a free place."""
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
    """The calls of one endpoint record: the number at the engine, and those that wait, each with its arrival number."""

    places: int
    in_flight: int = 0
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)

    @property
    def queued(self) -> int:
        return sum(not ready.done() for _, ready in self.waiting)

    def next(self) -> int | None:
        """Return the number of the next call to admit; None if none waits or no place is free."""
        # Cancelled calls are already subtracted from the count; those further back cost nothing.
        while self.waiting and self.waiting[0][1].done():
            self.waiting.popleft()
        return self.waiting[0][0] if self.waiting and self.in_flight < self.places else None
