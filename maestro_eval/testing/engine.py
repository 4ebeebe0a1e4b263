"""Who is served when: slots, a KV cache of so many tokens, prefill and decode, as an inference engine has them.

A request waits in line until a slot and room for its prompt are free. After its prefill it takes the room of its
whole reply (a real engine takes it block by block); where that is not there, it is preempted: it gives its place
back, waits at the head of the line until all of it fits, and does its prefill again. A request that is alone is
never preempted, however large. Prefill and decode take their time for each request alone: a batch does not slow
itself down, which keeps the times of a test exact.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from maestro_eval.testing.behaviour import Latency


@dataclass(slots=True, eq=False)
class _Place:
    """A request in line: what it needs and who waits for it."""

    tokens: int
    ready: asyncio.Future[None]


class Engine:
    """``serve`` takes as long as the request would; the properties say how things stand at this moment."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._line: deque[_Place] = deque()
        self._used_tokens = 0
        self.running = 0
        self.preemptions = 0

    @property
    def waiting(self) -> int:
        """Requests that have no slot."""
        return len(self._line)

    @property
    def cache_usage(self) -> float:
        """The part of the KV cache that is taken, 0 to 1 (a request too large for it counts as all of it)."""
        return min(1.0, self._used_tokens / self._latency.cache_tokens)

    async def serve(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Wait in line, then prefill and decode. Cancellation gives everything back."""
        whole = prompt_tokens + completion_tokens
        held = prompt_tokens
        await self._enter(held)
        try:
            await asyncio.sleep(self._latency.prefill_s(prompt_tokens))
            if self._fits(completion_tokens) or self.running == 1:
                self._used_tokens += completion_tokens
                held = whole
            else:
                self.preemptions += 1
                self._leave(held)
                held = -1
                await self._enter(whole, first=True)
                held = whole
                await asyncio.sleep(self._latency.prefill_s(prompt_tokens))
            await asyncio.sleep(self._latency.decode_s(completion_tokens))
        finally:
            if held >= 0:
                self._leave(held)

    async def _enter(self, tokens: int, *, first: bool = False) -> None:
        place = _Place(tokens, asyncio.get_running_loop().create_future())
        if first:
            self._line.appendleft(place)
        else:
            self._line.append(place)
        self._admit()
        try:
            await place.ready
        except asyncio.CancelledError:
            if place in self._line:
                self._line.remove(place)
                self._admit()
            else:
                self._leave(tokens)
            raise

    def _leave(self, tokens: int) -> None:
        self.running -= 1
        self._used_tokens -= tokens
        self._admit()

    def _admit(self) -> None:
        """Let in from the head of the line what fits; nobody overtakes."""
        while self._line and self._free_slot() and (self._fits(self._line[0].tokens) or self.running == 0):
            place = self._line.popleft()
            self.running += 1
            self._used_tokens += place.tokens
            # A future that was cancelled in this very moment is given back by the one who waited for it.
            if not place.ready.done():
                place.ready.set_result(None)

    def _free_slot(self) -> bool:
        return self.running < self._latency.slots

    def _fits(self, tokens: int) -> bool:
        return self._used_tokens + tokens <= self._latency.cache_tokens
