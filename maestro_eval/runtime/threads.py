"""Keeps blocked threads from blocking the process: abandonable reads, and event loops that end in bounded time.

A hanging file system, or a library that never returns, cannot be interrupted from Python; its thread is lost. The
caller's wait has a deadline, so a rollout fails and the run continues. But the standard library waits for such threads
twice, when the loop closes and when the interpreter exits, and would wait for ever. So reading happens in daemon
threads (``run_abandonable``), which nothing waits for; the loop's own pool gets a few seconds (``run_loop``); and the
owner of the process checks ``left_behind`` before an exit that waits for all threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# The time to read one sample: a task's first one opens it, and imports the libraries of its format.
READ_S = 300.0
# Decoding is Python and C in turns; a few readers keep a disk busy.
_READERS = 8
_POOL = 32
_PATIENCE_S = 5.0
# glibc's number of the setting, from malloc.h.
_M_ARENA_MAX = -8

_abandoned: list[threading.Thread] = []


class Readers:
    """Runs blocking calls of one event loop, ``at_once`` at a time, each in its own daemon thread.

    A call that is abandoned (cancelled, or by a timeout around it) frees its place at once, though its thread may be
    stuck: the others continue.
    """

    def __init__(self, at_once: int = _READERS) -> None:
        self._places = asyncio.Semaphore(at_once)

    async def run_abandonable(self, call: Callable[[], T]) -> T:
        """Run ``call`` in a thread; return its result or raise its exception."""
        async with self._places:
            result: Future[T] = Future()
            # A call that has begun cannot be cancelled; if abandoned, its result is discarded.
            result.set_running_or_notify_cancel()

            def work() -> None:
                try:
                    result.set_result(call())
                except BaseException as raised:  # it is the caller's, whatever it is
                    result.set_exception(_storable(raised))

            threading.Thread(target=work, name="reader", daemon=True).start()
            return await asyncio.wrap_future(result)


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run ``asyncio.run``, but wait only a few seconds for threads that block."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(PatientPool(_POOL, "loop"))
        return runner.run(main)


def left_behind() -> list[str]:
    """Return the names of threads that a loop's end abandoned, and for which the interpreter would wait for ever."""
    return [thread.name for thread in _abandoned if thread.is_alive()]


class PatientPool(ThreadPoolExecutor):
    """Waits a few seconds for its threads at shutdown, and drops calls that have not begun."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)
        if not wait:
            return
        deadline = time.monotonic() + _PATIENCE_S
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _abandoned.append(thread)


def _storable(error: BaseException) -> BaseException:
    """Wrap what a future cannot store (StopIteration), and what would end the loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def limit_arenas() -> None:
    """Have the C library keep freed memory in two arenas instead of one for each thread.

    Images are read and encoded in short-lived threads; the memory that each leaves behind would add up.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
