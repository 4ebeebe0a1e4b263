"""Run a child process that answers messages over its standard input and output and exits when its input closes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

_SECONDS_TO_END = 10.0


class Child:
    """The parent's side of a child process. ``how`` is passed to ``subprocess.Popen``; OSError if it fails to start."""

    def __init__(self, command: Sequence[str], **how: Any) -> None:
        theirs, self._requests = Pipe(duplex=False)
        self._replies, answers = Pipe(duplex=False)
        with theirs, answers:
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=answers.fileno(), **how)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: bytes) -> None:
        """Send a message. A message to a child that has exited is lost, and `receive` then returns None."""
        with contextlib.suppress(OSError):
            self._requests.send_bytes(message)

    def receive(self) -> bytes | None:
        """Return the next reply, or None if the child has exited."""
        return received(self._replies)

    def kill(self) -> None:
        """Kill the child at once; call `end` afterwards."""
        self._process.kill()

    def end(self) -> int:
        """Close the child's input, kill it if it runs on for 10 s, and return its exit code (-n after signal n)."""
        self._requests.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        self._replies.close()
        return code

    def disown(self) -> None:
        """In a forked process: leave the child to the process that started it."""
        self._requests.close()
        self._replies.close()
        # With a return code, Popen does not wait for a process that is not our child.
        self._process.returncode = 0


def received(pipe: Connection[Any, Any]) -> bytes | None:
    """Wait for the next message; return None if the other side closed the pipe, even in the middle of a message."""
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        return None


def private_pipes() -> tuple[Connection[Any, Any], Connection[Any, Any]]:
    """In the child, return requests and replies as pipes that code which reads or prints cannot reach.

    Such code reads an empty input, and what it prints goes to standard error.
    """
    requests, replies = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies
