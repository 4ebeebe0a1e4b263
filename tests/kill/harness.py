"""A run that is killed and gone on with, and what must hold of it then."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import signal
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import write_chartqa, write_registry
from kill.driver import Point, drive
from patience import PATIENCE_S

from maestro_eval.journal import Journal
from maestro_eval.records import Answered, UserError
from maestro_eval.testing import Fault, Latency, simulated_in_thread

SAMPLES = 48
SCORES = "exports/scores.official.jsonl"


@dataclass
class Bench:
    """A task, a registry and the server behind it, with what that was asked.

    While ``broken``, the server refuses every second request.
    """

    home: Path
    registry: Path
    data: Path
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    broken: bool = False
    drivers: int = 0

    def run(self, out: Path, *more: str) -> list[str]:
        """The command line of the run, four rollouts at once."""
        return [
            *("run", "--policy", "fixed:oracle@@Ask", "--registry", str(self.registry), "--tasks", "maestro_chartqa"),
            *(
                "--data",
                f"maestro_chartqa={self.data}",
                "--out",
                str(out),
                "--concurrency",
                "4",
                "--no-cache",
                "--quiet",
                *more,
            ),
        ]

    def resume(self, out: Path, *more: str) -> list[str]:
        return ["resume", str(out), "--quiet", *more]

    def drive(self, arguments: Sequence[str], kill_at: Point | None = None, after_s: float | None = None) -> Driven:
        """Run a command in a process of its own; killed at a crossing, or from outside ``after_s`` from its start."""
        self.drivers += 1
        log = self.home / "drivers" / f"{self.drivers}.log"
        log.parent.mkdir(exist_ok=True)
        process = _forked.Process(target=drive, args=(list(arguments), kill_at, log))
        process.start()
        process.join(after_s if after_s is not None else PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()
        # What it had sent before its end is counted once the server has answered somebody else.
        urllib.request.urlopen(f"{self.url}/models").close()
        assert process.exitcode is not None
        return Driven(process.exitcode, log)

    def undisturbed(self) -> Path:
        """The folder of a run that nothing happened to."""
        out = self.home / "undisturbed"
        if not out.exists():
            assert self.drive(self.run(out)).code == 0
        return out

    def finish(self, out: Path, *more: str) -> None:
        """Go on with the run as its user would, and check that nothing was lost, repeated or changed."""
        before = committed(out)
        asked = self.asked.copy()
        driven = self.drive(self.go_on(out, *more))
        assert driven.code == 0, driven.said
        again = self.asked - asked
        assert not again.keys() & before, "a committed rollout was run again"
        assert sum(again.values()) == SAMPLES - len(before)
        self.check_whole(out)

    def go_on(self, out: Path, *more: str) -> list[str]:
        """What a user does next, whatever was interrupted: ``resume``, or ``run`` where there is no run yet."""
        return self.resume(out, *more) if (out / "manifest.json").exists() else self.run(out, *more)

    def check_whole(self, out: Path) -> None:
        """Every sample has one final record, and the scores are those of the undisturbed run."""
        assert len(committed(out)) == SAMPLES
        with sqlite3.connect(out / "journal.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("SELECT count(*) FROM rollouts").fetchone() == (SAMPLES,)
        assert (out / SCORES).read_bytes() == (self.undisturbed() / SCORES).read_bytes()


@dataclass(frozen=True)
class Driven:
    """How a command ended."""

    code: int
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def crossed(self) -> dict[str, int]:
        """How often each boundary was crossed by a command that came to its end."""
        crossed: dict[str, int] = json.loads(self.log.with_suffix(".crossed").read_text())
        return crossed

    @property
    def committed(self) -> set[str]:
        """The ids of the samples whose commit had returned."""
        file = self.log.with_suffix(".committed")
        # Of a line that was cut off in writing, nothing is taken as said.
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return {sample for line in lines if line.endswith("\n") for sample in line.split()}


def kill(bench: Bench, out: Path, arguments: Sequence[str], point: Point) -> None:
    """Run the command and kill it at ``point``: what it knew to be committed is there."""
    driven = bench.drive(arguments, point)
    assert driven.code == -signal.SIGKILL == -9, driven.said
    if (out / "manifest.json").exists():
        with Journal.open(out, read_only=True) as journal:
            there = {rollout.key.sample_id for rollout, _ in journal.rollouts()}
        assert driven.committed <= there
    else:
        assert not driven.committed
        with pytest.raises(UserError, match=r"not a run folder|no such run folder"):
            Journal.open(out)


def committed(out: Path) -> set[str]:
    """The questions of the samples that need not be asked again; none where the folder is no run yet."""
    if not (out / "manifest.json").exists():
        return set()
    with Journal.open(out, read_only=True) as journal:
        return {sample.question for rollout, sample in journal.rollouts() if isinstance(rollout.outcome, Answered)}


def points(crossed: dict[str, int], occurrences: Sequence[int]) -> list[Point]:
    """Every boundary at its first crossing, and at further ones that no timing takes away.

    How many batches there are depends on the moment; how many samples there are does not.
    """
    return [
        (name, at)
        for name, count in crossed.items()
        for at in sorted({1, *(n for n in occurrences if n <= count // 2), *([SAMPLES] if count == SAMPLES else [])})
    ]


@contextmanager
def bench(home: Path, latency_s: float = 0.03) -> Iterator[Bench]:
    """A bench with its server in this process."""
    questions = [{"question": f"What is the value of item {n} here?", "answer": "4"} for n in range(SAMPLES)]
    data = write_chartqa(home / "data", questions)
    made = Bench(home, home / "registry.yaml", data)
    with simulated_in_thread(
        reply=reply,
        latency=Latency(base_s=latency_s),
        faults=lambda number: Fault("status", status=400) if made.broken and number % 2 else None,
        on_request=lambda request: made.asked.update([request.text]),
    ) as server:
        made.url = server.url
        write_registry(made.registry, server.url)
        yield made


def reply(body: dict[str, Any]) -> str:
    """Right for two items in three, so that scores tell the samples apart."""
    item = re.search(r"item (\d+)", json.dumps(body["messages"][-1]))
    assert item
    return f"Answer: {4 if int(item[1]) % 3 else 5}"


def copied(folder: Path, to: Path) -> Path:
    """A run folder with all that an interruption left in it, under another name."""
    return Path(shutil.copytree(folder, to))


_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["kill.driver"])
