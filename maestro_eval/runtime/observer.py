"""Observers of a run in progress: displays, and the hooks of a user."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from maestro_eval.journal import Finished
from maestro_eval.plugins import Door, raised_in
from maestro_eval.records import EarlyStop, Rollout, RunManifest, Sample
from maestro_eval.text import one_line

if TYPE_CHECKING:
    from maestro_eval.runtime.status import LiveState

_MOST_WAITING = 1000
_SECONDS_TO_END = 30.0


class Observer:
    """Override what you need. All but ``close`` is called in the driver's loop; an exception there ends the run."""

    def begin(self, stop: asyncio.Event) -> None:
        """Called before the first rollout. Setting ``stop`` ends the run in order."""

    def committed(self, batch: Sequence[Finished]) -> None:
        """Called when ``batch`` is in the journal, between two rollouts: it must not take long."""

    async def end(self, *, broken_off: bool = False) -> None:
        """Called after the last rollout; ``broken_off``: the run was stopped before all had ended."""

    def close(self) -> None:
        """Called when no more rollouts will come, however the run ended, in any thread and sometimes twice."""


class Watcher(Observer):
    """Receives what a display shows of a run; this one shows nothing. Called in the driver's thread unless noted.

    ``hooks`` are called in addition.
    """

    hooks: Sequence[Hook] = ()

    def step(self, what: str) -> AbstractContextManager[None]:
        """Return a context manager around a step before the rollouts that may take long."""
        return nullcontext()

    def started(self, manifest: RunManifest, read: Callable[[], LiveState]) -> None:
        """Called before rollouts start or resume; ``read`` returns the run's state, in any thread."""

    def decided(self, stop: EarlyStop) -> None:
        """Called when a benchmark ends early: no rollout of it begins any more."""

    def warn(self, line: str) -> None:
        """Show the user a line at once. Called in any thread."""


class Hook:
    """Override what you need: ``on_run_start``, then ``on_rollout`` for each committed rollout, then ``on_run_end``.

    ``on_run_end`` is called after an interrupted run too, and each ``resume`` is a run of its own.
    """

    def on_run_start(self, manifest: RunManifest) -> None: ...

    def on_rollout(self, rollout: Rollout, sample: Sample) -> None: ...

    def on_run_end(self, manifest: RunManifest) -> None: ...


def _hook(found: object) -> Callable[[], Hook] | None:
    if isinstance(found, Hook):
        return lambda: found
    return found if isinstance(found, type) and issubclass(found, Hook) else None


HOOKS = Door[Callable[[], Hook]]("hook", "hooks", {}, _hook, "a maestro_eval.Hook; derive a class from it")


class Hooks(Observer):
    """Calls the hooks of one run. ``warn`` shows the user what a hook raises; an exception does not end the run.

    Hooks are called in order, in a thread of their own, so that a slow one delays no rollout. Their queue is bounded:
    when it is full, rollouts are dropped, and how many is shown at the end.
    """

    def __init__(self, hooks: Sequence[Hook], manifest: RunManifest, warn: Callable[[str], None]) -> None:
        self._hooks = hooks
        self._manifest = manifest
        self._warn = warn
        self._waiting: queue.Queue[Finished] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._reported: set[tuple[Hook, str]] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._call_all, name="hooks", daemon=True)

    def begin(self, stop: asyncio.Event) -> None:
        self._thread.start()

    def committed(self, batch: Sequence[Finished]) -> None:
        for finished in batch:
            try:
                self._waiting.put_nowait(finished)
            except queue.Full:
                self._dropped += 1

    def close(self) -> None:
        """Wait, with a time limit, until the hooks have processed the queue; a second call does nothing."""
        if self._ending.is_set() or not self._thread.ident:
            return
        self._ending.set()
        self._thread.join(_SECONDS_TO_END)
        if self._thread.is_alive():
            self._warn(f"the hooks have not ended after {_SECONDS_TO_END:g} s; what they had still to do is lost")
        if self._dropped:
            self._warn(f"the hooks were too slow: {self._dropped:,} rollouts were not passed to them")

    def _call_all(self) -> None:
        self._call("on_run_start", self._manifest)
        while not (self._ending.is_set() and self._waiting.empty()):
            try:
                finished = self._waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            self._call("on_rollout", finished.rollout, finished.sample)
        self._call("on_run_end", self._manifest)

    def _call(self, method: str, *arguments: object) -> None:
        for hook in self._hooks:
            try:
                getattr(hook, method)(*arguments)
            except BaseException as error:
                if (hook, method) not in self._reported:
                    self._reported.add((hook, method))
                    said = one_line(raised_in(type(hook).__module__, error))
                    self._warn(f"hook {type(hook).__name__}: {method} raised {said}; the run goes on")
