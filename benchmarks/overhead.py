"""Measures the cost of a whole run per model call, and how many of the requested calls it keeps in flight.

Policy and two experts are simulated engines in a process of their own that answer after ``--latency`` seconds and never
queue. A rollout makes five calls: the orchestrator searches twice and answers. Each run has ``--rounds`` times
``--asked`` rollouts with a picture in each, and commits to a journal as every run does.

CPU is the driver's, from its first rollout to its last, over the calls that the engines received: client, turn loop,
reading pictures, journal. In flight is the mean at the engines: in the middle half of the run, and in all of it,
including the first calls and the last rollouts. The server competes for the same cores; its CPU per call is given too.

    python benchmarks/overhead.py [--asked 64 256 512] [--json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.driver import drive
from benchmarks.engines import engines
from benchmarks.results import Column, Target, add_output, publish
from benchmarks.worlds import orchestrated, write_questions
from maestro_eval.testing import Latency

MOST_CPU_MS = 2.0
LEAST_SHARE = 0.90
TARGET_AT = 256


class Measured(Struct, frozen=True):
    """The result of a run. ``share`` is in flight over ``--asked`` in the middle half, ``whole_share`` over the run."""

    asked: int
    calls: int
    wall_s: float
    cpu_ms: float
    server_ms: float
    in_flight: float
    share: float
    whole_share: float


COLUMNS = (
    Column("asked", "asked"),
    Column("calls", "calls", ","),
    Column("wall s", "wall_s", ".1f"),
    Column("CPU ms/call", "cpu_ms", ".2f"),
    Column("server's", "server_ms", ".2f"),
    Column("in flight", "in_flight", ".0f"),
    Column("of asked", "share", ".0%"),
    Column("whole run", "whole_share", ".0%"),
)


def main() -> int:
    options = _options()
    rows = [_measure(asked, options) for _ in range(options.repeats) for asked in options.asked]
    cpu = max(row.cpu_ms for row in rows)
    there = [row.share for row in rows if row.asked == TARGET_AT]
    targets = [
        Target(f"at most {MOST_CPU_MS:g} ms of CPU a call", cpu <= MOST_CPU_MS),
        Target(f"at least {LEAST_SHARE:.0%} of {TARGET_AT} in flight", min(there) >= LEAST_SHARE if there else None),
    ]
    return publish(options, rows, COLUMNS, targets, {"latency_s": options.latency})


def _measure(asked: int, options: argparse.Namespace) -> Measured:
    latencies = [Latency(base_s=options.latency, slots=4096)] * 3
    with tempfile.TemporaryDirectory() as name, engines(latencies, searches=2) as served:
        folder = Path(name)
        data = write_questions(folder / "data", asked * options.rounds, picture_bytes=options.picture_kb * 1000)
        run = drive(folder / "run", orchestrated(folder, served.urls, data, concurrency=asked))
        seen = served.seen()
    assert not run.failed, f"{run.failed} rollouts failed"
    in_flight = seen.in_flight(0.5)
    return Measured(
        asked=asked,
        calls=seen.requests,
        wall_s=run.wall_s,
        cpu_ms=1000 * run.cpu_s / seen.requests,
        server_ms=1000 * seen.cpu_s / seen.requests,
        in_flight=in_flight,
        share=in_flight / asked,
        whole_share=seen.in_flight() / asked,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time of a call in a whole run, and calls in flight")
    parser.add_argument("--asked", type=int, nargs="+", default=[64, 256, 512], help="rollouts at once")
    parser.add_argument("--rounds", type=int, default=6, help="rollouts for each place (default: 6)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each (default: 1)")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds until the server answers (default: 1.0)")
    parser.add_argument("--picture-kb", type=int, default=20, help="size of each picture (default: 20)")
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
