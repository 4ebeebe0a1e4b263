"""A process that is told one thing, says one line, and is ended with all that it started.

Promise: when ``converse`` is left, by its result, an exception or a cancellation, the process is dead, and so is every
process that still has the environment which it was started with, whatever session or parent it has by then (Linux;
elsewhere those of its process group). What is taken of its output is bounded, and the rest is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from msgspec import Struct

from maestro_eval.records import RolloutFailure

MAX_REPLY = 8 << 20
ERRORS_KEPT = 4096

_REAP_S = 5.0
_SWEEPS = 20
_MARK = "MAESTRO_RELEASED_SKILL"


class Ended(Struct, frozen=True):
    """What a process said: its one line, and the end of what it wrote to standard error."""

    line: bytes
    errors: bytes
    too_long: bool = False


async def converse(command: Sequence[Path], said: bytes, environment: Mapping[str, str], folder: Path) -> Ended:
    """Start ``command`` in ``folder``, tell it ``said`` and take its line; RolloutFailure if it cannot be started."""
    mark = secrets.token_hex(16)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**environment, _MARK: mark},
            start_new_session=True,
        )
    except OSError as error:
        raise RolloutFailure("harness", f"{command[0]} cannot be started ({error.strerror})") from error
    # Pipes were asked for, so all three are there.
    stdin, stdout = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    errors = asyncio.create_task(_tail(cast(asyncio.StreamReader, process.stderr)))
    try:
        # A process that ends at once says why on standard error; that it did not listen is no news.
        with contextlib.suppress(ConnectionError):
            stdin.write(said)
            await stdin.drain()
        stdin.close()
        line, too_long = await _first_line(stdout)
    finally:
        await _end(process, mark, stdout, errors)
    return Ended(line, errors.result() if errors.done() and not errors.cancelled() else b"", too_long)


async def _first_line(stream: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Up to the newline, or what there is at the end; and whether it was more than is taken."""
    taken = bytearray()
    while chunk := await stream.read(1 << 16):
        taken += chunk
        if b"\n" in chunk:
            break
        if len(taken) > MAX_REPLY:
            return b"", True
    return bytes(taken.partition(b"\n")[0]), False


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """The end of what is written, however much that is."""
    kept = b""
    while chunk := await stream.read(1 << 16):
        kept = (kept + chunk)[-ERRORS_KEPT:]
    return kept


async def _end(
    process: asyncio.subprocess.Process, mark: str, stdout: asyncio.StreamReader, errors: asyncio.Task[bytes]
) -> None:
    """Kill the process and all that it started, and wait for it. The pipes are emptied, or the wait would not end."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for _ in range(_SWEEPS):
        strays = list(_marked(mark))
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not strays:
            break
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_S):
            await asyncio.gather(_tail(stdout), errors, process.wait())


def _marked(mark: str) -> Iterator[int]:
    """The processes that still have the environment which this use began with; none where there is no /proc."""
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
