"""Ctrl-C once ends a run in order, twice stops it at once. SIGTERM, which batch systems send, is taken the same way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from weakref import WeakSet

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_stops: dict[threading.Thread, Callable[[], object]] = {}
_asked: WeakSet[threading.Thread] = WeakSet()


def stop_run(thread: threading.Thread) -> None:
    """End the run of another thread in order, as Ctrl-C ends one of the main thread; also one that is yet to begin."""
    _asked.add(thread)
    # The loop may close in between.
    with contextlib.suppress(KeyError, RuntimeError):
        _stops[thread]()


@contextlib.contextmanager
def interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` at the first of the signals; the second acts as it does in any Python program.

    The handlers are Python's and not the loop's: those act only when the loop comes round, and a loop that is blocked
    could then not be stopped at all.
    """
    loop = asyncio.get_running_loop()
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        # Signals reach the main thread only; whoever runs there may call `stop_run`.
        _stops[thread] = lambda: loop.call_soon_threadsafe(stop.set)
        if thread in _asked:
            stop.set()
        try:
            yield
        finally:
            del _stops[thread]
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was there before Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
