"""Computes facts for the display from a run's states: pace, time left, and accuracy so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from maestro_eval.analysis import Estimate, wilson
from maestro_eval.journal import Finished
from maestro_eval.records import ScoringProtocol, TaskRecord
from maestro_eval.runtime import LiveState
from maestro_eval.scoring import judge_of, score_rollout

_SHARE = 0.005
_BURST_S = 0.02
# Transcripts are tens of kilobytes.
_STORE = 256
# The pace is that of the last two minutes: a run's beginning and its long tasks predict little.
_WINDOW_S = 120.0
_LEAST_S = 1.0
_UNITS = ("", " k", " M", " G")


class Running(Struct, frozen=True):
    """The rollouts judged of a task, and the sum of their values."""

    judged: int = 0
    total: float = 0.0

    def estimate(self) -> Estimate | None:
        """Return the mean with Wilson's interval at 95 %, as if rollouts of one sample were independent."""
        if not self.judged:
            return None
        return wilson(min(self.total, float(self.judged)), self.judged)


class Judge:
    """Judges rollouts during their run, as far as that costs next to nothing.

    ``offer`` stores committed rollouts (it is cheap and for the driver's thread) and ``work`` judges them in the
    display's thread, within a share of the elapsed time. Beyond that, and beyond a small store, rollouts are not
    judged: the number that was judged is always shown. Metrics that run programs or computer algebra are left out.

    The accuracy is a preview: rollouts that end early are the short ones, and an interval that is read repeatedly does
    not keep its level. The table at the end counts everything.
    """

    def __init__(
        self,
        tasks: Sequence[TaskRecord],
        protocol: ScoringProtocol,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._tasks = {task.name: task for task in tasks if judge_of(task, protocol).live}
        self._protocol = protocol
        self._clock = clock
        self._cpu = cpu
        self._begun = clock()
        self._spent = 0.0
        self._store: deque[Finished] = deque(maxlen=_STORE)
        self._running = {name: Running() for name in self._tasks}

    def offer(self, batch: Sequence[Finished]) -> None:
        """Store rollouts to be judged; if there are too many, drop the oldest."""
        self._store.extend(finished for finished in batch if finished.rollout.key.task in self._tasks)

    def work(self) -> Mapping[str, Running]:
        """Judge rollouts within the time allowed, and return the means of the quick tasks so far."""
        allowed = _BURST_S + _SHARE * (self._clock() - self._begun)
        while self._store and self._spent < allowed:
            begun = self._cpu()
            self._judge(self._store.popleft())
            self._spent += self._cpu() - begun
        return dict(self._running)

    def _judge(self, finished: Finished) -> None:
        name = finished.rollout.key.task
        try:
            value = score_rollout(finished.sample, finished.rollout, self._tasks[name], self._protocol).value
        except Exception:
            # A metric's defect is reported where the scores are computed, not by the display.
            return
        if value is not None:
            before = self._running[name]
            self._running[name] = Running(before.judged + 1, before.total + value)


class Pace(Struct, frozen=True):
    """Rollouts and tokens per second; ``None`` while too little has been seen."""

    rollouts: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None


class Facts(Struct, frozen=True):
    """One moment of the run ``name``. ``running``: the accuracies so far of tasks that can be judged quickly."""

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
        """Seconds since the last commit."""
        # The state may be slightly older than the commit.
        return max(0.0, self.state.at - self.state.moved)


class PaceMeter:
    """Stores the states of the last minutes and computes the pace from them."""

    def __init__(self) -> None:
        self._seen: deque[LiveState] = deque()

    def measure(self, state: LiveState) -> Pace:
        """Return the pace between ``state`` and the earliest one of the window."""
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
    """Drop what the pace does not need: the state is stored for minutes."""
    return LiveState(state.at, state.begun, state.moved, state.tasks, state.tokens)


def span(seconds: float) -> str:
    """Format a time like a clock: ``7:05``, ``3:07:05``, from two days on ``2 d 3 h``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short(number: float) -> str:
    """Format a number with three digits: ``912``, ``4.31 k``, ``12.0 M``."""
    power = 0
    while number >= 999.5 and power < len(_UNITS) - 1:
        number /= 1000
        power += 1
    whole = (power == 0 and number == int(number)) or number >= 99.95
    digits = 0 if whole else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f}{_UNITS[power]}"
