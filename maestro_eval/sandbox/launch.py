"""What both isolations share: the interpreter, its resource limits, an ordinary user, and files without a path."""

from __future__ import annotations

import fcntl
import itertools
import math
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from maestro_eval.records import UserError
from maestro_eval.sandbox.records import Limits

_INTERPRETERS = (Path("/usr/bin/python3"), Path("/usr/local/bin/python3"))
_OPEN_FILES = 32
# The range that systemd keeps for users who exist only while something runs: no one's files are theirs.
_FIRST_USER, _USERS = 61184, 4336
_runs = itertools.count()


@dataclass(frozen=True, slots=True)
class Launch:
    """How one run is started. ``user`` is dropped to before anything of ours is executed; ``None`` stays as we are.

    ``status`` is a descriptor on which the isolation leaves word once the program itself was reached.
    """

    command: tuple[str, ...]
    cwd: str
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    user: int | None = None
    status: int | None = None


def system_python() -> str:
    """The path of the interpreter that runs generated code; UserError where there is none."""
    interpreter = next((path for path in _INTERPRETERS if path.exists()), None)
    if interpreter is None:
        raise UserError("sandbox: no system interpreter (/usr/bin/python3): install the package 'python3'")
    return str(interpreter)


def limited_python(limits: Limits, program: str) -> tuple[str, ...]:
    """The command that runs the file ``program`` under ``limits`` with the system's interpreter.

    ``-I`` keeps the environment and the user's packages out; a virtual environment of ours is never used.
    """
    interpreter = system_python()
    prlimit = shutil.which("prlimit", path="/usr/bin:/bin")
    if prlimit is None:
        raise UserError("sandbox: prlimit is not installed: install the package 'util-linux'")
    return (
        prlimit,
        # One second between the signal and the kill, for a program that ignores the signal.
        f"--cpu={math.ceil(limits.cpu_s)}:{math.ceil(limits.cpu_s) + 1}",
        f"--as={limits.memory_mb << 20}",
        f"--nproc={limits.processes}",
        f"--fsize={limits.file_mb << 20}",
        f"--nofile={_OPEN_FILES}",
        "--core=0",
        interpreter,
        *("-I", "-B", "-X", "utf8", program),
    )


def ordinary_user() -> int | None:
    """A user id for one run where we are root, whom the limit on processes would not bind; else ``None``.

    Runs side by side get different ones, so that they can neither count as nor signal each other.
    """
    if os.geteuid() != 0:
        return None
    return _FIRST_USER + (os.getpid() + next(_runs)) % _USERS


def memory_file(stack: ExitStack, name: str, data: bytes = b"", *, sealed: bool = True) -> int:
    """A descriptor of a file that holds ``data``, has no path, and cannot change once sealed; closed by ``stack``."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if sealed:
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
