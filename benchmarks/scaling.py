"""Measures throughput with 1, 2 and 4 workers on Ray when the engines are not the limit.

Each worker runs ``--concurrency`` rollouts at once; the simulated engines (orchestrator and one expert) answer after
``--latency`` seconds and never queue, so that a worker which only waits makes ``--concurrency`` ÷ (3 × latency)
rollouts a second. That is the ideal. The work grows with the workers.

Throughput is measured at the engines in the middle half of the run, without Ray's start and the last rollouts; the wall
time of the whole run, Ray's start included, is given too. With more workers than free cores the workers' Python
competes for them, so compare it with the load.

    python benchmarks/scaling.py [--workers 1 2 4] [--json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.driver import drive
from benchmarks.engines import engines
from benchmarks.results import Column, add_output, publish
from benchmarks.worlds import orchestrated, write_questions
from maestro_eval.testing import Latency

CALLS = 3


class Measured(Struct, frozen=True):
    """The result of a run. ``rate`` is rollouts a second, ``of_ideal`` over the ideal, ``gain`` over the first row."""

    workers: int
    rollouts: int
    wall_s: float
    rate: float
    of_ideal: float
    gain: float = 1.0


COLUMNS = (
    Column("workers", "workers"),
    Column("rollouts", "rollouts", ","),
    Column("wall s", "wall_s", ".1f"),
    Column("rollouts/s", "rate", ".2f"),
    Column("of ideal", "of_ideal", ".0%"),
    Column("× first", "gain", ".2f"),
)


def main() -> int:
    options = _options()
    rows = [_measure(workers, options) for workers in options.workers]
    rows = [replace(row, gain=row.rate / rows[0].rate) for row in rows]
    facts = {"concurrency": options.concurrency, "latency_s": options.latency}
    return publish(options, rows, COLUMNS, [], facts)


def _measure(workers: int, options: argparse.Namespace) -> Measured:
    latencies = [Latency(base_s=options.latency, slots=4096)] * 2
    with tempfile.TemporaryDirectory() as name, engines(latencies, searches=1) as served:
        folder = Path(name)
        data = write_questions(folder / "data", workers * options.concurrency * options.rounds)
        request = orchestrated(folder, served.urls, data, concurrency=options.concurrency)
        run = drive(folder / "run", replace(request, executor="ray", workers=workers))
        seen = served.seen()
    assert not run.failed, f"{run.failed} rollouts failed"
    ideal = workers * options.concurrency / (CALLS * options.latency)
    rate = seen.in_flight(0.5) / (CALLS * options.latency)
    return Measured(workers, run.rollouts, run.wall_s, rate, rate / ideal)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="throughput by the number of Ray workers")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="(default: 1 2 4)")
    parser.add_argument("--concurrency", type=int, default=16, help="rollouts at once in each (default: 16)")
    parser.add_argument("--rounds", type=int, default=10, help="rollouts for each place (default: 10)")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds until the engines answer (default: 1.0)")
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
