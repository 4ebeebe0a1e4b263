"""The watchers: each hears what a run tells, and shows it from a thread of its own, so that the run never waits."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Protocol

from maestro_eval.analysis.published import training_warning
from maestro_eval.journal import Finished
from maestro_eval.progress.accuracy import Judge
from maestro_eval.progress.facts import Facts, PaceMeter
from maestro_eval.progress.lines import last_line, line
from maestro_eval.progress.prometheus import MetricsServer
from maestro_eval.progress.thoughts import where_thoughts_are
from maestro_eval.records import RunManifest
from maestro_eval.report.table import printable
from maestro_eval.runtime import LiveState, Watcher
from maestro_eval.scoring import check_protocol

if TYPE_CHECKING:
    from rich.live import Live

# A log gets a line after a minute, then after twice as long again and again.
_PLAIN_EVERY_S = 60.0
_PLAIN_SELDOM_S = 600.0
_STEP_S = 5.0
_LIVE_EVERY_S = 0.5
# The least that metrics are made anew after; scrapers come every few seconds.
_METRICS_EVERY_S = 1.0


def make_watcher(
    *,
    quiet: bool,
    file: IO[str] | None = None,
    protocol: str = "official",
    metrics_port: int | None = None,
) -> Watcher:
    """The watcher that fits where ``file`` (standard error) leads.

    ``quiet`` shows warnings only. ``protocol``: the rules of the running accuracy. ``metrics_port``: serve metrics on
    loopback, 0 for any free port; UserError where it is taken.
    """
    target = file if file is not None else sys.stderr
    view: _View = _Silence(target) if quiet else _Screen(target) if target.isatty() else _Log(target)
    return _Shown(view, protocol, metrics_port)


class _View(Protocol):
    """Where a run is shown. ``every_s``: how often it wants to be told, ``None`` for never."""

    @property
    def every_s(self) -> float | None: ...

    def say(self, text: str) -> None:
        """A line that stays."""

    def warn(self, text: str) -> None:
        """The same, to be noticed."""

    def open(self) -> None: ...

    def show(self, facts: Facts) -> None: ...

    def close(self, facts: Facts) -> None: ...


class _Shown(Watcher):
    """A run shown in a view, and served as metrics."""

    def __init__(self, view: _View, protocol: str, metrics_port: int | None) -> None:
        self._view = view
        self._protocol = check_protocol(protocol)
        self._lock = threading.Lock()
        self._ticker: _Ticker | None = None
        self._seen_thoughts = False
        self._step: threading.Timer | None = None
        self._server = None if metrics_port is None else MetricsServer(metrics_port, self._facts)
        if self._server is not None:
            # Said even when quiet: the port may be one that nobody could know.
            view.say(f"metrics  {self._server.url}")

    def step(self, what: str) -> None:
        """Report ``what`` if it takes long: until the next step, or until rollouts begin."""
        self._end_step()
        if self._view.every_s is not None:
            self._step = threading.Timer(_STEP_S, self._view.say, (f"{what} …",))
            self._step.daemon = True
            self._step.start()

    def _end_step(self) -> None:
        if self._step is not None:
            self._step.cancel()
            self._step = None

    def started(self, manifest: RunManifest, read: Callable[[], LiveState]) -> None:
        self._end_step()
        if warning := training_warning(manifest):
            self.warn(warning)
        every_s = self._view.every_s
        if every_s is None and self._server is None:
            return
        self._view.open()
        self._ticker = _Ticker(manifest, self._protocol, read, self._view, every_s or _METRICS_EVERY_S)
        self._ticker.start()

    def committed(self, batch: Sequence[Finished]) -> None:
        if not self._seen_thoughts and (where := where_thoughts_are(finished.rollout for finished in batch)):
            self._seen_thoughts = True
            self.warn(where)
        if self._ticker is not None:
            self._ticker.judge.offer(batch)

    def warn(self, line: str) -> None:
        self._view.warn(f"maestro-eval: {printable(line)}")

    def close(self) -> None:
        self._end_step()
        with self._lock:
            ticker, self._ticker = self._ticker, None
        if ticker is not None:
            self._view.close(ticker.stop())

    def _facts(self) -> Facts | None:
        ticker = self._ticker
        return None if ticker is None else ticker.facts


class _Ticker(threading.Thread):
    """Makes facts of the latest state again and again, and shows them."""

    def __init__(
        self, manifest: RunManifest, protocol: str, read: Callable[[], LiveState], view: _View, every_s: float
    ) -> None:
        super().__init__(name="progress", daemon=True)
        # An explore run is many systems: their mean so far would be nobody's accuracy.
        self.judge = Judge(() if manifest.arms else manifest.tasks, check_protocol(protocol))
        self._name = manifest.system
        self._read = read
        self._view = view
        self._every_s = every_s
        self._pace = PaceMeter()
        self._end = threading.Event()
        self.facts = self._look()

    def run(self) -> None:
        shown, every_s = time.monotonic(), self._every_s
        while not self._end.wait(min(_LIVE_EVERY_S, every_s)):
            self.facts = self._look()
            if time.monotonic() - shown >= every_s:
                shown = time.monotonic()
                self._view.show(self.facts)
                if every_s >= _PLAIN_EVERY_S:
                    every_s = min(2 * every_s, _PLAIN_SELDOM_S)

    def stop(self) -> Facts:
        """The last facts; nothing is shown any more."""
        self._end.set()
        if threading.current_thread() is not self:
            self.join(2.0)
        self.facts = self._look()
        return self.facts

    def _look(self) -> Facts:
        state = self._read()
        return Facts(self._name, state, self._pace.measure(state), self.judge.work())


class _Silence:
    every_s: float | None = None

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def say(self, text: str) -> None:
        print(text, file=self._file, flush=True)

    warn = say

    def open(self) -> None:
        pass

    def show(self, facts: Facts) -> None:
        pass

    def close(self, facts: Facts) -> None:
        pass


class _Log(_Silence):
    """A line for a step that takes long, now and then, and at the end."""

    every_s = _PLAIN_EVERY_S

    def show(self, facts: Facts) -> None:
        self.say(line(facts))

    def close(self, facts: Facts) -> None:
        self.say(last_line(facts))


class _Screen:
    """Drawn over itself twice a second; a line stays."""

    every_s = _LIVE_EVERY_S

    def __init__(self, file: IO[str]) -> None:
        from rich.console import Console

        self._console = Console(file=file, highlight=False)
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._print(text, "dim")

    def warn(self, text: str) -> None:
        self._print(text, "yellow")

    def _print(self, text: str, style: str) -> None:
        from rich.text import Text

        self._console.print(Text(text, style=style), soft_wrap=True)

    def open(self) -> None:
        from rich.live import Live

        # We draw; its own thread would draw again what has not changed.
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def show(self, facts: Facts) -> None:
        from maestro_eval.progress.display import render

        if self._live is not None:
            self._live.update(render(facts, self._console.height), refresh=True)

    def close(self, facts: Facts) -> None:
        from rich.text import Text

        live, self._live = self._live, None
        if live is not None:
            live.update(Text(last_line(facts)), refresh=True)
            live.stop()
