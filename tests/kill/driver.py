"""``maestro-eval`` in this process, ended by SIGKILL at a chosen crossing of a boundary.

A crossing is the moment before or after whatever makes a run folder what it is: each statement that changes the
journal, each new file, fsync, rename and removal, each lock, and each rollout. The product knows nothing of them: they
are put around it here, in a process that is made for one command.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from maestro_eval.cli import publish, resume, run  # noqa: F401  imported before the process is forked for a command
from maestro_eval.cli.main import main
from maestro_eval.journal import Journal
from maestro_eval.runtime import executor

Point = tuple[str, int]
"""The name of a crossing and which of its crossings, from 1."""

_TEMPORARY = re.compile(r"\.(.+)\.[^.]+\.tmp")
_STATEMENT = re.compile(r"(BEGIN|COMMIT|ROLLBACK|PRAGMA \w+|\w+ \w+ \w+)")


def drive(arguments: Sequence[str], kill_at: Point | None, log: Path) -> None:
    """Run the command, and exit as it does. ``log`` gets what it prints, and beside it what it crossed and committed.

    ``LOG.committed`` has a line for each batch as soon as ``Journal.commit`` has returned; ``LOG.crossed`` counts the
    crossings of a command that came to its end.
    """
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    crossed = Crossings(kill_at)
    _instrument(crossed, log.with_suffix(".committed"))
    code = main(list(arguments))
    sys.stdout.flush()
    log.with_suffix(".crossed").write_text(json.dumps(crossed.counts))
    sys.exit(code)


class Crossings:
    """Counts crossings by name, and dies at one."""

    def __init__(self, kill_at: Point | None) -> None:
        self.counts: Counter[str] = Counter()
        self._kill_at = kill_at

    def at(self, name: str) -> None:
        self.counts[name] += 1
        if (name, self.counts[name]) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        """``call`` with a crossing before and one after it, named by its arguments."""

        @functools.wraps(call)
        def crossing(*arguments: Any, **options: Any) -> Any:
            of = name(*arguments, **options)
            self.at(f"before {of}")
            result = call(*arguments, **options)
            self.at(f"after {of}")
            return result

        return crossing


def _instrument(crossed: Crossings, committed: Path) -> None:
    class Statements(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            return self._run(super().execute, sql, *rest)

        def executemany(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            return self._run(super().executemany, sql, *rest)

        def _run(self, call: Callable[..., sqlite3.Cursor], sql: str, *rest: Any) -> sqlite3.Cursor:
            statement = _STATEMENT.match(" ".join(sql.split()))
            if statement is None or statement[0].startswith("SELECT"):
                return call(sql, *rest)
            return crossed.around(call, lambda *_: statement[0])(sql, *rest)

    sqlite3.connect = functools.partial(sqlite3.connect, factory=Statements)  # type: ignore[assignment]
    os.fsync = crossed.around(os.fsync, lambda handle: f"fsync of {_file(os.readlink(f'/proc/self/fd/{handle}'))}")
    os.replace = crossed.around(os.replace, lambda old, new: f"rename to {_file(new)}")
    os.unlink = crossed.around(os.unlink, lambda path, **_: f"removal of {_file(path)}")
    tempfile.mkstemp = crossed.around(tempfile.mkstemp, lambda **options: f"new file for {options['prefix'][1:-1]}")
    fcntl.flock = crossed.around(fcntl.flock, lambda handle, how: "unlock" if how == fcntl.LOCK_UN else "lock")

    run_key = executor.run_key

    async def run_one(*arguments: Any) -> Any:
        crossed.at("before a rollout")
        finished = await run_key(*arguments)
        crossed.at("after a rollout")
        return finished

    executor.run_key = run_one  # type: ignore[assignment]

    commit = Journal.commit

    def note(journal: Journal, finished: Any) -> int:
        stored = commit(journal, finished)
        with committed.open("a") as file:
            file.write(" ".join(one.rollout.key.sample_id for one in finished) + "\n")
        return stored

    Journal.commit = note  # type: ignore[method-assign]
    # More and smaller batches, so that a short run has as many boundaries as a long one.
    executor.Batcher.__init__.__kwdefaults__.update(size=5, interval_s=0.05)


def _file(path: Any) -> str:
    name = os.path.basename(path)
    temporary = _TEMPORARY.fullmatch(name)
    if temporary:
        return f"{temporary[1]} (new)"
    return "the folder" if name and "." not in name else name
