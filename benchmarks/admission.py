"""Measures the limiter's benefit and cost: throughput and latency of an engine with few slots, with and without it.

``--callers`` callers call without a pause until ``--calls`` calls are done; the engine (the simulated server, in a
process of its own) serves ``--slots`` at once and queues the rest silently, as vLLM does. The settings, one after
the other in one process:

- ideal: the limit is the number of slots, which no client knows in advance,
- no limit: every caller's call is sent at once,
- limiter, metrics: the cap is the number of callers, and the engine publishes its state,
- limiter, no metrics: the same with a server without ``/metrics``, so that the limit stays at the cap.

Throughput is relative to the ideal's. Latency is that of the request at the engine, which timeouts apply to; it is
given for all calls and for the second half. Targets are those of the limiter with metrics: at least 95 % of the
ideal's throughput, and a p95 at most twice the ideal's in the second half.

    python benchmarks/admission.py [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp
from msgspec import Struct, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.simulated import simulated
from maestro_eval.models.adaptive_concurrency import CallEnd
from maestro_eval.models.engine_metrics import EngineWatch
from maestro_eval.models.limiter import Limiter
from maestro_eval.records import Endpoint

LEAST_THROUGHPUT = 0.95
MOST_P95 = 2.0


class Measured(Struct, frozen=True):
    """The result of one setting. ``throughput`` and ``p95`` are over the ideal's; ``limit`` is the final limit."""

    way: str
    wall_s: float
    p95_s: float
    late_p95_s: float
    limit: int
    throughput: float = 1.0
    p95: float = 1.0


def main() -> int:
    options = _options()
    ways = [("ideal", options.slots, True), ("no limit", options.callers, None)]
    ways += [("limiter, metrics", options.callers, True), ("limiter, no metrics", options.callers, False)]
    rows = [asyncio.run(_measure(*way, options)) for way in ways]
    rows = [_over(row, rows[0]) for row in rows]
    met = rows[2].throughput >= LEAST_THROUGHPUT and rows[2].p95 <= MOST_P95
    if options.json:
        print(json.dumps({"slots": options.slots, "callers": options.callers, "met": met, "rows": to_builtins(rows)}))
        return 0 if met else 1
    print(f"{'':20}{'wall s':>8}{'× ideal':>9}{'p95 s':>8}{'2nd half':>10}{'× ideal':>9}{'limit':>7}")
    for row in rows:
        print(
            f"{row.way:20}{row.wall_s:>8.1f}{row.throughput:>9.2f}{row.p95_s:>8.2f}{row.late_p95_s:>10.2f}"
            f"{row.p95:>9.1f}{row.limit:>7}"
        )
    print(
        f"targets of the limiter with metrics: at least {LEAST_THROUGHPUT:g} of the throughput, at most {MOST_P95:g} "
        f"of the p95: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


async def _measure(way: str, cap: int, readable: bool | None, options: argparse.Namespace) -> Measured:
    """Measure one setting. ``readable``: the engine publishes its state; None keeps the limit at the cap."""
    fixed = readable is None or way == "ideal"
    with _server(options, metrics=readable is not False) as url:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            limiter = Limiter()
            watch = EngineWatch(url, limiter, lambda: session, options.poll)
            endpoint = Endpoint("measured", url, concurrency=cap)
            rng, seconds = random.Random(0), []
            todo = iter([rng.randrange(options.shortest, options.longest) for _ in range(options.calls)])

            async def caller() -> None:
                for tokens in todo:
                    await limiter.enter(endpoint)
                    if not fixed:
                        watch.wake()
                    began = time.monotonic()
                    await _call(session, url, tokens)
                    took = time.monotonic() - began
                    seconds.append(took)
                    # A fixed limit gets no signal.
                    how = "broken" if fixed else "answered"
                    limiter.leave(endpoint, CallEnd(how, began, took))

            wall = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(options.callers)))
            wall = time.perf_counter() - wall
            await watch.close()
    late = seconds[len(seconds) // 2 :]
    return Measured(way, wall, _p95(seconds), _p95(late), limiter.places.limit)


async def _call(session: aiohttp.ClientSession, url: str, tokens: int) -> None:
    """Send a call; ``max_tokens`` cuts the server's long reply and so sets the time at the engine."""
    body = {"model": "m", "messages": [{"role": "user", "content": "How many?"}], "max_tokens": tokens}
    async with session.post(f"{url}/chat/completions", json=body) as response:
        assert (await response.json())["usage"]["completion_tokens"] == tokens


def _over(row: Measured, ideal: Measured) -> Measured:
    return Measured(
        row.way, row.wall_s, row.p95_s, row.late_p95_s, row.limit,
        ideal.wall_s / row.wall_s, row.late_p95_s / ideal.late_p95_s,
    )  # fmt: skip


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


def _server(options: argparse.Namespace, *, metrics: bool) -> AbstractContextManager[str]:
    return simulated(
        *("--slots", str(options.slots), "--decode", str(options.decode), "--latency", str(options.latency)),
        *("--reply", "word " * options.longest, *([] if metrics else ["--no-metrics"])),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The limiter against no limit and the ideal, at the simulated server")
    parser.add_argument("--slots", type=int, default=16, help="requests that the engine serves at once (default: 16)")
    parser.add_argument("--callers", type=int, default=128, help="callers at once, and the cap (default: 128)")
    parser.add_argument("--calls", type=int, default=3000, help="calls of each way (default: 3000)")
    parser.add_argument("--latency", type=float, default=0.03, help="minimum seconds of each reply (0.03)")
    parser.add_argument("--decode", type=float, default=0.001, help="seconds more for each token (default: 0.001)")
    parser.add_argument("--shortest", type=int, default=10, help="tokens of the shortest reply (default: 10)")
    parser.add_argument("--longest", type=int, default=100, help="tokens of the longest reply (default: 100)")
    parser.add_argument("--poll", type=float, default=0.25, help="seconds between two polls of /metrics (0.25)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
