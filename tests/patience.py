"""Waiting for other processes on a machine that may be busy: long deadlines, which cost nothing where all is well."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable

import psutil

PATIENCE_S = 180.0
_held: list[socket.socket] = []


def wait_until(
    condition: Callable[[], object], seconds: float = PATIENCE_S, said: Callable[[], str] | None = None
) -> None:
    """Return once ``condition`` holds; fail after ``seconds`` with what was ``said`` until then."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said() if said else f"it did not come about within {seconds:g} s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Return whether there is such a process; a zombie does not run."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pids: Iterable[int]) -> None:
    """Return once none of the processes runs any more."""
    wait_until(lambda: not any(map(is_running, pids)))


def free_ports(count: int) -> list[int]:
    """Return ports of loopback at which nobody listens but whom the test starts there.

    They stay bound, so that the system gives them to no other process in between; who binds them by number, with
    ``SO_REUSEADDR`` as servers do, may listen.
    """
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    _held.extend(sockets)
    return [each.getsockname()[1] for each in sockets]


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler of its own for a signal."""
    with open(f"/proc/{pid}/status") as status:
        (mask,) = (line.split()[1] for line in status if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)
