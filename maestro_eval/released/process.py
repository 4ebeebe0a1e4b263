"""Runs a process that reads one input and writes one line, and kills it with all its descendants.

Promise: when ``converse`` ends, by its result, an exception or a cancellation, the process is dead, and so is every
process that still has its environment, whatever its session or parent (on Linux; elsewhere every process of its group).
The output is read up to a limit, and the rest is discarded.
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
    """The output of a process: its line, empty if ``too_long``, and the end of its standard error."""

    line: bytes
    errors: bytes
    too_long: bool = False


async def converse(command: Sequence[Path], message: bytes, environment: Mapping[str, str], folder: Path) -> Ended:
    """Start ``command`` in ``folder``, send ``message`` and read its line. Raise RolloutFailure if it cannot start."""
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
    # All three are pipes, as requested above.
    stdin, stdout = cast(asyncio.StreamWriter, process.stdin), cast(asyncio.StreamReader, process.stdout)
    errors = asyncio.create_task(_tail(cast(asyncio.StreamReader, process.stderr)))
    try:
        # A process that ends at once writes the reason to standard error, so a broken pipe is ignored.
        with contextlib.suppress(ConnectionError):
            stdin.write(message)
            await stdin.drain()
        stdin.close()
        line, too_long = await _first_line(stdout)
    finally:
        await _end(process, mark, stdout, errors)
    return Ended(line, errors.result() if errors.done() and not errors.cancelled() else b"", too_long)


async def _first_line(stream: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Read up to the newline or the end; return the line, and True if it exceeds ``MAX_REPLY``."""
    taken = bytearray()
    while chunk := await stream.read(1 << 16):
        taken += chunk
        if b"\n" in chunk:
            break
        if len(taken) > MAX_REPLY:
            return b"", True
    return bytes(taken.partition(b"\n")[0]), False


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """Read the whole stream and return its end."""
    kept = b""
    while chunk := await stream.read(1 << 16):
        kept = (kept + chunk)[-ERRORS_KEPT:]
    return kept


async def _end(
    process: asyncio.subprocess.Process, mark: str, stdout: asyncio.StreamReader, errors: asyncio.Task[bytes]
) -> None:
    """Kill the process and its descendants, and wait for it. Drain the pipes, because full ones block the wait."""
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
    """Yield the processes whose environment contains ``mark``; none without /proc."""
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
