"""The watchers: each receives a run's events and shows them from its own thread, so that the run never waits."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from maestro_eval.analysis import training_warning
from maestro_eval.journal import Finished
from maestro_eval.progress.facts import Facts, Judge, PaceMeter, short, span
from maestro_eval.progress.prometheus import MetricsServer
from maestro_eval.records import Rollout, RunManifest
from maestro_eval.runtime import EndpointState, LiveState, Watcher
from maestro_eval.scoring import check_protocol
from maestro_eval.text import printable

if TYPE_CHECKING:
    from rich.live import Live

# The first line of a log is due after a minute, and each interval is twice the one before.
_PLAIN_EVERY_S = 60.0
_PLAIN_SELDOM_S = 600.0
_STEP_S = 5.0
_LIVE_EVERY_S = 0.5
# The shortest interval between metrics; scrapers come every few seconds.
_METRICS_EVERY_S = 1.0
# The tasks on a line.
_TASKS = 4
# Longer than a commit's interval: a shorter silence means nothing.
_QUIET_S = 30.0

_SEPARATE = (
    "the policy's server returns thoughts apart from the text (a reasoning parser); they are kept as the turns' "
    "`reasoning`, and put before the text where the regime shows them"
)
_INLINE = "the policy's server leaves thoughts in the text (no reasoning parser)"


def make_watcher(
    *,
    quiet: bool,
    file: IO[str] | None = None,
    protocol: str = "official",
    metrics_port: int | None = None,
) -> Watcher:
    """Make the watcher that fits ``file`` (standard error): a terminal, a log or neither.

    ``quiet`` shows warnings only. ``protocol``: the scoring protocol of the running accuracy. ``metrics_port``: serve
    metrics on loopback, 0 for any free port; UserError if it is in use.
    """
    target = file if file is not None else sys.stderr
    view: _View = _View(target) if quiet else _Screen(target) if target.isatty() else _Log(target)
    return _Shown(view, protocol, metrics_port)


class _View:
    """Shows a run; this one only prints lines. ``every_s``: seconds between two updates, None for no updates."""

    every_s: float | None = None

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def say(self, text: str) -> None:
        """Print a permanent line."""
        print(text, file=self._file, flush=True)

    def warn(self, text: str) -> None:
        """Print a permanent line that stands out."""
        self.say(text)

    def open(self) -> None: ...

    def show(self, facts: Facts) -> None: ...

    def close(self, facts: Facts) -> None: ...


class _Shown(Watcher):
    """Shows a run in a view, and serves it as metrics."""

    def __init__(self, view: _View, protocol: str, metrics_port: int | None) -> None:
        self._view = view
        self._protocol = check_protocol(protocol)
        self._lock = threading.Lock()
        self._ticker: _Ticker | None = None
        self._seen_thoughts = False
        self._server = None if metrics_port is None else MetricsServer(metrics_port, self._facts)
        if self._server is not None:
            # Printed even when quiet: a port picked for 0 cannot be known otherwise.
            view.say(f"metrics  {self._server.url}")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Report ``what`` if it takes long."""
        timer = threading.Timer(_STEP_S, self._view.say, (f"{what} …",))
        timer.daemon = True
        if self._view.every_s is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def started(self, manifest: RunManifest, read: Callable[[], LiveState]) -> None:
        if warning := training_warning(manifest):
            self.warn(warning)
        every_s = self._view.every_s
        if every_s is None and self._server is None:
            return
        self._view.open()
        self._ticker = _Ticker(manifest, self._protocol, read, self._view, every_s or _METRICS_EVERY_S)
        self._ticker.start()

    def committed(self, batch: Sequence[Finished]) -> None:
        if not self._seen_thoughts and (where := _where_thoughts_are(finished.rollout for finished in batch)):
            self._seen_thoughts = True
            self.warn(where)
        if self._ticker is not None:
            self._ticker.judge.offer(batch)

    def warn(self, line: str) -> None:
        self._view.warn(f"maestro-eval: {printable(line)}")

    def close(self) -> None:
        with self._lock:
            ticker, self._ticker = self._ticker, None
        if ticker is not None:
            self._view.close(ticker.stop())

    def _facts(self) -> Facts | None:
        ticker = self._ticker
        return None if ticker is None else ticker.facts


