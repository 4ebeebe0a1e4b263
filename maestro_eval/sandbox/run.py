"""Runs a piece of generated Python, and returns how it ended.

The code is hostile by assumption: nothing that it does raises here, fills our memory, or outlives the call. Only our
own failures raise: a machine that cannot isolate (UserError, for the user to fix) or a sandbox that could not be built
this time (RolloutFailure, to be retried). A program may lie about itself only in the harmless direction: it can print
what it likes, and make its own run look worse than it was. Tests and the program that they test run in two processes
within one sandbox (see ``python_harness``).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from maestro_eval.records import RolloutFailure, UserError
from maestro_eval.sandbox.bubblewrap import PACKAGES_FOLDER, in_bubblewrap
from maestro_eval.sandbox.launch import Isolation, Launch, Limits, Reason, SandboxResult, in_process, memory_file
from maestro_eval.sandbox.watch import Ending, watch

_DEFAULT_LIMITS = Limits()
_LONGEST_CODE = 1 << 20
_WEAKER = "accept the weaker --sandbox=process"
_KILLED, _CPU_EXCEEDED = 128 + 9, 128 + 24
_GRACE_S = 5.0
# The harness bounds CPU time: the sandbox cannot distinguish the program's from the harness's own.
_CPU_S = 120.0
_MEMORY_MB = 1024


def run_python(
    code: str,
    *,
    stdin: str = "",
    limits: Limits = _DEFAULT_LIMITS,
    isolation: Isolation = "bubblewrap",
    packages: tuple[str, ...] = (),
) -> SandboxResult:
    """Run ``code`` as a program of the system's interpreter, with those of our packages that are named.

    Those of ``packages`` that can be mounted (see ``lacking``) are in ``PACKAGES_FOLDER``; bubblewrap only. Blocks for
    little more than ``limits.wall_s``; safe to call from threads (say ``asyncio.to_thread``).

    Raises:
        UserError: this machine lacks what ``isolation`` needs; the line says what to install.
        RolloutFailure: the sandbox could not be set up this time; cause ``harness``.
    """
    encoded = code.encode("utf-8", "surrogatepass")
    if len(encoded) > _LONGEST_CODE:
        return SandboxResult("refused", None, "", f"the code is longer than {_LONGEST_CODE} bytes", 0.0)
    bwrap = shutil.which("bwrap") if isolation == "bubblewrap" else None
    if bwrap is not None:
        _prove(bwrap)
    elif isolation == "bubblewrap":
        raise UserError(f"sandbox: bwrap is not installed: install the package 'bubblewrap', or {_WEAKER}")
    try:
        ending = _attempt(encoded, stdin, limits, bwrap, packages)
    except _SetupError as error:
        raise RolloutFailure("harness", f"sandbox: {error}") from error
    return _result(ending, limits)


def available(isolation: Isolation = "bubblewrap") -> str | None:
    """Return what is missing to run code with ``isolation``, and the fix, in one line; ``None`` if nothing is."""
    try:
        result = run_python("print('ready')", isolation=isolation)
    except (UserError, RolloutFailure) as error:
        return str(error)
    return None if result.stdout == "ready\n" else f"sandbox: the interpreter does not run: {_last_line(result.stderr)}"


class _SetupError(Exception):
    """The program was never reached; one line of why."""


@cache  # A success: exceptions are not cached, so that a fixed machine is noticed at once.
def _prove(bwrap: str) -> None:
    try:
        _attempt(b"", "", _DEFAULT_LIMITS, bwrap)
    except _SetupError as error:
        raise UserError(
            f"sandbox: bwrap cannot make namespaces here ({error}): allow user namespaces, or {_WEAKER}"
        ) from error


def _attempt(code: bytes, stdin: str, limits: Limits, bwrap: str | None, packages: tuple[str, ...] = ()) -> Ending:
    with ExitStack() as stack:
        if bwrap is None:
            launch = in_process(code, limits, stack)
        else:
            launch = in_bubblewrap(bwrap, code, limits, stack, packages)
        # A file and not a pipe: a program that does not read its input cannot block us.
        given = memory_file(stack, "stdin", stdin.encode("utf-8", "surrogatepass"))
        process = stack.enter_context(_start(launch, given))
        ending = watch(process, limits, keeper=launch.status is not None)
        if launch.status is None or ending.broke is not None:
            return ending
        # bwrap reports an exit code only when the sandbox was set up and executed the program.
        if b'"exit-code"' not in os.pread(launch.status, 1 << 16, 0):
            raise _SetupError(_last_line(ending.stderr.decode("utf-8", "replace")))
        return ending


def _start(launch: Launch, stdin: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            launch.command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=launch.cwd,
            env=launch.environment,
            pass_fds=launch.descriptors,
            start_new_session=True,
            user=launch.user,
            group=launch.user,
            extra_groups=None if launch.user is None else [],
        )
    except OSError as error:
        raise _SetupError(f"{launch.command[0]}: {error.strerror}") from error


def _result(ending: Ending, limits: Limits) -> SandboxResult:
    stderr = ending.stderr.decode("utf-8", "replace")
    return SandboxResult(
        reason=ending.broke or _own_end(ending, stderr, limits),
        exit_code=None if ending.broke else ending.exit_code,
        stdout=ending.stdout.decode("utf-8", "replace"),
        stderr=stderr,
        elapsed_s=ending.elapsed_s,
    )


def _own_end(ending: Ending, stderr: str, limits: Limits) -> Reason:
    if ending.exit_code == 0:
        return "ok"
    # As process 1 of its namespace it ignores the signal and gets the kill that follows it.
    if ending.exit_code == _CPU_EXCEEDED or (ending.exit_code == _KILLED and ending.elapsed_s >= limits.cpu_s):
        return "timeout"
    return "memory" if _last_line(stderr).startswith("MemoryError") else "error"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word of why"])[-1]


class TestReport(Struct, frozen=True):
    """The result of the tests. ``unjudged``: the tests are at fault; ``broken``: the harness never began."""

    __test__ = False  # Not one of pytest's.

    outcome: Literal["passed", "failed", "timeout", "missing", "unjudged", "broken"]
    detail: str = ""


def run_tests(
    program: str,
    tests: str,
    *,
    names: tuple[str, ...] = ("solution",),
    signature: str = "",
    preload: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    cpu_s: int = 10,
    wall_s: float = 10.0,
    isolation: Isolation = "bubblewrap",
) -> TestReport:
    """Run ``tests`` on ``program``: they call its functions ``names`` after the ``signature`` code of the task.

    ``cpu_s`` and ``wall_s`` bound the program once it is loaded; importing ``preload`` does not count. Raises as
    ``run_python`` does.
    """
    nonce = secrets.token_hex(16)
    case = {
        "nonce": nonce,
        "packages": PACKAGES_FOLDER,
        "signature": signature,
        "tests": tests,
        "program": program,
        "names": names,
        "preload": preload,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
    }
    limits = Limits(wall_s=wall_s + _GRACE_S, cpu_s=_CPU_S, memory_mb=_MEMORY_MB, file_mb=16, output_kb=64)
    result = run_python(_harness(), stdin=json.dumps(case), limits=limits, packages=packages, isolation=isolation)
    begun, _, said = result.stdout.partition("\n")
    if not secrets.compare_digest(begun.encode(), nonce.encode()):
        last = (result.stderr.strip().splitlines() or [""])[-1]
        return TestReport("broken", f"{result.reason} {last}".strip())
    try:
        return msgspec.json.decode(said, type=TestReport)
    except msgspec.DecodeError:  # the program was let in, and brought the harness down
        return TestReport("failed", f"the sandbox was ended by the program: {result.reason}")


@cache
def _harness() -> str:
    return Path(__file__).with_name("python_harness.py").read_text(encoding="utf-8")
