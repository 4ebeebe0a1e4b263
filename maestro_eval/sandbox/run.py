"""Run a piece of generated Python, and say how it ended.

The code is hostile by assumption: nothing that it does raises here, fills our memory, or outlives the call. What
raises is ours: a machine that cannot isolate (UserError, for the user to mend) or a sandbox that could not be
built this time (RolloutFailure, to be tried again). A program may lie about itself only in the harmless
direction: it can print what it likes, and make its own run look worse than it was.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from functools import cache

from maestro_eval.records import RolloutFailure, UserError
from maestro_eval.sandbox.bubblewrap import find_bwrap, in_bubblewrap, not_permitted
from maestro_eval.sandbox.launch import Launch, memory_file
from maestro_eval.sandbox.process import in_process
from maestro_eval.sandbox.records import Isolation, Limits, Reason, SandboxResult
from maestro_eval.sandbox.watch import Ending, watch

_DEFAULT_LIMITS = Limits()
_LONGEST_CODE = 1 << 20
_KILLED, _CPU_EXCEEDED = 128 + 9, 128 + 24


def run_python(
    code: str,
    *,
    stdin: str = "",
    limits: Limits = _DEFAULT_LIMITS,
    isolation: Isolation = "bubblewrap",
    packages: tuple[str, ...] = (),
) -> SandboxResult:
    """Run ``code`` as a program of the system's interpreter, without any package of ours but those named.

    Those of ``packages`` that can be lent (``lacking`` says why one cannot) lie in ``PACKAGES_FOLDER``; bubblewrap
    only. Blocks for at most ``limits.wall_s`` and a little; safe to call from threads (say ``asyncio.to_thread``).

    Raises:
        UserError: this machine lacks what ``isolation`` needs; the line says what to install.
        RolloutFailure: the sandbox could not be set up this time; cause ``harness``.
    """
    encoded = code.encode("utf-8", "surrogatepass")
    if len(encoded) > _LONGEST_CODE:
        return SandboxResult("refused", None, "", f"the code is longer than {_LONGEST_CODE} bytes", 0.0)
    bwrap = find_bwrap() if isolation == "bubblewrap" else None
    if bwrap is not None:
        _prove(bwrap)
    try:
        ending = _attempt(encoded, stdin, limits, bwrap, packages)
    except _SetupError as error:
        raise RolloutFailure("harness", f"sandbox: {error}") from error
    return _result(ending, limits)


def available(isolation: Isolation = "bubblewrap") -> str | None:
    """``None`` when code can be run with ``isolation``; else one line that says what is missing and what mends it."""
    try:
        result = run_python("print('ready')", isolation=isolation)
    except (UserError, RolloutFailure) as error:
        return str(error)
    return None if result.stdout == "ready\n" else f"sandbox: the interpreter does not run: {_last_line(result.stderr)}"


class _SetupError(Exception):
    """The program was never reached; one line of why."""


@cache  # A success, that is: an exception is not kept, so that a mended machine is seen at once.
def _prove(bwrap: str) -> None:
    try:
        _attempt(b"", "", _DEFAULT_LIMITS, bwrap)
    except _SetupError as error:
        raise not_permitted(str(error)) from error


def _attempt(code: bytes, stdin: str, limits: Limits, bwrap: str | None, packages: tuple[str, ...] = ()) -> Ending:
    with ExitStack() as stack:
        if bwrap is None:
            launch = in_process(code, limits, stack)
        else:
            launch = in_bubblewrap(bwrap, code, limits, stack, packages)
        # A file and not a pipe: a program that does not read its input cannot make us wait.
        given = memory_file(stack, "stdin", stdin.encode("utf-8", "surrogatepass"))
        process = stack.enter_context(_start(launch, given))
        ending = watch(process, limits, keeper=launch.status is not None)
        if launch.status is not None and ending.broke is None and not _reached(launch.status):
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


def _reached(status: int) -> bool:
    """bwrap reports an exit code only when the sandbox stood and the program was executed in it."""
    return b'"exit-code"' in os.pread(status, 1 << 16, 0)


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
    # As process 1 of its namespace it is deaf to the signal and gets the kill that follows it.
    if ending.exit_code == _CPU_EXCEEDED or (ending.exit_code == _KILLED and ending.elapsed_s >= limits.cpu_s):
        return "timeout"
    return "memory" if _last_line(stderr).startswith("MemoryError") else "error"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word of why"])[-1]
