"""Runs the simulated server in a thread, for synchronous tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import ParamSpec

from maestro_eval.testing.server import SimulatedServer

P = ParamSpec("P")


def _on_thread(make: Callable[P, SimulatedServer]) -> Callable[P, AbstractContextManager[SimulatedServer]]:
    @contextmanager
    def running(*args: P.args, **kwargs: P.kwargs) -> Iterator[SimulatedServer]:
        started: Future[tuple[SimulatedServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def serve() -> None:
            stop = asyncio.Event()
            try:
                async with make(*args, **kwargs) as server:
                    started.set_result((server, asyncio.get_running_loop(), stop))
                    await stop.wait()
            except Exception as error:
                # An exception during the start is raised in the caller, a later one in this thread.
                if started.done():
                    raise
                started.set_exception(error)

        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="simulated-server", daemon=True)
        thread.start()
        server, loop, stop = started.result()
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()

    return running


simulated_in_thread = _on_thread(SimulatedServer)
"""``with simulated_in_thread(...) as server`` has the arguments of ``SimulatedServer``."""
