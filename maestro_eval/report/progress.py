"""Show a run going on: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet.

It goes to standard error, so that a table on standard output can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import IO

from maestro_eval.journal import Finished, JournalCounts
from maestro_eval.runtime import Watcher
from maestro_eval.types import Failed, RunManifest

_PLAIN_EVERY_S = 10.0


def make_watcher(*, quiet: bool, file: IO[str] | None = None) -> Watcher:
    """The watcher that fits where ``file`` (standard error) leads."""
    target = file if file is not None else sys.stderr
    if quiet:
        return Watcher()
    return _Bar(target) if target.isatty() else _Lines(target)


class _Tally:
    """Rollouts done and failed of those planned, counted from what was committed."""

    def __init__(self, counts: JournalCounts) -> None:
        # Failed ones are tried again, so they are not done yet.
        self.done = counts.answered + counts.exhausted
        self.planned = counts.planned
        self.failed = 0

    def add(self, batch: Sequence[Finished]) -> None:
        self.done += len(batch)
        self.failed += sum(isinstance(finished.rollout.outcome, Failed) for finished in batch)

    def text(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done}/{self.planned} rollouts{failed}"


class _Lines(Watcher):
    """A line when a step begins, every ten seconds, and at the end."""

    def __init__(self, file: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._tally: _Tally | None = None
        self._name = ""
        self._begun = self._said = 0.0

    def step(self, what: str) -> None:
        self._say(f"{what} …")

    def begin(self, manifest: RunManifest, counts: JournalCounts) -> None:
        self._tally = _Tally(counts)
        self._name = manifest.system
        self._begun = self._said = self._clock()

    def committed(self, batch: Sequence[Finished]) -> None:
        if self._tally is None:
            return
        self._tally.add(batch)
        if self._clock() - self._said >= _PLAIN_EVERY_S:
            self._said = self._clock()
            self._say(f"{self._name}: {self._tally.text()}")

    def end(self, counts: JournalCounts) -> None:
        if self._tally is not None:
            self._say(f"{self._name}: {self._tally.text()} in {self._clock() - self._begun:.0f} s")
            self._tally = None

    def _say(self, line: str) -> None:
        print(line, file=self._file, flush=True)


class _Bar(Watcher):
    """A rich progress bar with rate and time left."""

    def __init__(self, file: IO[str]) -> None:
        from rich.console import Console

        self._console = Console(file=file)
        self._tally: _Tally | None = None

    def step(self, what: str) -> None:
        self._console.print(f"{what} …", style="dim", highlight=False, markup=False)

    def begin(self, manifest: RunManifest, counts: JournalCounts) -> None:
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self._tally = _Tally(counts)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}", style="red"),
            TimeElapsedColumn(),
            Remaining(),
            console=self._console,
        )
        self._bar = self._progress.add_task(
            escape(manifest.system), total=self._tally.planned, completed=self._tally.done, failed=""
        )
        self._progress.start()

    def committed(self, batch: Sequence[Finished]) -> None:
        if self._tally is None:
            return
        self._tally.add(batch)
        failed = f"{self._tally.failed} failed" if self._tally.failed else ""
        self._progress.update(self._bar, completed=self._tally.done, failed=failed)

    def end(self, counts: JournalCounts) -> None:
        if self._tally is not None:
            self._progress.stop()
            self._tally = None
