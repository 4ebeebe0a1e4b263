"""Measures what a call costs the client: CPU time of a text call, and the share of requested calls in flight.

The simulated server runs in a process of its own and answers after ``--latency`` seconds. ``--asked`` callers call
without a pause, each ``--rounds`` times, through

- bare aiohttp, the least that one HTTP request costs here (the client's cost is given relative to it),
- the client (``ExpertClient``), with targets: at most 1 ms of CPU per call, at least 90 % of ``--asked`` in flight,
- the client with a call cache that contains none of the replies, and again when it contains all.

In flight is the mean over the whole time: calls × latency / wall time (Little's law), so the server's own slowness
and the ends of the measurement count against the client. On a machine with less than two free cores the server
competes with the client for CPU; the row of bare aiohttp shows what is possible there.

    python benchmarks/client.py [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp
from msgspec import Struct, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.simulated import simulated
from maestro_eval.models import CallCache, ExpertClient, ModelAsk
from maestro_eval.records import Endpoint, Message, Sampling, TextPart

MOST_CPU_MS = 1.0
LEAST_SHARE = 0.90
# A skill sends about as much: a page of evidence and a question.
REQUEST = "You are given what an OCR service read in a chart. " * 20 + "Which bar is the highest, {number}?"

Caller = Callable[[str], Awaitable[None]]


class Measured(Struct, frozen=True):
    """The result of one way of calling. ``share`` is in flight over ``--asked``; None if no request is made."""

    way: str
    calls: int
    cpu_ms: float
    wall_s: float
    share: float | None
    cpu_ratio: float = 1.0


def main() -> int:
    options = _options()
    with _server(options.latency) as url:
        rows = asyncio.run(_measure_all(url, options))
    rows = [_with_ratio(row, rows[0].cpu_ms) for row in rows]
    bare, client = rows[:2]
    # If even bare aiohttp misses the target, the machine is too busy, not our client too slow.
    busy = (bare.share or 0.0) < LEAST_SHARE
    met = client.cpu_ms <= MOST_CPU_MS and (client.share or 0.0) >= LEAST_SHARE
    if options.json:
        print(
            json.dumps(
                {
                    "asked": options.asked,
                    "latency_s": options.latency,
                    "met": met,
                    "busy": busy,
                    "rows": to_builtins(rows),
                }
            )
        )
        return 0 if met else 1
    print(f"{'':24}{'calls':>7}{'CPU ms/call':>13}{'× bare':>8}{'in flight of ' + str(options.asked):>20}")
    for row in rows:
        share = "—" if row.share is None else f"{row.share * options.asked:.0f} ({row.share:.0%})"
        print(f"{row.way:24}{row.calls:>7}{row.cpu_ms:>13.2f}{row.cpu_ratio:>8.1f}{share:>20}")
    verdict = "met" if met else f"MISSED{', as by bare aiohttp: this machine is too busy' if busy else ''}"
    print(f"targets of the client: at most {MOST_CPU_MS:g} ms, at least {LEAST_SHARE:.0%} in flight: {verdict}")
    return 0 if met else 1


async def _measure_all(url: str, options: argparse.Namespace) -> list[Measured]:
    rows = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        rows.append(await _measure("bare aiohttp", _bare(session, url), options))
    async with ExpertClient() as client:
        rows.append(await _measure("client", _through(client, url, options), options))
    with tempfile.TemporaryDirectory() as folder:
        async with ExpertClient(cache=CallCache(Path(folder))) as client:
            rows.append(await _measure("client, cache misses", _through(client, url, options), options))
            hits = await _measure("client, cache hits", _through(client, url, options), options, requests=False)
        rows.append(hits)
    return rows


async def _measure(way: str, call: Caller, options: argparse.Namespace, *, requests: bool = True) -> Measured:
    async def ask(number: int) -> None:
        for turn in range(options.rounds):
            await call(REQUEST.format(number=number * options.rounds + turn))

    if requests:
        # Connections are opened once in a run of hours, so they are not part of the cost of a call.
        await asyncio.gather(*(call(f"warm {way} {number}") for number in range(options.asked)))
    calls = options.asked * options.rounds
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(options.asked)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    share = calls * options.latency / wall / options.asked if requests else None
    return Measured(way, calls, 1000 * cpu / calls, wall, share)


def _bare(session: aiohttp.ClientSession, url: str) -> Caller:
    async def call(text: str) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.0}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            reply = await response.json()
            assert reply["choices"][0]["message"]["content"]

    return call


def _through(client: ExpertClient, url: str, options: argparse.Namespace) -> Caller:
    endpoint = Endpoint("measured", url, concurrency=options.asked)

    async def call(text: str) -> None:
        message = Message("user", (TextPart(text),))
        done = await client.call(ModelAsk("expert", "measured", "m", endpoint, (message,), Sampling()))
        assert not done.error, done.error

    return call


def _server(latency: float) -> AbstractContextManager[str]:
    return simulated("--latency", str(latency), "--slots", "4096")


def _with_ratio(row: Measured, bare_ms: float) -> Measured:
    return Measured(row.way, row.calls, row.cpu_ms, row.wall_s, row.share, row.cpu_ms / bare_ms)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time of a call and calls in flight, against the simulated server")
    parser.add_argument("--asked", type=int, default=256, help="callers at once (default: 256)")
    parser.add_argument("--rounds", type=int, default=12, help="calls that each makes (default: 12)")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds until the server answers (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
