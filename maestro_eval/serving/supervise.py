"""Supervises engines: starts each, waits until it answers, restarts it when it dies, and ends all of them cleanly.

The parent of every engine is a watcher process (see ``watcher``). Only we have the pipe to its standard input: when we
die, by whatever signal, the kernel closes it and the watcher ends the engine. Engines on one GPU are started one
after the other, because each measures the free memory while it starts.

An engine is given up after ``Restarts.failed_starts`` starts in a row without an answer, or ``Restarts.deaths`` deaths
within ``window_s``. An engine that runs but does not answer ``/health`` for ``Supervision.silent_s`` counts as dead;
the time is long, because a busy engine answers late.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import aiohttp
from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.serving.launch import Launch

_WATCHER = Path(__file__).with_name("watcher.py")
_TAIL_BYTES = 8192

State = Literal["starting", "ready", "died", "given up", "stopped"]


class Event(Struct, frozen=True):
    """A change of an engine's state. ``address`` ends in ``/v1`` or is empty; ``detail`` is the cause or the log."""

    engine: str
    state: State
    address: str
    detail: str = ""


class Death(Struct, frozen=True):
    """The death of an engine ``at`` a monotonic time."""

    at: float
    was_ready: bool


class Restarts(Struct, frozen=True):
    """Limits on an engine's restarts, and the delays before them, which double from ``first_s`` to ``longest_s``."""

    failed_starts: int = 3
    deaths: int = 5
    window_s: float = 1800.0
    first_s: float = 1.0
    longest_s: float = 60.0

    def delay(self, deaths: Sequence[Death], now: float) -> float | None:
        """Return the seconds until the next start, or None to give up. ``deaths`` lists all so far, the latest last."""
        last = deaths[-self.failed_starts :]
        recent = sum(now - death.at < self.window_s for death in deaths)
        if (len(last) == self.failed_starts and not any(death.was_ready for death in last)) or recent >= self.deaths:
            return None
        return min(self.longest_s, self.first_s * 2.0 ** max(recent - 1, 0))


class Supervision(Struct, frozen=True):
    """Time limits: ``start_s`` includes the download of the weights; ``grace_s`` is between SIGTERM and SIGKILL.

    A ready engine's health is polled every ``ask_every_s``, with a timeout of ``ask_s``.
    """

    restarts: Restarts = Restarts()
    start_s: float = 3600.0
    silent_s: float = 120.0
    grace_s: float = 15.0
    ask_every_s: float = 5.0
    ask_s: float = 10.0


class Stop:
    """The user's request to end everything: ``now`` is set by the first, ``hurry`` (no grace) by the second."""

    def __init__(self) -> None:
        self.now = asyncio.Event()
        self.hurry = asyncio.Event()

    def ask(self) -> None:
        """Set ``now``, or ``hurry`` if ``now`` is set already."""
        (self.hurry if self.now.is_set() else self.now).set()


Report = Callable[[Event], None]


class Supervisor:
    """Runs the ``launches`` of one machine; ``report`` receives every change of state."""

    def __init__(
        self, launches: Sequence[Launch], logs: Path, report: Report, supervision: Supervision | None = None
    ) -> None:
        self._launches = launches
        self._logs = logs
        self._report = report
        self._settings = supervision or Supervision()
        self._locks = {gpu: asyncio.Lock() for gpu in sorted({gpu for launch in launches for gpu in launch.gpus})}

    async def run(self, stop: Stop) -> None:
        """Run the engines until ``stop`` or until all are given up; when this returns, none runs."""
        # Proxies are ignored, because engines are on this machine.
        timeout = aiohttp.ClientTimeout(total=self._settings.ask_s)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session, asyncio.TaskGroup() as group:
            for launch in self._launches:
                group.create_task(self._supervise(launch, session, stop))

    async def _supervise(self, launch: Launch, session: aiohttp.ClientSession, stop: Stop) -> None:
        log = self._logs / launch.log_name
        deaths: list[Death] = []
        while not stop.now.is_set():
            process = _EngineProcess(launch, log, self._settings, session, stop)
            try:
                async with self._exclusive(launch.gpus):
                    if stop.now.is_set():
                        break
                    self._send(launch, "starting", f"log: {log}")
                    await process.begin()
                    cause = await process.until_ready()
                if not cause:
                    self._send(launch, "ready")
                    cause = await process.until_dead()
            finally:
                await process.end()
            if stop.now.is_set():
                break
            deaths.append(Death(time.monotonic(), process.was_ready))
            delay = self._settings.restarts.delay(deaths, time.monotonic())
            if delay is None:
                self._send(
                    launch,
                    "given up",
                    f"it {cause}, {_times(len(deaths))} by now; last line: {process.last_line()} (log: {log})",
                )
                return
            self._send(launch, "died", f"it {cause}; starting again in {delay:g} s (log: {log})")
            await _wait(stop.now, delay)
        self._send(launch, "stopped")

    @contextlib.asynccontextmanager
    async def _exclusive(self, gpus: Sequence[str]) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            # Locks are acquired in one order to prevent a deadlock.
            for gpu in sorted(set(gpus)):
                await stack.enter_async_context(self._locks[gpu])
            yield

    def _send(self, launch: Launch, state: State, detail: str = "") -> None:
        self._report(Event(launch.name, state, f"{launch.address}/v1", detail))


