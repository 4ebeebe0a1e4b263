"""Limit the calls that an engine has at once: to a number between 1 and a cap, moved by what the engine shows.

Pure: no clock, no queue, no network; ``Limiter`` keeps the places and reports here. It starts at the cap, the
``concurrency`` that the user gave (or the modest one of an endpoint that names none): a cautious beginning would cost a
short run a fifth of its time.

- An engine that publishes its state (vLLM) queues silently and never refuses. It is read: where requests wait there
  in two looks one after the other, the limit becomes at once what runs and a tenth (enough that no slot is ever
  empty); preemptions and a full cache take a tenth off. While nothing waits there, it grows in small steps.
- An engine that refuses (429, 503), or has let calls time out, loses three tenths of its limit once that happens to
  a twentieth of a round (a server that stumbles now and then is not an overloaded one), and gains in small steps.

Any other engine is given the cap. To find its slots from how long calls take costs 0 to 6 % of the throughput (an
experiment takes calls out of flight) and gains none: whether a call waits there or here, it waits. Time-outs count as
refusals, so that a queue which is too long for the callers' patience becomes shorter.

Trade-off: several processes that call one engine share it only roughly evenly.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from maestro_eval.models.engine_metrics import EngineState

# Of what runs: requests that may wait at the engine, so that a slot that falls free is filled at once.
_SLACK = 0.1
_CACHE_FILLING = 0.9
_CACHE_FULL = 0.97
_LESS = 0.9

_REFUSED_SHARE = 0.05
_AFTER_REFUSALS = 0.7


class CallEnd(Struct, frozen=True):
    """The end of a call at the engine. ``began`` is on any clock, in seconds, the time in our queue not counted.

    ``refused`` is a refusal for load, and a time-out; ``broken`` is all else that says nothing of load.
    """

    how: Literal["answered", "refused", "broken"]
    began: float
    seconds: float


class Control:
    """``limit`` is the number; ``finished``, ``observed`` and ``unobserved`` move it."""

    def __init__(self, cap: int) -> None:
        self.limit = self.cap = max(1, cap)
        # None while the engine's state cannot be read.
        self._seen: EngineState | None = None
        self._untouched = True
        self._refuses = False
        self._changed_at = -math.inf
        self._open_round()

    def set_cap(self, cap: int) -> None:
        """Allow more or less; what was learnt stays."""
        self.cap = max(1, cap)
        self.limit = self.cap if self._untouched else min(self.limit, self.cap)

    def finished(self, call: CallEnd, in_flight: int) -> None:
        """A call ended; ``in_flight``: calls at the engine, this one included."""
        # What began before the last change tells of the load before it.
        if call.began < self._changed_at:
            return
        # That nobody queues does not say that the limit is too high: with as many callers as places nobody ever does.
        saturated = in_flight >= self.limit
        self._round += 1
        if call.how == "refused":
            self._refused += 1
            if self._refused >= _REFUSED_SHARE * self.limit:
                self._refuses = True
                self._shrink(_AFTER_REFUSALS * min(self.limit, in_flight), call.began + call.seconds)
        if self._round >= self._round_size:
            if saturated and self._refuses and self._seen is None:
                self._grow(max(1, self.limit // 8))
            self._open_round()

    def observed(self, state: EngineState, now: float, in_flight: int) -> None:
        """Take the engine's state; about once a second."""
        before, self._seen = self._seen, state
        if before is None:
            return
        # A burst that is only being taken in waits for one look, not for two.
        waiting, running = min(before.waiting, state.waiting), max(before.running, state.running)
        useful = running + _slack(running)
        if waiting + running > useful:
            ours = in_flight * useful / (waiting + running)
            if ours > self.limit:
                # A burst is taken in step by step: more runs now than when the limit came down.
                self.limit = min(self.cap, round(ours))
            else:
                self._shrink(ours, now)
        elif state.preemptions > before.preemptions or state.cache_usage >= _CACHE_FULL:
            self._shrink(_LESS * in_flight, now)
        elif in_flight >= self.limit and state.waiting == 0 and not self._full():
            self._grow(max(1, running // 16))

    def unobserved(self) -> None:
        """The engine's state cannot be read (now)."""
        self._seen = None

    def _full(self) -> bool:
        """Return whether the last look at the engine forbids more."""
        seen = self._seen
        return seen is not None and (seen.waiting > _slack(seen.running) or seen.cache_usage >= _CACHE_FILLING)

    def _grow(self, step: int) -> None:
        self.limit = min(self.cap, self.limit + step)

    def _shrink(self, limit: float, now: float) -> None:
        self.limit = max(1, min(self.limit, round(limit)))
        self._untouched = False
        self._changed_at = now
        self._open_round()

    def _open_round(self) -> None:
        """Count anew; a round is as long as the limit is now, however it moves."""
        self._round = self._refused = 0
        self._round_size = max(4, self.limit)


def _slack(running: int) -> int:
    return max(1, math.ceil(_SLACK * running))
