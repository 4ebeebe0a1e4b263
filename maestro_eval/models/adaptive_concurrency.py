"""Limit the calls in flight at an engine: to a number between 1 and a cap, adjusted to the engine's state.

Pure: no clock, no queue, no network; ``Limiter`` has the places and reports here. The limit starts at the cap, the
user's ``concurrency`` (or the modest default of an endpoint that names none): a cautious start would cost a short run a
fifth of its time.

- An engine that publishes its state (vLLM) queues silently and never refuses. If requests wait there in two consecutive
  polls, the limit becomes at once the number of running requests plus a tenth (enough that no slot is ever empty);
  preemptions and a full cache reduce it by a tenth. While nothing waits there, it grows in small steps.
- For an engine that refuses (429, 503) or lets calls time out, the limit is reduced by three tenths once that happens
  to a twentieth of a round (an occasional failure is not overload), and grows again in small steps.

Any other engine gets the cap. Estimating its slots from the latency of calls costs 0 to 6 % of the throughput (an
experiment takes calls out of flight) and gains nothing: a call waits either there or here. Time-outs count as refusals,
so that a queue which is too long for the callers' time limits becomes shorter.

Trade-off: several processes that call one engine share it only roughly evenly.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from maestro_eval.models.engine_metrics import EngineState

# As a share of the running requests: those that may wait at the engine, so that a free slot is filled at once.
_SLACK = 0.1
_CACHE_FILLING = 0.9
_CACHE_FULL = 0.97
_LESS = 0.9

_REFUSED_SHARE = 0.05
_AFTER_REFUSALS = 0.7


class CallEnd(Struct, frozen=True):
    """The end of a call at the engine. ``began`` is in seconds of any clock, after the wait in our queue.

    ``refused`` is a refusal because of load, or a time-out; ``broken`` is a failure that says nothing about load.
    """

    how: Literal["answered", "refused", "broken"]
    began: float
    seconds: float


class Control:
    """The current ``limit``, which ``finished``, ``observed`` and ``unobserved`` change."""

    def __init__(self, cap: int) -> None:
        self.limit = self.cap = max(1, cap)
        # None if the engine's state cannot be read.
        self._seen: EngineState | None = None
        self._untouched = True
        self._refuses = False
        self._changed_at = -math.inf
        self._open_round()

    def set_cap(self, cap: int) -> None:
        """Change the cap; a limit that was already lowered stays."""
        self.cap = max(1, cap)
        self.limit = self.cap if self._untouched else min(self.limit, self.cap)

    def finished(self, call: CallEnd, in_flight: int) -> None:
        """Record the end of a call; ``in_flight`` counts the calls at the engine, including this one."""
        # A call that began before the last change reflects the load before it.
        if call.began < self._changed_at:
            return
        # An empty queue does not show that the limit is too high: with as many callers as places nobody ever waits.
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
        """Adjust the limit to the engine's state; call about once a second."""
        before, self._seen = self._seen, state
        if before is None:
            return
        # The smaller number of two reads: a burst that the engine is still accepting waits in one read only.
        waiting, running = min(before.waiting, state.waiting), max(before.running, state.running)
        useful = running + _slack(running)
        if waiting + running > useful:
            ours = in_flight * useful / (waiting + running)
            if ours > self.limit:
                # The engine accepts a burst step by step: more requests run now than when the limit was lowered.
                self.limit = min(self.cap, round(ours))
            else:
                self._shrink(ours, now)
        elif state.preemptions > before.preemptions or state.cache_usage >= _CACHE_FULL:
            self._shrink(_LESS * in_flight, now)
        elif in_flight >= self.limit and state.waiting == 0 and not self._full():
            self._grow(max(1, running // 16))

    def unobserved(self) -> None:
        """Record that the engine's state cannot be read now."""
        self._seen = None

    def _full(self) -> bool:
        """Return whether the engine's last state forbids a higher limit."""
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
        """Reset the counts; the length of the round is fixed now, whatever happens to the limit."""
        self._round = self._refused = 0
        self._round_size = max(4, self.limit)


def _slack(running: int) -> int:
    return max(1, math.ceil(_SLACK * running))
