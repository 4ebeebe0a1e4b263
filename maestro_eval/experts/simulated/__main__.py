"""The simulated server as a process: prints ``listening URL`` and serves until it is told to stop.

``--log`` appends one JSON line a request as it arrives, flushed, so that a test which kills processes can count
what was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from pathlib import Path

import msgspec

from maestro_eval.experts.simulated.behaviour import Latency
from maestro_eval.experts.simulated.server import ServedRequest, SimulatedServer


class _Log:
    """A file of JSON lines. Opened for each line: requests are few, and a killed process loses none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, record: ServedRequest) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_parent:
        threading.Thread(target=_wait_for_end_of_input, args=(loop, stop), daemon=True).start()
    server = SimulatedServer(
        reply=options.reply,
        models=options.model,
        latency=Latency(base_s=options.latency, slots=options.slots),
        port=options.port,
        on_request=_Log(options.log) if options.log else None,
    )
    async with server:
        print(f"listening {server.url}", flush=True)
        await stop.wait()


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # The buffered stdin holds a lock that the interpreter wants at exit; its raw file does not.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:
        while stdin.read(4096):
            pass
    loop.call_soon_threadsafe(stop.set)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m maestro_eval.experts.simulated", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--reply", default="Answer: 4", help="the text of every reply")
    parser.add_argument("--model", action="append", default=[], help="a name that is served (any, when none is given)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a reply takes")
    parser.add_argument("--slots", type=int, default=256, help="how many are served at once")
    parser.add_argument("--log", type=Path, help="append one JSON line a request here")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input ends")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_options()))
