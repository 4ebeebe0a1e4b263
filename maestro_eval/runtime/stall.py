"""Detects a run that stalls: names what is stuck, and then ends the run so that it can be resumed.

Every rollout has a deadline and a failed one is a result, so something is committed at least that often. When nothing
is, although rollouts are in flight or wait for running workers, a bound has failed: an event loop is blocked, a machine
is lost, an extension does not return. Two parts detect that:

- ``StallGuard`` compares each ``LiveState`` with the one before, in the driver's loop. It warns after ``after_s`` and
  gives the run up after twice that; a loss that the executor handles itself (a lease that ran out) restarts the time,
  for losses are bounded too.
- ``Watchdog`` is a thread, for when the driver's loop itself is stuck: then nothing in it can act. It names the line at
  which the loop is blocked, with the same two bounds, and then calls ``leave``, by which the owner of the process may
  end it. What was committed is safe at any moment.

Trade-offs: code that never releases the GIL (an extension that computes for ever) stops the thread too. Such a process
must be killed, and its run resumed.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from typing import Self

from msgspec import Struct

from maestro_eval.records import Regime
from maestro_eval.runtime.status import EndpointState, LiveState, WorkerState
from maestro_eval.runtime.threads import READ_S
from maestro_eval.text import printable

# Added to a rollout's own deadlines: the time to commit it, on a slow machine.
_SLACK_S = 60.0
_SHOWN = 5
_NAME = 60
# A worker that is silent for this long, or for half the bound if that is shorter, is reported.
_SILENT_S = 15.0
# The time to close workers and Ray after the last rollout.
CLOSING_S = 180.0


class StallRules(Struct, frozen=True):
    """after_s: the longest time without a commit; ``None``: that of the longest rollout, 0: no bound.

    leave: ends the process, if the caller owns it and the run cannot be ended any more.
    """

    after_s: float | None = None
    leave: Callable[[], None] | None = None

    def bound(self, regime: Regime) -> float:
        """Return the seconds without a commit before a warning; infinite for no bound."""
        if self.after_s is None:
            return longest_rollout(regime)
        return self.after_s or float("inf")


def longest_rollout(regime: Regime) -> float:
    """Return the seconds after which every rollout must have ended."""
    return regime.rollout_deadline_s + READ_S + _SLACK_S


class Stall(Struct, frozen=True):
    """Nothing was committed for ``quiet_s`` seconds; ``state`` is what hung then, ``over`` whether it is given up."""

    quiet_s: float
    state: LiveState
    over: bool


class StallGuard:
    """Detects that successive states are alike, and for how long."""

    def __init__(self, after_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._after_s = after_s
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._since = clock()

    def check(self, state: LiveState) -> Stall | None:
        """Return the stall, if there is one: it is ``over`` after twice the bound."""
        now = self._clock()
        # Changes whenever a run makes progress.
        marks = (state.ended, state.executor.losses, sum(worker.starting for worker in state.executor.workers))
        if marks != self._seen or not _is_due(state):
            self._seen, self._since = marks, now
            return None
        quiet_s = now - self._since
        return Stall(quiet_s, state, over=quiet_s >= 2 * self._after_s) if quiet_s >= self._after_s else None


def _is_due(state: LiveState) -> bool:
    """Return whether a commit is due. Rollouts that wait while workers start do not count: that is bounded."""
    executor = state.executor
    return bool(executor.out) or (executor.queued > 0 and not any(worker.starting for worker in executor.workers))


def describe(stall: Stall) -> str:
    """Describe in one line which rollouts hang, where, since when, and what they may wait for."""
    state = stall.state
    out = state.executor.out
    if not out:
        return (
            f"nothing was committed for {_span(stall.quiet_s)} and no rollout is in flight, though "
            f"{state.executor.queued:,} wait and workers are there: a defect of maestro-eval, please report it"
        )
    named = ", ".join(
        f"{_plain(f'{one.key.task}/{one.key.sample_id}')} for {_span(state.at - one.since)} on {one.worker}"
        for one in out[:_SHOWN]
    )
    more = f" and {len(out) - _SHOWN} more" if len(out) > _SHOWN else ""
    noun = "rollout is" if len(out) == 1 else "rollouts are"
    parts = [f"nothing was committed for {_span(stall.quiet_s)} and {len(out)} {noun} in flight: {named}{more}"]
    parts += [part for worker in state.executor.workers if (part := _silence(worker, stall.quiet_s))]
    busy = [endpoint for endpoint in state.endpoints if endpoint.places.in_flight + endpoint.places.queued]
    parts += [_load(endpoint) for endpoint in busy]
    if not busy:
        parts.append("no call of an endpoint is open, so what hangs is in the workers themselves")
    return "; ".join(parts)


def _silence(worker: WorkerState, quiet_s: float) -> str:
    if worker.starting:
        return f"worker {worker.name} is still starting"
    if worker.silent_s < min(_SILENT_S, quiet_s / 2):
        return ""
    return (
        f"worker {worker.name} has not answered for {_span(worker.silent_s)} (its event loop is blocked, or its "
        "machine is gone)"
    )


def _load(endpoint: EndpointState) -> str:
    places = endpoint.places
    where = endpoint.name if endpoint.name == endpoint.url else f"{endpoint.name} ({endpoint.url})"
    errors = f", {endpoint.errors} requests failed so far" if endpoint.errors else ""
    return f"endpoint {where}: {places.in_flight} calls without a reply, {places.queued} waiting{errors}"


class Watchdog:
    """Checks in its own thread that the loop which calls ``beat`` is alive; a context manager.

    Create it in the loop's thread. say: gets the lines. leave: called, once, when the second bound has passed too.
    """

    def __init__(
        self,
        after_s: float,
        *,
        say: Callable[[str], None],
        leave: Callable[[], None] | None = None,
        closing_s: float = CLOSING_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._after_s = after_s
        self._say = say
        self._leave = leave
        self._closing_s = closing_s
        self._clock = clock
        self._thread = threading.get_ident()
        self._end = threading.Event()
        self._beaten = clock()
        self._closing = False
        self._warned = False

    def beat(self, *, closing: bool = False) -> None:
        """Report that the loop is alive; ``closing``: for the last time, since the run is over."""
        self._beaten, self._warned, self._closing = self._clock(), False, closing

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()

    def look(self) -> None:
        """Warn, or end the process, if that is due."""
        silent_s = self._clock() - self._beaten
        bound = self._closing_s if self._closing else self._after_s
        if silent_s >= bound and not self._warned:
            self._warned = True
            self._say(f"{self._message(silent_s)}; it is given {_span(bound)} more")
        elif silent_s >= 2 * bound and self._leave is not None:
            self._say(f"{self._message(silent_s)}; what was committed is safe: the process ends here, resume the run")
            self._end.set()
            self._leave()

    def _message(self, silent_s: float) -> str:
        where = line_of(self._thread)
        if self._closing:
            return f"the run is over and has not been closed for {_span(silent_s)}, at {where}"
        return f"the driver's event loop has been blocked for {_span(silent_s)}, at {where}"

    def _watch(self) -> None:
        every = max(0.05, min(1.0, self._after_s / 10, self._closing_s / 10))
        while not self._end.wait(every):
            self.look()


def line_of(thread: int) -> str:
    """Return where a thread is: its innermost line, and the innermost outside libraries."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "its end"
    stack = traceback.extract_stack(frame)
    innermost = stack[-1]
    own = next((line for line in reversed(stack) if _is_own(line.filename)), innermost)
    places = dict.fromkeys(f"{line.filename}:{line.lineno} ({line.name})" for line in (innermost, own))
    return ", called from ".join(places)


def _is_own(filename: str) -> bool:
    """Return whether a file is ours or the user's."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return f"{os.sep}maestro_eval{os.sep}" in filename or not any(filename.startswith(path) for path in libraries)


def _plain(name: str) -> str:
    """Shorten a name from a data set, and make it harmless on a terminal."""
    shown = printable(name)
    return shown if len(shown) <= _NAME else shown[: _NAME - 1] + "…"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
