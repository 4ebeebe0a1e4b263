"""Measures how close a run comes to the shortest time that its engines allow.

The orchestrator and five experts are six simulated engines with slots and latencies of their own, which silently queue
requests beyond their slots, as vLLM does; the client is not given the slots and learns them from ``/metrics``.
A rollout has three turns: the orchestrator searches twice and answers, five calls in all.

The lower bound follows from the engines' records: the largest of requests × latency ÷ slots over the engines.
No schedule of the same calls is shorter. The makespan is the driver's, from when the first rollout may start until
the last is in the journal, so opening the task, the limiter's first poll and the tail count against it.

    python benchmarks/efficiency.py [--rollouts 1280] [--json]
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

MOST_OVER_BOUND = 1.05
# The orchestrator is first and is the bottleneck: 64 calls a second, and each rollout calls it three times. Each
# expert, called 0.4 times per rollout, could serve 10 to 16 a second and gets 8.5.
ENGINES = (
    Latency(base_s=0.5, slots=32),
    Latency(base_s=0.5, slots=8),
    Latency(base_s=0.8, slots=8),
    Latency(base_s=1.0, slots=16),
    Latency(base_s=1.5, slots=16),
    Latency(base_s=2.0, slots=24),
)


class Measured(Struct, frozen=True):
    """The result of one run. ``peak`` is the most requests at the orchestrator at once, queued ones included."""

    rollouts: int
    calls: int
    bound_s: float
    makespan_s: float
    over_bound: float
    peak: int


COLUMNS = (
    Column("rollouts", "rollouts", ","),
    Column("calls", "calls", ","),
    Column("bound s", "bound_s", ".2f"),
    Column("makespan s", "makespan_s", ".2f"),
    Column("× bound", "over_bound", ".3f"),
    Column("most at the orchestrator", "peak"),
)


def main() -> int:
    options = _options()
    rows = [_measure(options) for _ in range(options.repeats)]
    worst = max(row.over_bound for row in rows)
    return publish(
        options, rows, COLUMNS, [Target(f"makespan at most {MOST_OVER_BOUND:g} × the bound", worst <= MOST_OVER_BOUND)]
    )


def _measure(options: argparse.Namespace) -> Measured:
    with tempfile.TemporaryDirectory() as name, engines(ENGINES, searches=2) as served:
        folder = Path(name)
        data = write_questions(folder / "data", options.rollouts)
        run = drive(folder / "run", orchestrated(folder, served.urls, data, concurrency=options.concurrency))
        seen = served.seen()
    assert not run.failed, f"{run.failed} rollouts failed"
    bound = max(
        len(engine.arrivals) * latency.base_s / latency.slots
        for engine, latency in zip(seen.engines, ENGINES, strict=True)
    )
    return Measured(run.rollouts, seen.requests, bound, run.wall_s, run.wall_s / bound, seen.engines[0].peak)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="makespan of a run over the least that its engines allow")
    parser.add_argument("--rollouts", type=int, default=1280, help="of three turns each (default: 1280)")
    parser.add_argument("--concurrency", type=int, default=128, help="rollouts at once (default: 128)")
    parser.add_argument("--repeats", type=int, default=1, help="runs (default: 1)")
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
