"""Measures the driver's CPU for watching a run: with the display, with plain lines and with metrics, and without.

The same run, ``--rollouts`` rollouts of one expert call each, is repeated in one process with the simulated server in a
process of its own, once per way, ``--rounds`` times in a new random order. It takes about ``--seconds`` (the server's
latency is set accordingly), so that work done twice a second weighs as in a run of hours. The display is drawn on a
terminal of 120 × 40 whose output is discarded; this process fetches the metrics once a second, so the scraper's own
time is included.

CPU is this process's, user and system, threads included. A way's cost is the median over the rounds of its CPU minus
that of ``quiet`` in the same round, as a share of one core over the duration of the run. Target: at most 2 % for each.

    python benchmarks/progress.py [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.simulated import simulated
from maestro_eval.progress import make_watcher
from maestro_eval.runtime import RunConfig, Watcher, start_run

MOST = 0.02
WAYS = ("quiet", "display", "lines", "metrics")


class Measured(Struct, frozen=True):
    """The result of a way over all rounds: medians, in seconds. ``share`` is of one core, in addition to ``quiet``."""

    way: str
    wall_s: float
    cpu_s: float
    share: float
    low: float
    high: float


class Ran(Struct, frozen=True):
    """One run."""

    wall_s: float
    cpu_s: float


def main() -> int:
    options = _options()
    latency = options.seconds * options.concurrency / options.rollouts
    with tempfile.TemporaryDirectory() as home, simulated("--latency", str(latency), "--slots", "4096") as url:
        world = _world(Path(home), url, options)
        ran = _alternate(Path(home), world, options)
    rows = [_measured(way, ran) for way in WAYS]
    met = all(row.share <= MOST for row in rows)
    if options.json:
        print(json.dumps({"rollouts": options.rollouts, "met": met, "rows": to_builtins(rows)}))
        return 0 if met else 1
    print(f"{'':10}{'wall s':>8}{'CPU s':>8}{'of one core, over quiet':>26}{'rounds from … to':>22}")
    for row in rows:
        print(f"{row.way:10}{row.wall_s:>8.1f}{row.cpu_s:>8.2f}{row.share:>25.2%} {row.low:>12.2%} … {row.high:.2%}")
    print(f"target: at most {MOST:.0%} each: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def _alternate(home: Path, world: RunConfig, options: argparse.Namespace) -> dict[str, list[Ran]]:
    rng = random.Random(0)
    ran: dict[str, list[Ran]] = {way: [] for way in WAYS}
    # First imports and opened files must not count for any way.
    for way in WAYS:
        _run(way, world, home / f"warm-{way}")
    for number in range(options.rounds):
        for way in rng.sample(WAYS, len(WAYS)):
            ran[way].append(_run(way, world, home / f"{number}-{way}"))
    return ran


def _run(way: str, request: RunConfig, out: Path) -> Ran:
    with _watcher(way) as watcher:
        wall, cpu = time.perf_counter(), time.process_time()
        outcome = start_run(request, out, watcher=watcher)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert outcome.counts.missing == 0
    return Ran(wall, cpu)


@contextmanager
def _watcher(way: str) -> Iterator[Watcher]:
    if way == "metrics":
        said = io.StringIO()
        watcher = make_watcher(quiet=True, file=said, metrics_port=0)
        end = threading.Event()
        scraper = threading.Thread(target=_scrape, args=(said.getvalue().split()[-1], end))
        scraper.start()
        yield watcher
        end.set()
        scraper.join()
    else:
        yield make_watcher(quiet=way == "quiet", file=_Nowhere(terminal=way == "display"))


def _scrape(url: str, end: threading.Event) -> None:
    while not end.wait(1.0):
        with urllib.request.urlopen(url) as response:
            response.read()


class _Nowhere(io.StringIO):
    """A file that claims to be a terminal, or not, and discards its input."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        return len(text)


def _measured(way: str, ran: dict[str, list[Ran]]) -> Measured:
    shares = [(mine.cpu_s - quiet.cpu_s) / mine.wall_s for mine, quiet in zip(ran[way], ran["quiet"], strict=True)]
    return Measured(
        way,
        statistics.median(one.wall_s for one in ran[way]),
        statistics.median(one.cpu_s for one in ran[way]),
        statistics.median(shares),
        min(shares),
        max(shares),
    )


def _world(home: Path, url: str, options: argparse.Namespace) -> RunConfig:
    """Write a task of questions about one picture, and a registry of one expert."""
    from PIL import Image

    (home / "data").mkdir()
    Image.new("RGB", (32, 32), (90, 90, 200)).save(home / "data" / "0.png")
    row = {"type": "human_test", "image": "0.png", "answer": "4"}
    lines = [json.dumps({**row, "question": f"What is the value of item {n}?"}) for n in range(options.rollouts)]
    (home / "data" / "chartqa.jsonl").write_text("\n".join(lines) + "\n")
    (home / "registry.yaml").write_text(
        f"""schema: 1
name: measured
endpoints:
  there: {{url: "{url}", concurrency: {options.concurrency}}}
experts:
  oracle: {{model: oracle, endpoint: there, description: Knows what is in a picture.}}
skills:
  Ask: {{description: Ask plainly., prompt: prompts/plain.j2}}
"""
    )
    return RunConfig(
        policy="fixed:oracle@@Ask",
        registry=str(home / "registry.yaml"),
        tasks=("maestro_chartqa",),
        data={"maestro_chartqa": str(home / "data" / "chartqa.jsonl")},
        concurrency=options.concurrency,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU that watching a run costs, against the simulated server")
    parser.add_argument("--rollouts", type=int, default=1500, help="rollouts of a run (default: 1500)")
    parser.add_argument("--concurrency", type=int, default=64, help="rollouts at once (default: 64)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a run takes about (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
