"""Does an engine serve more when it is given more? Found out by experiment, from nothing but how long calls take.

An experiment compares two cohorts: calls begun one after the other at one limit, then as many at twice or half of
it. By Little's law an engine serves in a second its calls at once divided by how long one takes. Where twice as many
calls take (almost) twice as long, the second half of them only waited: the smaller limit is right. Where they take
the same, or somewhat longer as in any batch, the larger is.

Calls differ by orders of magnitude, so each is compared with what is typical of its sort, on a logarithmic scale,
where neither a few very slow nor a few very quick ones matter; and a cohort is as long as the spread of what remains
demands. It counts calls by when they began: the first to *end* after a change would be the short ones. Its slowest
tenth is not waited for.

An experiment that succeeds is followed by the next in its direction, one that was in vain by a rest, twice as long
each time, and then by one in the other direction. Half is tried first, and is asked for the clearer evidence: a
queue at the engine costs little, an idle engine much.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from msgspec import Struct

# Of the difference in load: how much of it must be found again in the latency, when less is tried and when more is.
# Below 1 by what noise takes, well above 0 because a batch that gains from its size is slower too.
_QUEUED_BELOW, _QUEUED_ABOVE = 0.72, 0.5
# Rounds (as many calls as the limit) of rest. Before the first experiment they are these where latencies rose from the
# first round to the second: in a queue calls that find it full wait as long as the last of the first burst did.
_LEAST_REST, _MOST_REST = 4, 64
# Else a short run is left alone: an experiment takes an eighth of its calls out of flight.
_FIRST_REST = 16
_RISEN = 0.2
_SMALLEST_COHORT, _LARGEST_COHORT = 16, 512
# With so many calls for each unit of variance, either mistake is made in about one case of a hundred.
_CALLS_PER_VARIANCE = 100
_AWAITED = 0.9
_LEARNT = 32
_AT_THE_LIMIT = 0.9
_MEMORY = 64
_ROOM = 1.1


class Cohort(Struct, eq=False):
    """Calls begun at one ``limit``: how many it takes and has, how many ended without a reply, the others' paces.

    A pace is how much longer a call took than is typical of its sort, as a logarithm.
    """

    limit: int
    size: int
    taken: int = 0
    lost: int = 0
    paces: list[float] = []

    @property
    def complete(self) -> bool:
        return self.lost + len(self.paces) >= _AWAITED * self.size

    @property
    def pace(self) -> float:
        return sum(self.paces) / len(self.paces) if self.paces else 0.0


class Experiments:
    """Told of each call's begin and end; ``limit`` says what the limit is to be now."""

    def __init__(self) -> None:
        self._typical: dict[Hashable, _Mean] = {}
        self._variance = _Mean()
        self._cohort: Cohort | None = None
        self._control: Cohort | None = None
        self._rest = _FIRST_REST
        # The first two rounds, begun at the first call and dropped once compared; their paces are bare logarithms.
        self._rounds: list[Cohort] | None = None
        self._calls = 0
        self._wait = True
        self._down = True

    def begun(self, in_flight: int, limit: int) -> Cohort | None:
        """The cohort that a call belongs to, if any."""
        if self._rounds is None:
            self._rounds = [Cohort(limit, limit), Cohort(limit, limit)]
        for first in self._rounds:
            if first.taken < first.size:
                first.taken += 1
                return first
        cohort = self._cohort
        if cohort is None or cohort.taken >= cohort.size or in_flight < _AT_THE_LIMIT * limit:
            return None
        cohort.taken += 1
        return cohort

    def ended(self, cohort: Cohort | None, sort: Hashable, seconds: float) -> None:
        """A call was answered."""
        self._calls += 1
        took = math.log(max(seconds, 1e-6))
        typical = self._typical.get(sort)
        pace = None if typical is None else took - typical.value
        if cohort is not None:
            if any(cohort is one for one in self._rounds or ()):
                cohort.paces.append(took)
            elif pace is None:
                cohort.lost += 1
            else:
                cohort.paces.append(pace)
        # Both cohorts are measured against the same.
        if self._cohort is None and sort is not None:
            self._typical.setdefault(sort, _Mean()).add(took)
            if pace is not None:
                self._variance.add(pace * pace)

    def limit(self, limit: int, cap: int, *, wanting: bool) -> int:
        """The limit from now on. ``wanting``: it is reached, so that it matters."""
        cohort = self._cohort
        if self._rounds and all(one.complete for one in self._rounds):
            first, second = self._rounds
            self._rest = _LEAST_REST if second.pace - first.pace > _RISEN else _FIRST_REST
            self._rounds = []
        if cohort is None:
            learnt = self._variance.count >= _LEARNT
            if wanting and learnt and self._calls >= self._wait * self._rest * limit:
                self._cohort = Cohort(limit, self._size())
            return limit
        if cohort.limit != limit:
            self.break_off()
            return limit
        if not cohort.complete:
            return limit
        if self._control is None:
            return self._try(cohort, limit, cap)
        return self._judge(self._control, cohort, cap)

    def break_off(self) -> None:
        """The limit was changed for another reason."""
        self._cohort = self._control = None
        self._calls = 0

    def _try(self, control: Cohort, limit: int, cap: int) -> int:
        other = max(1, limit // 2) if self._down or limit >= cap else min(cap, 2 * limit)
        if other == limit:
            self._conclude(success=False, down=True)
            return limit
        self._control, self._cohort = control, Cohort(other, control.size)
        return other

    def _judge(self, control: Cohort, cohort: Cohort, cap: int) -> int:
        """End the experiment; the limit that it speaks for."""
        down = cohort.limit < control.limit
        small, large = (cohort, control) if down else (control, cohort)
        slower = large.pace - small.pace
        threshold = _QUEUED_BELOW if down else _QUEUED_ABOVE
        queued = slower > threshold * math.log(large.limit / small.limit)
        self._conclude(success=queued == down, down=down)
        if not queued:
            return large.limit
        # What the large limit was served as: between the two, with a little room.
        served = large.limit * math.exp(-slower)
        return max(small.limit, min(large.limit - 1, math.ceil(_ROOM * served)))

    def _conclude(self, *, success: bool, down: bool) -> None:
        self.break_off()
        self._wait = not success
        self._rest = _LEAST_REST if success else min(_MOST_REST, 2 * self._rest)
        self._down = down == success

    def _size(self) -> int:
        size = math.ceil(_CALLS_PER_VARIANCE * self._variance.value)
        return max(_SMALLEST_COHORT, min(_LARGEST_COHORT, size))


class _Mean:
    """A mean that forgets: plain over the first values, exponential after."""

    def __init__(self) -> None:
        self.value = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        self.count = min(self.count + 1, _MEMORY)
        self.value += (value - self.value) / self.count
