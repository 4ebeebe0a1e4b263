"""Threads that block cannot hold the process: what is read apart, and how an event loop is left.

A file system that hangs, or a library that never returns, cannot be interrupted from Python; the thread it runs in is
lost. What is awaited of it has a deadline, so a rollout fails and the run goes on. But the standard library waits for
such threads twice, when the loop closes and when the interpreter ends, and would wait for ever. So reading is done in
daemon threads (``run_abandonable``), for which nobody waits; the loop's own pool is given a few seconds
(``run_loop``); and who owns the process asks ``left_behind`` before an end that waits for all threads.
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

# What reading one sample may take: a task's first one opens it, and imports what it is written in.
READ_S = 300.0
# Decoding is Python and C that takes turns; a few keep a disk busy.
_READERS = 8
_POOL = 32
_PATIENCE_S = 5.0
# glibc's number of the setting, from malloc.h.
_M_ARENA_MAX = -8

_given_up: list[threading.Thread] = []


class Readers:
    """Blocking calls of one event loop, ``at_once`` of them at a time, each in a daemon thread of its own.

    A call that is given up (cancelled, or past a time-out around it) gives its place back at once, though its thread
    may be stuck: the others go on.
    """

    def __init__(self, at_once: int = _READERS) -> None:
        self._places = asyncio.Semaphore(at_once)

    async def run_abandonable(self, call: Callable[[], T]) -> T:
        """Run ``call`` in a thread; return or raise what it does."""
        async with self._places:
            result: Future[T] = Future()
            # What has begun cannot be cancelled: its end is then nobody's.
            result.set_running_or_notify_cancel()

            def work() -> None:
                try:
                    result.set_result(call())
                except BaseException as raised:  # it is the caller's, whatever it is
                    result.set_exception(_carried(raised))

            threading.Thread(target=work, name="reader", daemon=True).start()
            return await asyncio.wrap_future(result)


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, which waits a few seconds at most for threads that block."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(PatientPool(_POOL, "loop"))
        return runner.run(main)


def left_behind() -> list[str]:
    """Return the names of threads that a loop's end did not wait for, and the interpreter's would for ever."""
    return [thread.name for thread in _given_up if thread.is_alive()]


class PatientPool(ThreadPoolExecutor):
    """Waits a few seconds at most for its threads at its end, and drops what they have not begun."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)
        if not wait:
            return
        deadline = time.monotonic() + _PATIENCE_S
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _given_up.append(thread)


def _carried(error: BaseException) -> BaseException:
    """A future takes no StopIteration, and what would end the thread must not end the loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def limit_arenas() -> None:
    """Have the C library keep freed memory in two places instead of one for each thread.

    Pictures are read and encoded in short-lived threads; what each leaves behind would add up to all of them again.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
