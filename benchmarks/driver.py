"""Runs one run in a fresh process and measures its time, CPU and memory before, during and after its rollouts.

The process is a driver as ``maestro-eval run`` starts one, with a watcher that reads the clocks when the first rollout
is about to start and when the last has ended. Only this process is measured, not Ray's workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.process_memory import clear_peak, peak_mb, resident_mb
from maestro_eval.journal import Finished
from maestro_eval.records import Failed, RunManifest
from maestro_eval.runtime import RunConfig, Watcher, resume_run, start_run

ROOT = Path(__file__).resolve().parents[1]


class Driven(Struct, frozen=True):
    """The measurements. ``planning_s`` ends when the first rollout may start, ``wall_s`` and ``cpu_s`` begin there.
    ``planned_at`` is that moment, in Unix seconds.

    Memory is resident MB: when the package is imported, when the run is planned, the peak while rollouts ran, and
    when they had ended.
    """

    rollouts: int
    failed: int
    planning_s: float
    planned_at: float
    wall_s: float
    cpu_s: float
    imported_mb: float
    planned_mb: float
    peak_mb: float
    ended_mb: float


class _Order(Struct, frozen=True):
    """What to run: ``request``, or without one the rest of ``folder``; Ctrl-C after ``stop_after`` rollouts."""

    folder: str
    request: RunConfig | None = None
    stop_after: int | None = None


def drive(folder: Path, request: RunConfig | None = None, *, stop_after: int | None = None) -> Driven:
    """Run ``request`` into ``folder`` (or resume the run there) and stop it after ``stop_after`` rollouts."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.driver"],
        input=msgspec.json.encode(_Order(str(folder), request, stop_after)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Driven)


class _Meter(Watcher):
    def __init__(self, stop_after: int | None) -> None:
        self._stop_after = stop_after
        self.rollouts = self.failed = 0
        self.began = time.perf_counter()
        self.imported_mb = resident_mb()

    def started(self, manifest: RunManifest, read: Callable[[], object]) -> None:
        self.planned_mb = resident_mb()
        # The peak of the rollouts must not include that of planning.
        clear_peak()
        self.planned_at = time.time()
        self.planned, self.cpu = time.perf_counter(), time.process_time()

    def committed(self, batch: Sequence[Finished]) -> None:
        self.rollouts += len(batch)
        self.failed += sum(isinstance(finished.rollout.outcome, Failed) for finished in batch)
        if self._stop_after is not None and self.rollouts >= self._stop_after:
            self._stop_after = None
            os.kill(os.getpid(), signal.SIGINT)

    def close(self) -> None:
        self.wall_s, self.cpu_s = time.perf_counter() - self.planned, time.process_time() - self.cpu
        self.ended_mb, self.peak_mb = resident_mb(), peak_mb()

    def driven(self) -> Driven:
        return Driven(
            rollouts=self.rollouts,
            failed=self.failed,
            planning_s=self.planned - self.began,
            planned_at=self.planned_at,
            wall_s=self.wall_s,
            cpu_s=self.cpu_s,
            imported_mb=self.imported_mb,
            planned_mb=self.planned_mb,
            peak_mb=self.peak_mb,
            ended_mb=self.ended_mb,
        )


def _main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    meter = _Meter(order.stop_after)
    if order.request is None:
        resume_run(Path(order.folder), watcher=meter)
    else:
        start_run(order.request, Path(order.folder), watcher=meter)
    print(msgspec.json.encode(meter.driven()).decode())


if __name__ == "__main__":
    _main()
