"""Runs rollouts, commits them to the journal, notifies observers of each batch, and ends a run on Ctrl-C or a stall.

The driver's loop runs the executor and checks its state about twice a second (``RunStatus``, ``StallGuard``); a thread
watches the loop itself (``Watchdog``).

The first Ctrl-C ends a run in order, the second stops it at once. SIGTERM, which batch systems send, acts likewise.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from weakref import WeakSet

import msgspec
from msgspec import Struct

from maestro_eval.files import write_atomic
from maestro_eval.journal import Finished, Journal, JournalCounts
from maestro_eval.policies import DirectSpec, read_policy
from maestro_eval.records import Failed, UserError
from maestro_eval.runtime.early_stopping import EarlyStopper, StopRule
from maestro_eval.runtime.executor import Executor, WorkerFactory
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.observer import Hooks, Observer, Watcher
from maestro_eval.runtime.stall import Stall, StallGuard, StallRules, Watchdog, describe
from maestro_eval.runtime.status import RunStatus
from maestro_eval.runtime.threads import run_loop
from maestro_eval.scoring import cause_of

_LOOK_S = 0.5
STALL_FILE = "stall.json"
# Large enough that a few samples of one kind do not end a run, and cheap beside what a run costs.
IN_A_ROW = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_stops: dict[threading.Thread, Callable[[], object]] = {}
_stop_requests: WeakSet[threading.Thread] = WeakSet()


class RunOutcome(Struct, frozen=True):
    """The result of a run; ``interrupted``: it was stopped before all rollouts were done.

    ``given_up``: why, in one line, if it was ended because it stalled or because all rollouts failed for one cause.
    """

    folder: Path
    counts: JournalCounts
    interrupted: bool
    given_up: str = ""


class Driver:
    """Runs the keys of ``queue`` on ``executor`` and commits the results.

    ``stop_rule`` may end tasks before their last key. ``endpoints`` maps a url to the endpoint's name. A stalled run is
    described in full in ``logs/stall.json``.
    """

    def __init__(
        self,
        journal: Journal,
        queue: LeaseQueue,
        executor: Executor,
        factory: WorkerFactory,
        *,
        endpoints: Mapping[str, str],
        watcher: Watcher,
        rules: StallRules = StallRules(),  # noqa: B008  frozen
        stop_rule: StopRule | None = None,
    ) -> None:
        self._journal = journal
        self._queue = queue
        self._executor = executor
        self._factory = factory
        self._watcher = watcher
        self._rules = rules
        # Binds to the loop that first waits for it.
        self._stop = asyncio.Event()
        self._stalled = ""
        manifest = journal.manifest
        after_s = rules.bound(manifest.regime)
        self._guard = StallGuard(after_s)
        self._watchdog = Watchdog(after_s, say=watcher.warn, leave=None if rules.leave is None else self._leave)
        generates = not isinstance(read_policy(manifest.policy), DirectSpec)
        self._status = RunStatus(journal.planned(), queue.keys_of, executor.state, endpoints, generates=generates)
        self._hopeless = HopelessGuard(self._stop, watcher.warn)
        self._observers: list[Observer] = [self._hopeless, self._status, watcher]
        if stop_rule is not None:
            self._observers.append(EarlyStopper(stop_rule, journal, self._retire, watcher.decided))
        if watcher.hooks:
            self._observers.append(Hooks(watcher.hooks, manifest, watcher.warn))

    def run(self) -> RunOutcome:
        """Run all keys. Call it outside of any event loop."""
        self._watcher.started(self._journal.manifest, self._status.read)
        try:
            with self._watchdog:
                return run_loop(self._supervise())
        finally:
            self._close()

    def _close(self) -> None:
        for observer in reversed(self._observers):
            observer.close()

    async def _supervise(self) -> RunOutcome:
        with interruptible(self._stop):
            for observer in self._observers:
                observer.begin(self._stop)
            running = asyncio.create_task(self._executor.run(self._queue, self._factory, self._commit, stop=self._stop))
            looking = asyncio.create_task(self._monitor(running))
            try:
                await asyncio.wait({running, looking}, return_when=asyncio.FIRST_COMPLETED)
                if looking.done():
                    # A defect of ours: without these checks the run would count as blocked, and its process be ended.
                    self._stop.set()
                    await asyncio.wait({running})
            finally:
                looking.cancel()
                await asyncio.wait({looking})
                if not looking.cancelled():
                    looking.result()
                self._status.publish(stopping=True)
            self._watchdog.beat(closing=True)
            try:
                broken_off = self._stop.is_set() or running.cancelled() or running.exception() is not None
                for observer in self._observers:
                    await observer.end(broken_off=broken_off)
            finally:
                # Raise what ended the rollouts even if an observer failed afterwards.
                if not (self._stalled and running.cancelled()):
                    running.result()
        reason = self._hopeless.reason
        hopeless = f"{reason}; the run was ended: fix that, and resume it" if reason else ""
        counts = self._journal.counts()
        stopped = self._stop.is_set() or bool(self._stalled)
        return RunOutcome(self._journal.folder, counts, stopped and counts.missing > 0, self._stalled or hopeless)

    def _commit(self, batch: Sequence[Finished]) -> None:
        self._journal.commit(batch)
        for observer in self._observers:
            observer.committed(batch)

    def _retire(self, task: str) -> None:
        self._queue.retire(task)
        self._status.retire(task)

    def _leave(self) -> None:
        self._close()
        if self._rules.leave is not None:
            self._rules.leave()

    async def _monitor(self, running: asyncio.Task[None]) -> None:
        """Publish the state about twice a second; report a stall of ``running`` and end it."""
        warned = False
        while True:
            state = self._status.publish(stopping=self._stop.is_set())
            self._watchdog.beat()
            # After a stop, the executor's grace time is the bound.
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
        """Write the stall into a file, sum it up in a line, and end the run."""
        folder = self._journal.folder
        path = folder / "logs" / STALL_FILE
        where = f"all of it is in {path}"
        try:
            write_atomic(path, msgspec.json.format(msgspec.json.encode(stall)) + b"\n")
        except UserError as error:
            where = str(error)
        self._stalled = (
            f"the run stalled: {describe(stall)}; what was committed is safe: fix that (a deadline that is too long "
            f"for it: --regime-set rollout_deadline_s=…, or --stall-after), then `maestro-eval resume {folder}` "
            f"continues; {where}"
        )
        # Rollouts that have hung for so long get no grace time.
        running.cancel()


def stop_run(thread: threading.Thread) -> None:
    """End another thread's run in order, as Ctrl-C ends the main thread's; also a run that has not begun yet."""
    _stop_requests.add(thread)
    # The loop may close in between.
    with contextlib.suppress(KeyError, RuntimeError):
        _stops[thread]()


@contextlib.contextmanager
def interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` at the first signal; the second acts as in any Python program.

    Uses Python's signal handlers: the loop's own act only when the loop comes round, and a blocked loop could not be
    stopped.
    """
    loop = asyncio.get_running_loop()
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        # Signals reach the main thread only; the main thread may call `stop_run`.
        _stops[thread] = lambda: loop.call_soon_threadsafe(stop.set)
        if thread in _stop_requests:
            stop.set()
        try:
            yield
        finally:
            del _stops[thread]
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: installed by non-Python code.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class HopelessGuard(Observer):
    """Counts rollouts in a row that failed for the same permanent cause, and ends the run at ``most`` of them.

    Faults that may pass (a server that is down or overloaded) are not counted: ``resume`` runs those again. A request
    that only other settings make acceptable (too long, too many images) may be specific to one benchmark: it counts
    only until a rollout succeeds.
    """

    def __init__(self, stop: asyncio.Event, warn: Callable[[str], None], most: int = IN_A_ROW) -> None:
        self._stop = stop
        self._warn = warn
        self._most = most
        self._cause = ""
        self._count = 0
        self._ended_well = False
        self._warned = False
        self.reason = ""

    def committed(self, batch: Sequence[Finished]) -> None:
        """Count the failures in ``batch``, and warn of the first request that the settings do not suit."""
        for finished in batch:
            key, outcome = finished.rollout.key, finished.rollout.outcome
            if not isinstance(outcome, Failed):
                self._ended_well = True
                self._count = 0
                continue
            fault = outcome.fault
            if fault is None or fault.retriable:
                # A fault that a retry may fix is no reason to end the run.
                self._count = 0
                continue
            if fault.needs_settings and not self._warned:
                self._warned = True
                self._warn(
                    f"{key.task} {key.sample_id} failed, and will again with these settings: {fault.detail}; "
                    "resume does not ask it again until they change"
                )
            if fault.needs_settings and self._ended_well:
                self._count = 0
                continue
            cause = cause_of(outcome)
            self._count = self._count + 1 if self._count and cause == self._cause else 1
            self._cause = cause
            if self._count >= self._most and not self.reason:
                self.reason = f"{self._count} rollouts in a row failed for one cause ({cause}): {outcome.detail}"
        if self.reason:
            self._stop.set()
