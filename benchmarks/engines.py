"""Simulated engines in one process of their own, which play the orchestrator and its experts and tell what they saw.

The first engine serves the orchestrator and any model that is no expert of the world: it searches as often as it was
told to, each time another expert, and then answers. The others serve one expert each. What an engine saw is read from
its own records, so that a client cannot flatter itself.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from maestro_eval.files import picture_folder
from maestro_eval.testing import Latency, Rule, ServedRequest, SimulatedServer

ROOT = Path(__file__).resolve().parents[1]
ORCHESTRATOR = "orchestrator"
FORMS = ("file", "uuid", "bytes")


class Seen(Struct, frozen=True):
    """What one engine saw since it was last asked: when requests arrived (Unix seconds), their images, most at once.

    ``by_bytes`` of the images came as bytes.
    """

    latency_s: float
    arrivals: tuple[float, ...]
    images: int
    peak: int
    by_bytes: int = 0


class Report(Struct, frozen=True):
    """``cpu_s`` is what the process of the engines has spent in all."""

    engines: tuple[Seen, ...]
    cpu_s: float

    @property
    def requests(self) -> int:
        return sum(len(engine.arrivals) for engine in self.engines)

    @property
    def first_at(self) -> float:
        return min(engine.arrivals[0] for engine in self.engines if engine.arrivals)

    @property
    def last_reply_at(self) -> float:
        """When the last reply should have gone out."""
        return max(engine.arrivals[-1] + engine.latency_s for engine in self.engines if engine.arrivals)

    def in_flight(self, share: float = 1.0) -> float:
        """The mean number of requests at the engines, by Little's law with the engines' own latencies.

        Their slowness so counts against the client. ``share``: over the middle part of the arrivals only, without the
        beginning and the end of a run; 1 is all, from the first arrival to the last reply.
        """
        if share >= 1:
            begin, end = self.first_at, self.last_reply_at
        else:
            ordered = sorted(arrival for engine in self.engines for arrival in engine.arrivals)
            cut = int(len(ordered) * (1 - share) / 2)
            begin, end = ordered[cut], ordered[-1 - cut]
        busy = sum(
            engine.latency_s * sum(begin <= arrival < end for arrival in engine.arrivals) for engine in self.engines
        )
        return busy / (end - begin)


class Engines:
    """``urls`` in the order that was asked for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.urls: tuple[str, ...] = tuple(self._read(list[str]))

    def seen(self) -> Report:
        """What they saw since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("seen\n")
        self._process.stdin.flush()
        return self._read(Report)

    def _read(self, kind: Any) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the engines have died; their message is above")
        return msgspec.json.decode(line, type=kind)


@contextmanager
def engines(latencies: Sequence[Latency], searches: int = 0, pictures: str = "bytes") -> Iterator[Engines]:
    """One engine for each of ``latencies``; the first one's orchestrator asks ``searches`` times.

    ``pictures`` is the best of ``FORMS`` that the engines take.
    """
    told = json.dumps({"latencies": msgspec.to_builtins(latencies), "searches": searches, "pictures": pictures})
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.engines", told],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield Engines(process)
        finally:
            process.kill()


def expert(number: int) -> str:
    """The name of the expert that the ``number``-th engine (from 1) serves."""
    return f"expert{number}"


def _orchestrator(searches: int, experts: int) -> Rule:
    def reply(body: dict[str, Any]) -> str:
        if body["model"] != ORCHESTRATOR:
            return "The bars are labelled; the one in question reads four. Answer: 4"
        users = [message for message in body["messages"] if message["role"] == "user"]
        searched = len(users) - 1
        if searched >= searches:
            return "<think> That settles it. </think><answer> 4 </answer>"
        # Spread over the experts by the question, so that the load of each is about even and the same in every run.
        asked = zlib.crc32("".join(part.get("text", "") for part in users[0]["content"]).encode())
        name = expert(1 + (asked + searched) % experts)
        # No two alike, or the run would not ask again.
        request = f"What does bar {asked} read?"
        return f"<think> {name} should know. </think><search> {name}@@Ask: {request} </search>"

    return reply


class _Tally:
    """What has arrived at one engine since it was last told."""

    def __init__(self, latency: Latency) -> None:
        self._latency_s = latency.base_s
        self._clear()

    def __call__(self, record: ServedRequest) -> None:
        self._arrivals.append(record.arrived_at)
        self._images += record.images
        self._peak = max(self._peak, record.in_flight)
        self._records.append(record)

    def take(self) -> Seen:
        by_bytes = sum(record.pictures.count("bytes") for record in self._records)
        seen = Seen(self._latency_s, tuple(self._arrivals), self._images, self._peak, by_bytes)
        self._clear()
        return seen

    def _clear(self) -> None:
        self._arrivals = array("d")
        self._images = self._peak = 0
        # How the pictures came is not known yet when a request arrives.
        self._records: list[ServedRequest] = []


async def _serve(latencies: Sequence[Latency], searches: int, pictures: str) -> None:
    tallies = [_Tally(latency) for latency in latencies]
    rule = _orchestrator(searches, max(1, len(latencies) - 1))
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                SimulatedServer(
                    reply=rule,
                    models=[ORCHESTRATOR, expert(max(1, number))],
                    latency=latency,
                    on_request=tally,
                    media_path=str(picture_folder()) if pictures == "file" else "",
                    cached_pictures=10_000 if pictures == "uuid" else 0,
                )
            )
            for number, (latency, tally) in enumerate(zip(latencies, tallies, strict=True))
        ]
        print(json.dumps([server.url for server in servers]), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            used = resource.getrusage(resource.RUSAGE_SELF)
            report = Report(tuple(tally.take() for tally in tallies), used.ru_utime + used.ru_stime)
            print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    asyncio.run(
        _serve(msgspec.convert(settings["latencies"], list[Latency]), settings["searches"], settings["pictures"])
    )
