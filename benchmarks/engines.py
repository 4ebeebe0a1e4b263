"""Runs simulated engines in one process of their own: the orchestrator and its experts, with a record of requests.

The first engine serves the orchestrator and any model that is not one of the experts: it searches a given number of
times, each time with another expert, and then answers. The others serve one expert each. The measurements are read
from the engines' own records, so they do not depend on the client.
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
    """One engine's record since the last report: arrivals (Unix seconds), number of images, most requests at once.

    ``by_bytes`` of the images came as bytes.
    """

    latency_s: float
    arrivals: tuple[float, ...]
    images: int
    peak: int
    by_bytes: int = 0


class Report(Struct, frozen=True):
    """The records of all engines; ``cpu_s`` is the CPU time of their process so far."""

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
        """The time when the last reply is due."""
        return max(engine.arrivals[-1] + engine.latency_s for engine in self.engines if engine.arrivals)

    def in_flight(self, share: float = 1.0) -> float:
        """Return the mean number of requests at the engines, by Little's law with the engines' own latencies.

        The engines' slowness therefore counts against the client. ``share`` selects the middle part of the arrivals,
        without the beginning and the end of a run; 1 is all, from the first arrival to the last reply.
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
    """The running engines; ``urls`` are in the order of their latencies."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.urls: tuple[str, ...] = tuple(self._read(list[str]))

    def seen(self) -> Report:
        """Return the records since the last call."""
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
    """Run one engine for each of ``latencies``; the first one's orchestrator searches ``searches`` times.

    ``pictures`` is the best of ``FORMS`` that the engines accept.
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
    """Return the name of the expert that the ``number``-th engine (from 1) serves."""
    return f"expert{number}"


def _orchestrator(searches: int, experts: int) -> Rule:
    def reply(body: dict[str, Any]) -> str:
        if body["model"] != ORCHESTRATOR:
            return "The bars are labelled; the one in question reads four. Answer: 4"
        users = [message for message in body["messages"] if message["role"] == "user"]
        searched = len(users) - 1
        if searched >= searches:
            return "<think> That settles it. </think><answer> 4 </answer>"
        # The question chooses the expert, so that the load of each is about even and the same in every run.
        asked = zlib.crc32("".join(part.get("text", "") for part in users[0]["content"]).encode())
        name = expert(1 + (asked + searched) % experts)
        # Requests differ, because a run does not send the same one twice.
        request = f"What does bar {asked} read?"
        return f"<think> {name} should know. </think><search> {name}@@Ask: {request} </search>"

    return reply


class _Tally:
    """Counts the arrivals at one engine since the last report."""

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
        # The form of the pictures is not known yet when a request arrives.
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
