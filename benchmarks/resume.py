"""Measures how long ``maestro-eval resume`` takes to continue a run of which a million rollouts are done.

A run of ``--done`` + ``--pending`` samples is stopped after its first rollout; then its journal is filled, by its own
``commit``, with that rollout's record under the other keys, until ``--pending`` are left. Two times are measured from
the start of a process:

- ``pending known``: package imported, manifest and registry read, the task's rows checked and hashed, the journal
  opened, its settings compared, the missing rollouts found (a process that does what the command does),
- ``first call``: ``maestro-eval resume`` itself, until the engine receives the first of the remaining rollouts.

The target is for the first. The files are in the page cache, as after a run that just died.

    python benchmarks/resume.py [--done 1000000] [--json]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.driver import drive
from benchmarks.engines import ROOT, Engines, engines
from benchmarks.results import Column, Target, add_output, publish
from benchmarks.worlds import orchestrated, write_questions
from maestro_eval.journal import Finished, Journal
from maestro_eval.testing import Latency

MOST_S = 5.0
_BATCH = 2_000
_PATIENCE_S = 300.0


class Measured(Struct, frozen=True):
    """The result of one resumption. ``resumed_s``: the part of ``pending_known_s`` after the package was imported."""

    done: int
    pending: int
    pending_known_s: float
    resumed_s: float
    first_call_s: float
    peak_mb: float


COLUMNS = (
    Column("done", "done", ","),
    Column("pending", "pending", ","),
    Column("pending known s", "pending_known_s", ".2f"),
    Column("without imports s", "resumed_s", ".2f"),
    Column("first call s", "first_call_s", ".2f"),
    Column("peak MB", "peak_mb", ".0f"),
)


def main() -> int:
    options = _options()
    # Calls are slow, so that few rollouts end before the stop takes effect.
    slow = [Latency(base_s=0.1)] * 2
    with tempfile.TemporaryDirectory(dir=options.dir) as name, engines(slow, searches=1) as served:
        folder = Path(name)
        data = write_questions(folder / "data", options.done + options.pending)
        drive(folder / "run", orchestrated(folder, served.urls, data, concurrency=1), stop_after=1)
        _fill(folder / "run", options.pending)
        rows = [_measure(folder / "run", served, options.pending) for _ in range(options.repeats)]
    slowest = max(row.pending_known_s for row in rows)
    return publish(options, rows, COLUMNS, [Target(f"what is pending is known within {MOST_S:g} s", slowest <= MOST_S)])


def _fill(folder: Path, left: int) -> None:
    with Journal.open(folder) as journal:
        rollout, sample = next(journal.rollouts())
        pending = journal.pending()
        keys = iter(pending[: len(pending) - left])
        while batch := list(islice(keys, _BATCH)):
            journal.commit(
                [Finished(replace(rollout, key=key), replace(sample, sample_id=key.sample_id)) for key in batch]
            )


def _measure(folder: Path, served: Engines, left: int) -> Measured:
    with Journal.open(folder, read_only=True) as journal:
        counts = journal.counts()
    first_call_s = _first_call(folder, served)
    began = time.time()
    run = drive(folder, stop_after=1)
    return Measured(
        done=counts.planned - counts.missing,
        pending=counts.missing,
        pending_known_s=run.planned_at - began,
        resumed_s=run.planning_s,
        first_call_s=first_call_s,
        peak_mb=run.peak_mb,
    )


def _first_call(folder: Path, served: Engines) -> float:
    """Return the time to the first call; then kill the command, because its end is not measured here."""
    served.seen()
    began = time.time()
    with subprocess.Popen(
        [sys.executable, "-m", "maestro_eval", "resume", str(folder), "--quiet", "--concurrency", "1"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    ) as command:
        try:
            while not (seen := served.seen()).requests:
                if command.poll() is not None or time.time() - began > _PATIENCE_S:
                    raise RuntimeError("maestro-eval resume made no call; its message is above")
                time.sleep(0.02)
        finally:
            command.kill()
    return seen.first_at - began


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="seconds until a very large run continues")
    parser.add_argument("--done", type=int, default=1_000_000, help="rollouts in the journal (default: 1000000)")
    parser.add_argument("--pending", type=int, default=1_000, help="rollouts that it lacks (default: 1000)")
    parser.add_argument("--repeats", type=int, default=3, help="resumptions (default: 3)")
    parser.add_argument("--dir", type=Path, help="where the run goes for the time being (default: the system's)")
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