class _EngineProcess:
    """One process of an engine, under its watcher."""

    def __init__(
        self, launch: Launch, log: Path, settings: Supervision, session: aiohttp.ClientSession, stop: Stop
    ) -> None:
        self._launch = launch
        self._log = log
        self._settings = settings
        self._session = session
        self._stop = stop
        self._process: asyncio.subprocess.Process | None = None
        self._began_at = 0
        self.was_ready = False

    async def begin(self) -> None:
        """Start the engine under its watcher."""
        with open_log(self._log) as log:
            self._began_at = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_WATCHER), str(self._settings.grace_s), *self._launch.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._launch.environment},
                # Ctrl-C must reach only us; we end the engine.
                start_new_session=True,
            )  # fmt: skip

    async def until_ready(self) -> str:
        """Wait until the engine answers and return "", or return why it does not."""
        deadline = time.monotonic() + self._settings.start_s
        while not self._stop.now.is_set():
            if await self._answers():
                self.was_ready = True
                return ""
            if await self._ended_within(0.5):
                return f"ended with {self._exit()} before it answered"
            if time.monotonic() > deadline:
                return f"did not answer within {self._settings.start_s:g} s"
        return "was stopped"

    async def until_dead(self) -> str:
        """Wait until the engine dies, or until a stop, and return the cause."""
        answered_at = time.monotonic()
        while not self._stop.now.is_set():
            if await self._ended_within(self._settings.ask_every_s):
                return f"ended with {self._exit()}"
            if await self._answers():
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at > self._settings.silent_s:
                return f"has not answered for {self._settings.silent_s:g} s"
        return "was stopped"

    async def end(self) -> None:
        """End the engine and all its descendants; return when none is left."""
        if self._process is None:
            return
        process = self._process
        ending = asyncio.ensure_future(process.wait())
        if process.returncode is None:
            self._signal()
            if not await _first(ending, self._stop.hurry):
                self._signal()
        await ending
        if process.stdin is not None:
            process.stdin.close()

    def last_line(self) -> str:
        """Return the last printable line that this process logged."""
        try:
            with self._log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._began_at, size - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        said = next((line.strip() for line in reversed(lines) if line.strip()), "none")
        return "".join(letter if letter.isprintable() else " " for letter in said)[:300]

    def _signal(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    async def _ended_within(self, seconds: float) -> bool:
        """Wait for the end of the process, a stop or the timeout; return True if the process has ended."""
        assert self._process is not None
        ending = asyncio.ensure_future(self._process.wait())
        await _first(ending, self._stop.now, seconds)
        if not ending.done():
            ending.cancel()
        return self._process.returncode is not None

    async def _answers(self) -> bool:
        """Return True if ``/health`` answers, or the list of models if the server has no ``/health``."""
        health = await self._status("/health")
        if health == 404:
            # 401: the server runs and requires a key.
            return await self._status("/v1/models") in (200, 401)
        return health == 200

    async def _status(self, path: str) -> int | None:
        try:
            async with self._session.get(f"{self._launch.address}{path}") as reply:
                return reply.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def _exit(self) -> str:
        assert self._process is not None
        code = self._process.returncode or 0
        if code > 128:
            with contextlib.suppress(ValueError):
                return signal.Signals(code - 128).name
        return f"code {code}"


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending. Raise UserError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
        log.seek(0, os.SEEK_END)
        return log
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


async def _first(task: asyncio.Future[int], event: asyncio.Event, seconds: float | None = None) -> bool:
    """Wait for ``task``, ``event`` or the timeout; return True if ``task`` is done."""
    waiting = asyncio.ensure_future(event.wait())
    both: set[asyncio.Future[Any]] = {task, waiting}
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        waiting.cancel()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
