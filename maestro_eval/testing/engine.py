"""Simulates the scheduling of an inference engine: slots, a KV cache, prefill and decode.

A request queues until a slot and cache for its prompt are free. After its prefill it allocates the cache of its whole
reply (a real engine allocates block by block). If that does not fit, it is preempted: it frees its slot and cache,
queues at the head until all of it fits, and repeats its prefill. A request that runs alone is never preempted, however
large. Concurrent requests do not slow each other down, which keeps the times of a test exact.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from maestro_eval.testing.behaviour import Latency


@dataclass(slots=True, eq=False)
class _Queued:
    """A queued request: the tokens that it needs, and the future that admits it."""

    tokens: int
    ready: asyncio.Future[None]


class Engine:
    """The simulated engine. ``serve`` takes as long as the request would; the properties are the current state."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self._queue: deque[_Queued] = deque()
        self._used_tokens = 0
        self.running = 0
        self.preemptions = 0

    @property
    def waiting(self) -> int:
        """The number of queued requests."""
        return len(self._queue)

    @property
    def cache_usage(self) -> float:
        """The used share of the KV cache, 0 to 1 (also for a request larger than the cache)."""
        return min(1.0, self._used_tokens / self._latency.cache_tokens)

    async def serve(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Queue, prefill and decode. Cancellation frees the slot and the cache."""
        whole = prompt_tokens + completion_tokens
        allocated = prompt_tokens
        await self._enter(allocated)
        try:
            await asyncio.sleep(self._latency.prefill_s(prompt_tokens))
            if self._fits(completion_tokens) or self.running == 1:
                self._used_tokens += completion_tokens
                allocated = whole
            else:
                self.preemptions += 1
                self._leave(allocated)
                allocated = -1
                await self._enter(whole, first=True)
                allocated = whole
                await asyncio.sleep(self._latency.prefill_s(prompt_tokens))
            await asyncio.sleep(self._latency.decode_s(completion_tokens))
        finally:
            if allocated >= 0:
                self._leave(allocated)

    async def _enter(self, tokens: int, *, first: bool = False) -> None:
        queued = _Queued(tokens, asyncio.get_running_loop().create_future())
        if first:
            self._queue.appendleft(queued)
        else:
            self._queue.append(queued)
        self._admit()
        try:
            await queued.ready
        except asyncio.CancelledError:
            if queued in self._queue:
                self._queue.remove(queued)
                self._admit()
            else:
                self._leave(tokens)
            raise

    def _leave(self, tokens: int) -> None:
        self.running -= 1
        self._used_tokens -= tokens
        self._admit()

    def _admit(self) -> None:
        """Admit requests from the head of the queue while they fit; none overtakes another."""
        while self._queue and self._free_slot() and (self._fits(self._queue[0].tokens) or self.running == 0):
            queued = self._queue.popleft()
            self.running += 1
            self._used_tokens += queued.tokens
            # If the future was cancelled meanwhile, its waiter frees the slot and the cache.
            if not queued.ready.done():
                queued.ready.set_result(None)

    def _free_slot(self) -> bool:
        return self.running < self._latency.slots

    def _fits(self, tokens: int) -> bool:
        return self._used_tokens + tokens <= self._latency.cache_tokens
