"""Rollouts into the journal, under watch: whoever shows the run is told, Ctrl-C ends it, and so does standing still.

The driver's loop runs three things side by side: the executor, a look at it about twice a second (``LiveBoard``,
``StallGuard``), and, in a thread, a watch over the loop itself (``Watchdog``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

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
from maestro_eval.runtime.stall import Stall, StallGuard, StallRules, Watchdog, describe
from maestro_eval.runtime.status import LiveBoard, LiveState
from maestro_eval.runtime.threads import run_loop

_LOOK_S = 0.5
STALL_FILE = "stall.json"


class Watcher:
    """What a run tells whoever shows it; this one shows nothing. Called in the driver's thread but where it is said."""

    def step(self, what: str) -> None:
        """A long step begins."""

    def begin(self, manifest: RunManifest, read: Callable[[], LiveState]) -> None:
        """Rollouts are about to start (or to go on); ``read`` says, in any thread, how the run stands."""

    def committed(self, batch: Sequence[Finished]) -> None:
        """These are in the journal. Called between two rollouts: it must not take long."""

    def decided(self, stop: EarlyStop) -> None:
        """A benchmark ends early: nothing more of it is begun."""

    def warn(self, line: str) -> None:
        """The user is to know this now. Called in any thread."""

    def end(self) -> None:
        """No more rollouts will come. Called in any thread, and at times twice."""


class Conducted(Struct, frozen=True):
    """How the rollouts ended: ``stopped`` before the last one, by the user or for a reason.

    ``given_up`` is the reason, in one line: they stalled, or all failed for one cause.
    """

    stopped: bool
    given_up: str = ""


def conduct(
    journal: Journal,
    keys: Sequence[RolloutKey],
    waiting: Mapping[str, int],
    executor: Executor,
    factory: WorkerFactory,
    *,
    endpoints: Mapping[str, str],
    watcher: Watcher,
    rules: StallRules = StallRules(),  # noqa: B008  frozen
    stop_rule: StopRule | None = None,
) -> Conducted:
    """Run ``keys``, ``waiting`` of each task, on ``executor`` and commit what comes of them.

    ``stop_rule`` may end tasks before their last key. ``endpoints`` are their names by url. It is called outside of
    any event loop. A stalled run leaves all that is known of it in ``logs/stall.json``.
    """
    manifest = journal.manifest
    after_s = rules.bound(manifest.regime)
    board = LiveBoard(
        journal.planned(),
        waiting,
        executor.state,
        endpoints,
        generates=not isinstance(read_policy(manifest.policy), DirectSpec),
    )

    def retire(task: str) -> None:
        executor.retire(task)
        board.retire(task)

    umpire = None if stop_rule is None else Umpire(stop_rule, journal, retire, watcher.decided)

    hopeless = HopelessGuard()
    # It belongs to the loop that first waits for it.
    stop = asyncio.Event()

    def commit(batch: Sequence[Finished]) -> None:
        journal.commit(batch)
        if warning := hopeless.committed(batch):
            watcher.warn(warning)
        if hopeless.reason:
            stop.set()
        board.committed(batch)
        watcher.committed(batch)
        if umpire is not None:
            umpire.committed(batch)

    def leave() -> None:
        watcher.end()
        if rules.leave is not None:
            rules.leave()

    watchdog = Watchdog(after_s, say=watcher.warn, leave=leave if rules.leave is not None else None)

    async def drive() -> Conducted:
        with interruptible(stop):
            if umpire is not None:
                umpire.begin(stop)
            running = asyncio.create_task(executor.run(keys, factory, commit, stop=stop))
            look = _Look(board, StallGuard(after_s), watchdog, watcher, stop, running, journal.folder)
            async with look.going_on():
                await asyncio.wait({running})
            watchdog.closing()
            try:
                if umpire is not None:
                    broken_off = stop.is_set() or running.cancelled() or running.exception() is not None
                    await umpire.end(broken_off=broken_off)
            finally:
                # What ended the rollouts is told before what then went wrong with the umpire too.
                if not (look.stalled and running.cancelled()):
                    running.result()
        ended = f"{hopeless.reason}; the run was ended: fix that, and resume it" if hopeless.reason else ""
        return Conducted(stop.is_set() or bool(look.stalled), look.stalled or ended)

    watcher.begin(manifest, board.read)
    try:
        with watchdog:
            return run_loop(drive())
    finally:
        if umpire is not None:
            umpire.close()
        watcher.end()


class _Look:
    """The look at the run that goes on beside it."""

    def __init__(
        self,
        board: LiveBoard,
        guard: StallGuard,
        watchdog: Watchdog,
        watcher: Watcher,
        stop: asyncio.Event,
        running: asyncio.Task[None],
        folder: Path,
    ) -> None:
        self._board = board
        self._guard = guard
        self._watchdog = watchdog
        self._watcher = watcher
        self._stop = stop
        self._running = running
        self._folder = folder
        self._warned = False
        self.stalled = ""

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._go_on())
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

    async def _go_on(self) -> None:
        while True:
            state = self._board.publish(stopping=self._stop.is_set())
            self._watchdog.beat()
            # Once it is to stop, the executor's grace time bounds it.
            stall = None if state.stopping or self.stalled else self._guard.check(state)
            if stall is None:
                self._warned = False
            elif stall.over:
                self._give_up(stall)
            elif not self._warned:
                self._warned = True
                self._watcher.warn(f"{describe(stall)}; if that lasts as long again, the run is ended")
            await asyncio.sleep(_LOOK_S)

    def _give_up(self, stall: Stall) -> None:
        """All of it into a file, what fits into a line to the user, and the run to its end."""
        path = self._folder / "logs" / STALL_FILE
        where = f"all of it is in {path}"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, msgspec.json.format(msgspec.json.encode(stall)) + b"\n")
        except OSError as error:
            where = f"{path} could not be written ({error.strerror})"
        self.stalled = (
            f"the run stalled: {describe(stall)}; what was committed is safe: mend that (a deadline that is too long "
            f"for it: --regime-set rollout_deadline_s=…, or --stall-after), then `maestro-eval resume {self._folder}` "
            f"goes on; {where}"
        )
        # What has hung for so long gets no grace time.
        self._running.cancel()
