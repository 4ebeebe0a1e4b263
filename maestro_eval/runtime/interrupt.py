"""Ctrl-C once ends a run in order, twice stops it at once. SIGTERM, which batch systems send, is taken the same way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` at the first of the signals; the second acts as it does in any Python program.

    The handlers are Python's and not the loop's: those act only when the loop comes round, and a loop that is blocked
    could then not be stopped at all.
    """
    if threading.current_thread() is not threading.main_thread():
        # Under a notebook's executor, say: Ctrl-C is not ours to take there.
        yield
        return
    loop = asyncio.get_running_loop()
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
