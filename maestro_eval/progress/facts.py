"""What is shown of a run, made of its states: pace, time left, and the latest state itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from maestro_eval.progress.accuracy import Running
from maestro_eval.runtime import LiveState

# A pace is that of the last two minutes: a run's beginning and its long tasks say little of what is to come.
_WINDOW_S = 120.0
_LEAST_S = 1.0
_UNITS = ("", " k", " M", " G")


class Pace(Struct, frozen=True):
    """Rollouts and tokens a second; ``None`` while too little has been seen."""

    rollouts: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None


class Facts(Struct, frozen=True):
    """A moment of the run called ``name``. ``running``: the accuracies so far of tasks that can be judged quickly."""

    name: str
    state: LiveState
    pace: Pace
    running: Mapping[str, Running]

    @property
    def elapsed_s(self) -> float:
        return self.state.at - self.state.begun

    @property
    def left_s(self) -> float | None:
        """Seconds until the last rollout has ended, at this pace."""
        if not self.state.left:
            return 0.0
        return self.state.left / self.pace.rollouts if self.pace.rollouts else None

    @property
    def quiet_s(self) -> float:
        """Seconds since something was committed."""
        # The look may be a little older than the commit.
        return max(0.0, self.state.at - self.state.moved)


class PaceMeter:
    """Remembers some states to tell the pace by."""

    def __init__(self) -> None:
        self._seen: deque[LiveState] = deque()

    def measure(self, state: LiveState) -> Pace:
        """The pace between ``state`` and the earliest that is not too old."""
        seen = self._seen
        if not seen or state.at > seen[-1].at:
            seen.append(_slim(state))
        while len(seen) > 1 and seen[1].at <= state.at - _WINDOW_S:
            seen.popleft()
        first = seen[0]
        seconds = state.at - first.at
        if seconds < _LEAST_S or state.ended == first.ended:
            return Pace()
        return Pace(
            (state.ended - first.ended) / seconds,
            (state.tokens.prompt_tokens - first.tokens.prompt_tokens) / seconds,
            (state.tokens.completion_tokens - first.tokens.completion_tokens) / seconds,
        )


def _slim(state: LiveState) -> LiveState:
    """Without what a pace is not told by: it is kept for minutes."""
    return LiveState(state.at, state.begun, state.moved, state.tasks, state.tokens)


def span(seconds: float) -> str:
    """As a clock shows it: ``7:05``, ``3:07:05``, from two days on ``2 d 3 h``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short(number: float) -> str:
    """Three figures: ``912``, ``4.31 k``, ``12.0 M``."""
    power = 0
    while number >= 999.5 and power < len(_UNITS) - 1:
        number /= 1000
        power += 1
    whole = (power == 0 and number == int(number)) or number >= 99.95
    digits = 0 if whole else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f}{_UNITS[power]}"
