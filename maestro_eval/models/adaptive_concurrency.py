"""How many calls an engine should have at once: a number between 1 and a cap, moved by what the engine shows.

Pure: no clock, no queue, no network; ``Limiter`` keeps the places and reports here. It starts at the cap, the
``concurrency`` that the user gave (or the modest one of an endpoint that names none): a cautious beginning would cost a
short run a fifth of its time.

- An engine that publishes its state (vLLM) queues silently and never refuses. It is read: where requests wait there
  in two looks one after the other, the limit becomes at once what runs and a tenth (enough that no slot is ever
  empty); preemptions and a full cache take a tenth off. While nothing waits there, it grows in small steps.
- An engine that refuses (429, 503), or has let calls time out, loses three tenths of its limit once that happens to
  a twentieth of a round (a server that stumbles now and then is not an overloaded one), and gains in small steps.
- Any other engine is judged by experiments (``experiment``): does it serve more, given twice as much?

Trade-offs: several processes that call one engine share it only roughly evenly, and an engine of the third kind is
left alone until it has been called for a while.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Literal

from msgspec import Struct

from maestro_eval.models.concurrency_experiments import Cohort, Experiments
from maestro_eval.models.engine_metrics import EngineState

# Of what runs: requests that may wait at the engine, so that a slot that falls free is filled at once.
_SLACK = 0.1
_CACHE_FILLING = 0.9
_CACHE_FULL = 0.97
_LESS = 0.9

_REFUSED_SHARE = 0.05
_AFTER_REFUSALS = 0.7


class CallEnd(Struct, frozen=True):
    """How a call at the engine ended. ``began`` is on any clock, in seconds, the time in our queue not counted.

    ``refused`` is a refusal for load, and a time-out; ``broken`` is all else that says nothing of load. ``sort`` is
    equal for calls that cost about as much, ``None`` keeps a call out of comparisons. ``cohort`` is what ``begun``
    gave.
    """

    how: Literal["answered", "refused", "broken"]
    began: float
    seconds: float
    sort: Hashable = None
    cohort: Cohort | None = None


class Control:
    """``limit`` is the number; ``begun``, ``finished``, ``observed`` and ``unobserved`` move it."""

    def __init__(self, cap: int) -> None:
        self.limit = self.cap = max(1, cap)
        # None until it is known whether the engine's state can be read.
        self._readable: bool | None = None
        self._seen: EngineState | None = None
        self._untouched = True
        self._refuses = False
        self._changed_at = -math.inf
        self._experiments = Experiments()
        self._open_round()

    def set_cap(self, cap: int) -> None:
        """Allow more or less; what was learnt stays."""
        self.cap = max(1, cap)
        self.limit = self.cap if self._untouched else min(self.limit, self.cap)

    def begun(self, in_flight: int) -> Cohort | None:
        """A call begins; ``in_flight`` counts it. What comes back is given to its ``CallEnd``."""
        return self._experiments.begun(in_flight, self.limit)

    def finished(self, call: CallEnd, *, wanting: bool, in_flight: int) -> None:
        """A call ended. ``wanting``: the limit is reached; ``in_flight``: calls at the engine, this one included."""
        now = call.began + call.seconds
        if call.how == "answered":
            self._experiments.ended(call.cohort, call.sort, call.seconds)
        elif call.cohort is not None:
            call.cohort.lost += 1
        # What began before the last change tells of the load before it.
        if call.began < self._changed_at:
            return
        self._round += 1
        if call.how == "refused":
            self._refused += 1
            if self._refused >= _REFUSED_SHARE * self.limit:
                self._refuses = True
                self._shrink(_AFTER_REFUSALS * min(self.limit, in_flight), now)
        if self._readable is False and not self._refuses:
            limit = self._experiments.limit(self.limit, self.cap, wanting=wanting)
            if limit != self.limit:
                self.limit, self._untouched = limit, False
                self._open_round()
        if self._round >= self._round_size:
            if wanting and self._refuses and not self._readable:
                self._grow(max(1, self.limit // 8))
            self._open_round()

    def observed(self, state: EngineState, now: float, *, wanting: bool, in_flight: int) -> None:
        """How the engine stands; about once a second."""
        before, self._seen, self._readable = self._seen, state, True
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
        elif wanting and state.waiting == 0 and not self._full():
            self._grow(max(1, running // 16))

    def unobserved(self) -> None:
        """The engine's state cannot be read (now)."""
        self._readable, self._seen = False, None

    def _full(self) -> bool:
        """Whether the last look at the engine forbids more."""
        seen = self._seen
        return seen is not None and (seen.waiting > _slack(seen.running) or seen.cache_usage >= _CACHE_FILLING)

    def _grow(self, step: int) -> None:
        self.limit = min(self.cap, self.limit + step)

    def _shrink(self, limit: float, now: float) -> None:
        self.limit = max(1, min(self.limit, round(limit)))
        self._untouched = False
        self._changed_at = now
        self._experiments.break_off()
        self._open_round()

    def _open_round(self) -> None:
        """Count anew; a round is as long as the limit is now, however it moves."""
        self._round = self._refused = 0
        self._round_size = max(4, self.limit)


def _slack(running: int) -> int:
    return max(1, math.ceil(_SLACK * running))