class _Ticker(threading.Thread):
    """Computes facts of the latest state repeatedly, and shows them."""

    def __init__(
        self, manifest: RunManifest, protocol: str, read: Callable[[], LiveState], view: _View, every_s: float
    ) -> None:
        super().__init__(name="progress", daemon=True)
        # An explore run has many systems: their mean so far would be no system's accuracy.
        self.judge = Judge(() if manifest.candidates else manifest.tasks, check_protocol(protocol))
        self._name = manifest.system
        self._read = read
        self._view = view
        self._every_s = every_s
        self._pace = PaceMeter()
        self._end = threading.Event()
        self.facts = self._latest_facts()

    def run(self) -> None:
        shown, every_s = time.monotonic(), self._every_s
        while not self._end.wait(min(_LIVE_EVERY_S, every_s)):
            self.facts = self._latest_facts()
            if time.monotonic() - shown >= every_s:
                shown = time.monotonic()
                self._view.show(self.facts)
                if every_s >= _PLAIN_EVERY_S:
                    every_s = min(2 * every_s, _PLAIN_SELDOM_S)

    def stop(self) -> Facts:
        """Stop showing, and return the last facts."""
        self._end.set()
        if threading.current_thread() is not self:
            self.join(2.0)
        self.facts = self._latest_facts()
        return self.facts

    def _latest_facts(self) -> Facts:
        state = self._read()
        return Facts(self._name, state, self._pace.measure(state), self.judge.work())


class _Log(_View):
    """Prints a line for a slow step, at growing intervals, and at the end."""

    every_s = _PLAIN_EVERY_S

    def show(self, facts: Facts) -> None:
        self.say(line(facts))

    def close(self, facts: Facts) -> None:
        self.say(last_line(facts))


class _Screen(_View):
    """Redraws the display twice a second; printed lines are permanent."""

    every_s = _LIVE_EVERY_S

    def __init__(self, file: IO[str]) -> None:
        from rich.console import Console

        super().__init__(file)
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

        # Its own refresh thread would redraw an unchanged display.
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


def _where_thoughts_are(rollouts: Iterable[Rollout]) -> str:
    """Say where the policy's server puts thoughts, by the first turn that has one; "" if none has.

    vLLM and SGLang return them separately with a reasoning parser, and no endpoint reports which it does.
    """
    for rollout in rollouts:
        for turn in rollout.turns:
            if turn.reasoning:
                return _SEPARATE
            if "</think>" in turn.text:
                return _INLINE
    return ""


def line(facts: Facts) -> str:
    """Write every fact of the display in one line."""
    tokens, pace = facts.state.tokens, facts.pace
    parts = [_rollouts(facts)]
    if tokens.prompt_tokens + tokens.completion_tokens:
        rate = "" if pace.completion_tokens is None else f", {short(pace.completion_tokens)}/s"
        parts.append(f"tokens {short(tokens.prompt_tokens)} + {short(tokens.completion_tokens)}{rate}")
    parts += [", ".join(map(_endpoint, facts.state.endpoints)), _tasks(facts)]
    return "; ".join(filter(None, parts))


def last_line(facts: Facts) -> str:
    """Write how the run ended."""
    failed = f", {facts.state.failed:,} failed" if facts.state.failed else ""
    done = f"{facts.state.done:,}/{facts.state.planned:,} rollouts{failed}"
    return f"{printable(facts.name)}: {done} in {span(facts.elapsed_s)}"


def _rollouts(facts: Facts) -> str:
    state = facts.state
    parts = [f"{state.done:,}/{state.planned:,} rollouts"]
    if state.failed:
        parts.append(f"{state.failed:,} failed")
    parts.append(f"{len(state.executor.out):,} in flight")
    if facts.pace.rollouts is not None:
        parts.append(f"{short(facts.pace.rollouts)}/s")
    if facts.left_s:
        parts.append(f"{span(facts.left_s)} left")
    if facts.quiet_s >= _QUIET_S and state.executor.out:
        parts.append(f"nothing committed for {span(facts.quiet_s)}")
    if state.stopping:
        parts.append("stopping")
    return f"{printable(facts.name)}: {', '.join(parts)}"


def _endpoint(endpoint: EndpointState) -> str:
    places = endpoint.places
    waiting = f" + {places.queued:,} waiting" if places.queued else ""
    errors = f" ({endpoint.errors:,} errors)" if endpoint.errors else ""
    return f"{printable(endpoint.name)} {places.in_flight:,}{waiting}{errors}"


def _tasks(facts: Facts) -> str:
    shown = []
    for name, running in facts.running.items():
        estimate = running.estimate()
        if estimate is not None:
            value, low, high = (f"{100 * share:.0f}" for share in (estimate.value, estimate.low, estimate.high))
            shown.append(f"{printable(name)} {value} [{low}–{high}]")
    more = f" and {len(shown) - _TASKS} tasks more" if len(shown) > _TASKS else ""
    return f"so far {', '.join(shown[:_TASKS])}{more}" if shown else ""
