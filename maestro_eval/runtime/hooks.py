"""Hooks: what a user wants called while a run goes on. What one raises is shown and ends nothing.

Hooks are called in order, in one thread beside the run, so that a slow one delays no rollout. What they are behind is
bounded: beyond that, rollouts are not told to them, and how many is shown at the end.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from maestro_eval.journal import Finished
from maestro_eval.plugins import Door
from maestro_eval.records import EarlyStop, Rollout, RunManifest, Sample
from maestro_eval.runtime.driver import Watcher
from maestro_eval.runtime.status import LiveState

_MOST_WAITING = 1000
_SECONDS_TO_END = 30.0


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


class HookedWatcher(Watcher):
    """A watcher that also calls hooks."""

    def __init__(self, watcher: Watcher, hooks: Sequence[Hook]) -> None:
        self._watcher = watcher
        self._hooks = hooks
        self._run: _Run | None = None
        self._lock = threading.Lock()

    def step(self, what: str) -> None:
        self._watcher.step(what)

    def started(self, manifest: RunManifest, read: Callable[[], LiveState]) -> None:
        self._watcher.started(manifest, read)
        self._run = _Run(self._hooks, manifest, self.warn)

    def committed(self, batch: Sequence[Finished]) -> None:
        self._watcher.committed(batch)
        if self._run is not None:
            self._run.committed(batch)

    def decided(self, stop: EarlyStop) -> None:
        self._watcher.decided(stop)

    def warn(self, line: str) -> None:
        self._watcher.warn(line)

    def close(self) -> None:
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.end()
        self._watcher.close()


class _Run:
    """The calls of one run."""

    def __init__(self, hooks: Sequence[Hook], manifest: RunManifest, warn: Callable[[str], None]) -> None:
        self._hooks = hooks
        self._manifest = manifest
        self._warn = warn
        self._waiting: queue.Queue[Finished] = queue.Queue(_MOST_WAITING)
        self._untold = 0
        self._told_of: set[tuple[Hook, str]] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="hooks", daemon=True)
        self._thread.start()

    def committed(self, batch: Sequence[Finished]) -> None:
        for finished in batch:
            try:
                self._waiting.put_nowait(finished)
            except queue.Full:
                self._untold += 1

    def end(self) -> None:
        self._ending.set()
        self._thread.join(_SECONDS_TO_END)
        if self._thread.is_alive():
            self._warn(f"the hooks have not ended after {_SECONDS_TO_END:g} s; what they had still to do is lost")
        if self._untold:
            self._warn(f"the hooks were too slow: {self._untold:,} rollouts were not told to them")

    def _go_on(self) -> None:
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
                if (hook, method) not in self._told_of:
                    self._told_of.add((hook, method))
                    line = " ".join(f"{type(error).__name__}: {error}".split())
                    self._warn(f"hook {type(hook).__name__}: {method} raised {line}; the run goes on")
