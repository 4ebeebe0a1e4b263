"""A child process that answers messages over its standard input and output, and ends when its input does."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

_SECONDS_TO_END = 10.0


class Child:
    """The parent's end. ``how`` are further arguments of ``subprocess.Popen``; OSError where it does not start."""

    def __init__(self, command: Sequence[str], **how: Any) -> None:
        theirs, self._requests = Pipe(duplex=False)
        self._replies, answers = Pipe(duplex=False)
        with theirs, answers:
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=answers.fileno(), **how)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: bytes) -> None:
        """Send a message. What a child that has ended is sent is lost, and `receive` says so."""
        with contextlib.suppress(OSError):
            self._requests.send_bytes(message)

    def receive(self) -> bytes | None:
        """Return the next reply, or None where the child ended instead."""
        return received(self._replies)

    def kill(self) -> None:
        """End the child at once; `end` is still to be called."""
        self._process.kill()

    def end(self) -> int:
        """End the child by the end of its input, and return its exit code, negative after a signal."""
        self._requests.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        self._replies.close()
        return code

    def disown(self) -> None:
        """After a fork: leave the child to the process that we were forked from."""
        self._requests.close()
        self._replies.close()
        # It is not ours to wait for, which is all that this field stands for.
        self._process.returncode = 0


def received(pipe: Connection[Any, Any]) -> bytes | None:
    """Wait for the next message, and return None where the other side ended instead, in the middle of one or not."""
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        return None


def private_pipes() -> tuple[Connection[Any, Any], Connection[Any, Any]]:
    """In the child, return requests and replies, out of reach of code that reads or prints.

    Such code reads nothing, and prints to standard error.
    """
    requests, replies = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies
