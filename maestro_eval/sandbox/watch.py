"""Watches a running program: reads its output within a bound, and ends it with all its children in time.

Memory of the whole tree is measured every 50 ms, so a fast program can exceed the limit by what it allocates in that
time; the limits that the kernel enforces for each process are the hard bound. No limit of a process covers the kernel's
own memory for it: what its sockets and pipes can buffer, and the files and folders of its /tmp, count as memory. A
control group would account for them exactly; none is used, because few machines let an ordinary user have one.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maestro_eval.sandbox.launch import Limits

Broken = Literal["timeout", "memory", "output"]

_LOOK_EVERY_S = 0.05
_KEEPER_WAIT_S = 2.0
_CHUNK = 1 << 16
# Bounds of the kernel's memory: of a socket the largest buffer (twice net.core.wmem_max), of a pipe 16 pages, of a file
# in memory or a folder its inode and its name.
_SOCKET_BYTES, _PIPE_BYTES, _INODE_BYTES = 425_984, 65_536, 1_536


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a process. ``broke``: the limit for which we ended it. ``exit_code`` is 128 + n after signal n."""

    broke: Broken | None
    exit_code: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float


def watch(process: subprocess.Popen[bytes], limits: Limits, *, keeper: bool) -> Ending:
    """Wait for ``process`` (with pipes and a session of its own), or end it at a limit; no process remains.

    A ``keeper`` is a process that ends by itself once all its children are dead, as bwrap does.
    """
    try:
        with closing(_Watched(process, limits, own_tmp=keeper)) as watched:
            broke = watched.until_it_ends()
            elapsed = watched.elapsed()
    finally:
        _kill_all(process, keeper=keeper)
    return Ending(
        broke=broke,
        exit_code=128 - process.returncode if process.returncode < 0 else process.returncode,
        stdout=bytes(watched.stdout),
        stderr=bytes(watched.stderr),
        elapsed_s=elapsed,
    )


class _Watched:
    """A process, its output so far, and its start time."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, *, own_tmp: bool) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._began = time.monotonic()
        self._process = process
        self._limits = limits
        self._own_tmp = own_tmp
        self._pipes = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        self.stdout, self.stderr = self._pipes.values()
        self._selector = selectors.DefaultSelector()
        # Unlike poll(), this does not reap the process: its id stays its own until all of its group is killed.
        self._end = os.pidfd_open(process.pid)
        self._selector.register(self._end, selectors.EVENT_READ)
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def until_it_ends(self) -> Broken | None:
        """Wait for its own end (return ``None``), or return the limit that it broke."""
        next_look = _LOOK_EVERY_S
        while True:
            ready = {key.fd for key, _ in self._selector.select(_LOOK_EVERY_S)}
            if not all(self._read_once(descriptor) for descriptor in ready - {self._end}):
                return "output"
            if self._end in ready:
                return None if self._drain() else "output"
            if self.elapsed() >= self._limits.wall_s:
                return "timeout"
            if self.elapsed() >= next_look:
                kept = _tree_memory(self._process.pid) + _kernel_memory(self._process.pid, own_tmp=self._own_tmp)
                if kept > self._limits.memory_mb << 20:
                    return "memory"
                next_look = self.elapsed() + _LOOK_EVERY_S

    def close(self) -> None:
        self._selector.close()
        os.close(self._end)

    def _drain(self) -> bool:
        """Read what the ended process left in its pipes. They may never reach EOF: a stray child can hold them open."""
        self._selector.unregister(self._end)
        while ready := self._selector.select(0):
            if not all(self._read_once(key.fd) for key, _ in ready):
                return False
        return True

    def _read_once(self, descriptor: int) -> bool:
        """Read once from a ready pipe; return whether the output stays within the bound."""
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            self._selector.unregister(descriptor)
        kept = self._pipes[descriptor]
        room = (self._limits.output_kb << 10) - len(kept)
        kept += chunk[:room]
        return len(chunk) <= room


def _kill_all(process: subprocess.Popen[bytes], *, keeper: bool) -> None:
    """Kill ``process`` and all that it started, and wait for it.

    A keeper ends by itself first: killed before the others, it could not report their death.
    """
    started = tuple(_descendants(process.pid))
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if keeper and started:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KEEPER_WAIT_S)
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _descendants(pid: int) -> Iterator[int]:
    """Yield all processes below ``pid``, parents first."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _tree_memory(pid: int) -> int:
    """Count the bytes of ``pid`` and all below it, shared pages once; an unreadable process counts 0."""
    total = 0
    for each in (pid, *_descendants(pid)):
        with suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
    return total


def _kernel_memory(pid: int, *, own_tmp: bool) -> int:
    """Count the bytes that the kernel may use for the processes below ``pid``, and those in a /tmp of their own."""
    total = inodes = 0
    for each in _descendants(pid):
        with suppress(OSError):
            for descriptor in os.scandir(f"/proc/{each}/fd"):
                kind = os.readlink(descriptor.path).partition(":")[0]
                total += _SOCKET_BYTES if kind == "socket" else _PIPE_BYTES if kind == "pipe" else 0
        if own_tmp and not inodes:
            with suppress(OSError):
                held = os.statvfs(f"/proc/{each}/root/tmp")
                ours = os.statvfs("/tmp")
                inodes = held.f_files - held.f_ffree if held.f_fsid != ours.f_fsid else 0
    return total + inodes * _INODE_BYTES
