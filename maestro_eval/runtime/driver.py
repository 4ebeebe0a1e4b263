"""Rollouts into the journal, under watch: observers are told of each batch, Ctrl-C ends the run, and so does a stall.

The driver's loop runs three things side by side: the executor, a look at it about twice a second (``LiveBoard``,
``StallGuard``), and, in a thread, a watch over the loop itself (``Watchdog``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from maestro_eval.files import write_atomic
from maestro_eval.journal import Finished, Journal
from maestro_eval.policies import DirectSpec, read_policy
from maestro_eval.records import EarlyStop, RolloutKey, RunManifest
from maestro_eval.runtime.early_stopping import StopRule, Umpire
from maestro_eval.runtime.executor import Executor, WorkerFactory
from maestro_eval.runtime.hopeless import HopelessGuard
from maestro_eval.runtime.interrupt import interruptible
from maestro_eval.runtime.observer import Observer
from maestro_eval.runtime.stall import Stall, StallGuard, StallRules, Watchdog, describe
from maestro_eval.runtime.status import LiveBoard, LiveState
from maestro_eval.runtime.threads import run_loop

_LOOK_S = 0.5
STALL_FILE = "stall.json"


class Watcher(Observer):
    """What a run tells whoever shows it; this one shows nothing. Called in the driver's thread but where it is said."""

    def step(self, what: str) -> None:
        """A long step begins."""

    def started(self, manifest: RunManifest, read: Callable[[], LiveState]) -> None:
        """Rollouts are about to start (or to go on); ``read`` says, in any thread, how the run stands."""

    def decided(self, stop: EarlyStop) -> None:
        """A benchmark ends early: nothing more of it is begun."""

    def warn(self, line: str) -> None:
        """The user is to know this now. Called in any thread."""


class Ended(Struct, frozen=True):
    """How the rollouts ended: ``stopped`` before the last one, by the user or for a reason.

    ``given_up`` is the reason, in one line: they stalled, or all failed for one cause.
    """

    stopped: bool
    given_up: str = ""


class Driver:
    """Runs rollouts on ``executor``, ``waiting`` of each task, and commits what comes of them.

    ``stop_rule`` may end tasks before their last key. ``endpoints`` are their names by url. A stalled run leaves all
    that is known of it in ``logs/stall.json``.
    """

    def __init__(
        self,
        journal: Journal,
        waiting: Mapping[str, int],
        executor: Executor,
        factory: WorkerFactory,
        *,
        endpoints: Mapping[str, str],
        watcher: Watcher,
        rules: StallRules = StallRules(),  # noqa: B008  frozen
        stop_rule: StopRule | None = None,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._factory = factory
        self._watcher = watcher
        self._rules = rules
        # It belongs to the loop that first waits for it.
        self._stop = asyncio.Event()
        self._stalled = ""
        manifest = journal.manifest
        after_s = rules.bound(manifest.regime)
        self._guard = StallGuard(after_s)
        self._watchdog = Watchdog(after_s, say=watcher.warn, leave=None if rules.leave is None else self._leave)
        generates = not isinstance(read_policy(manifest.policy), DirectSpec)
        self._board = LiveBoard(journal.planned(), waiting, executor.state, endpoints, generates=generates)
        self._hopeless = HopelessGuard(watcher.warn)
        self._observers: list[Observer] = [self._hopeless, self._board, watcher]
        if stop_rule is not None:
            self._observers.append(Umpire(stop_rule, journal, self._retire, watcher.decided))

    def run(self, keys: Sequence[RolloutKey]) -> Ended:
        """Run ``keys``; called outside of any event loop."""
        self._watcher.started(self._journal.manifest, self._board.read)
        try:
            with self._watchdog:
                return run_loop(self._drive(keys))
        finally:
            for observer in reversed(self._observers):
                observer.close()

    async def _drive(self, keys: Sequence[RolloutKey]) -> Ended:
        with interruptible(self._stop):
            for observer in self._observers:
                observer.begin(self._stop)
            running = asyncio.create_task(self._executor.run(keys, self._factory, self._commit, stop=self._stop))
            async with self._watched(running):
                await asyncio.wait({running})
            self._watchdog.closing()
            try:
                broken_off = self._stop.is_set() or running.cancelled() or running.exception() is not None
                for observer in self._observers:
                    await observer.end(broken_off=broken_off)
            finally:
                # What ended the rollouts is told before what then went wrong with an observer too.
                if not (self._stalled and running.cancelled()):
                    running.result()
        reason = self._hopeless.reason
        hopeless = f"{reason}; the run was ended: fix that, and resume it" if reason else ""
        return Ended(self._stop.is_set() or bool(self._stalled), self._stalled or hopeless)

    def _commit(self, batch: Sequence[Finished]) -> None:
        self._journal.commit(batch)
        for observer in self._observers:
            observer.committed(batch)

    def _retire(self, task: str) -> None:
        self._executor.retire(task)
        self._board.retire(task)

    def _leave(self) -> None:
        self._watcher.close()
        if self._rules.leave is not None:
            self._rules.leave()

    @contextlib.asynccontextmanager
    async def _watched(self, running: asyncio.Task[None]) -> AsyncIterator[None]:
        task = asyncio.create_task(self._look(running))
        task.add_done_callback(self._broke_down)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()
            self._board.publish(stopping=True)

    def _broke_down(self, task: asyncio.Task[None]) -> None:
        """A defect of ours: unwatched, the run would be taken for one that is blocked, and its process be ended."""
        if not task.cancelled() and task.exception() is not None:
            self._stop.set()

    async def _look(self, running: asyncio.Task[None]) -> None:
        """Publish the state about twice a second, and say and end a stall of ``running``."""
        warned = False
        while True:
            state = self._board.publish(stopping=self._stop.is_set())
            self._watchdog.beat()
            # Once it is to stop, the executor's grace time bounds it.
            stall = None if state.stopping or self._stalled else self._guard.check(state)
            if stall is None:
                warned = False
            elif stall.over:
                self._give_up(stall, running)
            elif not warned:
                warned = True
                self._watcher.warn(f"{describe(stall)}; if that lasts as long again, the run is ended")
            await asyncio.sleep(_LOOK_S)

    def _give_up(self, stall: Stall, running: asyncio.Task[None]) -> None:
        """All of it into a file, what fits into a line to the user, and the run to its end."""
        folder = self._journal.folder
        path = folder / "logs" / STALL_FILE
        where = f"all of it is in {path}"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, msgspec.json.format(msgspec.json.encode(stall)) + b"\n")
        except OSError as error:
            where = f"{path} could not be written ({error.strerror})"
        self._stalled = (
            f"the run stalled: {describe(stall)}; what was committed is safe: mend that (a deadline that is too long "
            f"for it: --regime-set rollout_deadline_s=…, or --stall-after), then `maestro-eval resume {folder}` "
            f"goes on; {where}"
        )
        # What has hung for so long gets no grace time.
        running.cancel()
