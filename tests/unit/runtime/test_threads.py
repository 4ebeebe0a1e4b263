from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest
from patience import PATIENCE_S

from maestro_eval.runtime.threads import Readers, run_loop


async def test_what_a_call_returns_or_raises_comes_back() -> None:
    readers = Readers()
    assert await readers.run_abandonable(lambda: 7) == 7
    with pytest.raises(KeyError, match="gone"):
        await readers.run_abandonable(lambda: {}["gone"])


async def test_a_call_that_would_end_the_loop_is_an_error_like_any_other() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await Readers().run_abandonable(leave)


async def test_no_more_run_at_once_than_asked() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def read() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    readers = Readers(at_once=3)
    await asyncio.gather(*(readers.run_abandonable(read) for _ in range(12)))
    assert most == 3


async def test_calls_that_hang_and_were_given_up_leave_their_places_to_others() -> None:
    end = threading.Event()
    readers = Readers(at_once=2)
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await readers.run_abandonable(end.wait)
    assert await readers.run_abandonable(lambda: "read") == "read"
    end.set()


def test_the_loop_waits_for_threads_that_come_back() -> None:
    done: list[bool] = []
    begun = threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        done.append(True)

    async def main() -> int:
        task = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        return 3

    assert run_loop(main()) == 3
    assert done == [True]


HANGS = """
import asyncio, sys, threading
from maestro_eval.runtime import threads
threads._PATIENCE_S = 0.2

async def main():
    for _ in range(2):
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    await asyncio.sleep(0.05)

threads.run_loop(main())
print(len(threads.left_behind()), flush=True)
import os
os._exit(0)
"""


def test_threads_that_do_not_come_back_are_left_and_told() -> None:
    program = [sys.executable, "-c", HANGS]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.stdout == "2\n", ended.stderr
