"""Measures the driver's memory in a run over a million samples with 200 kB pictures.

``--samples`` questions are planned as one run: rows of a JSONL file whose pictures cycle through a pool of
``--pictures`` different JPEG files, more than any cache stores. The orchestrator and one expert are the simulated
server, in a process of its own; a rollout makes three calls, each with the picture. After ``--share`` of the samples
the run is stopped as by Ctrl-C.

Memory is the driver's resident set: when the package is imported, when the run is planned (rows checked, the plan
written), its peak while the rollouts ran, and at their end. The target limits the growth from the first of them to
the peak, so it covers planning too. A small run of a hundredth of the samples shows what does not depend on their
number: connections, pictures in flight.

    python benchmarks/memory.py [--samples 1000000] [--json]
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

MOST_GROWTH_MB = 300.0
CALLS = 3


class Measured(Struct, frozen=True):
    """The result of one run; memory in MB. ``growth_mb`` is from the imported package to the peak."""

    samples: int
    rollouts: int
    pictures_sent: int
    planning_s: float
    wall_s: float
    imported_mb: float
    planned_mb: float
    peak_mb: float
    ended_mb: float
    growth_mb: float


COLUMNS = (
    Column("samples", "samples", ","),
    Column("rollouts", "rollouts", ","),
    Column("pictures sent", "pictures_sent", ","),
    Column("planning s", "planning_s", ".1f"),
    Column("rollouts s", "wall_s", ".1f"),
    Column("imported MB", "imported_mb", ".0f"),
    Column("planned MB", "planned_mb", ".0f"),
    Column("peak MB", "peak_mb", ".0f"),
    Column("ended MB", "ended_mb", ".0f"),
    Column("growth MB", "growth_mb", ".0f"),
)


def main() -> int:
    options = _options()
    first = max(1, round(options.samples * options.share))
    small, small_first = max(1, options.samples // 100), max(1, first // 10)
    rows = [_measure(small, small_first, options), _measure(options.samples, first, options)]
    growth = rows[-1].growth_mb
    what = f"the driver grows by less than {MOST_GROWTH_MB:g} MB over planning and the first {options.share:.0%}"
    return publish(options, rows, COLUMNS, [Target(what, growth < MOST_GROWTH_MB)])


def _measure(samples: int, stop_after: int, options: argparse.Namespace) -> Measured:
    latencies = [Latency(base_s=options.latency, slots=4096)] * 2
    with tempfile.TemporaryDirectory(dir=options.dir) as name, engines(latencies, searches=1) as served:
        folder = Path(name)
        data = write_questions(
            folder / "data", samples, pictures=options.pictures, picture_bytes=options.picture_kb * 1000
        )
        request = orchestrated(folder, served.urls, data, concurrency=options.concurrency)
        run = drive(folder / "run", request, stop_after=stop_after)
        seen = served.seen()
    assert not run.failed, f"{run.failed} rollouts failed"
    pictures = sum(engine.images for engine in seen.engines)
    # Rollouts in flight at the stop are finished and are in both counts.
    assert pictures >= CALLS * run.rollouts, f"{pictures} pictures for {run.rollouts} rollouts"
    return Measured(
        samples=samples,
        rollouts=run.rollouts,
        pictures_sent=pictures,
        planning_s=run.planning_s,
        wall_s=run.wall_s,
        imported_mb=run.imported_mb,
        planned_mb=run.planned_mb,
        peak_mb=run.peak_mb,
        ended_mb=run.ended_mb,
        growth_mb=run.peak_mb - run.imported_mb,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the driver's memory over the first part of a very large run")
    parser.add_argument("--samples", type=int, default=1_000_000, help="planned samples (default: 1000000)")
    parser.add_argument("--share", type=float, default=0.01, help="share of them that is run (default: 0.01)")
    parser.add_argument("--pictures", type=int, default=512, help="different files (default: 512)")
    parser.add_argument("--picture-kb", type=int, default=200, help="size of each (default: 200)")
    parser.add_argument("--concurrency", type=int, default=64, help="rollouts at once (default: 64)")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds until the server answers (default: 0.1)")
    parser.add_argument("--dir", type=Path, help="folder for temporary data (default: the system's)")
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
