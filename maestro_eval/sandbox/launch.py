"""The limits of a sandboxed program, and its launch: what both isolations share, and the weaker one."""

from __future__ import annotations

import fcntl
import itertools
import math
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from maestro_eval.records import UserError

_INTERPRETERS = (Path("/usr/bin/python3"), Path("/usr/local/bin/python3"))
_OPEN_FILES = 32
# The range that systemd reserves for users who exist only while something runs: they own no files.
_FIRST_USER, _USERS = 61184, 4336
_runs = itertools.count()

PROCESS_PROMISES = (
    "--sandbox=process is no isolation. Generated code runs under limits on time, memory, file size and output, "
    "with an empty environment and in a temporary folder, but it reaches the network, reads every file that its "
    "user may read (yours, unless you are root), may signal that user's processes, and may leave a process of "
    "its own behind. Use it only for code that you would run yourself, or inside a container that holds "
    "nothing of worth."
)
"""The promises of the weaker isolation, for machines without bubblewrap."""


Isolation = Literal["bubblewrap", "process"]

Reason = Literal["ok", "error", "timeout", "memory", "output", "refused"]
"""The end of a run: ``ok`` (exit code 0), ``error`` (any other exit code, the traceback ends ``stderr``), or the
limit that ended it: ``timeout`` (wall or CPU), ``memory``, ``output``. ``refused``: the code was never started."""


class Limits(Struct, frozen=True):
    """Bounds of one run, for the program and its children together unless noted.

    ``wall_s`` and ``cpu_s`` may be fractions; CPU time is for each process and rounded up. ``memory_mb`` bounds the
    address space of each process and the memory of all. ``file_mb`` bounds each file and, in bubblewrap, all of them.
    ``output_kb`` is for stdout and stderr each.
    """

    wall_s: float = 10.0
    cpu_s: float = 10.0
    memory_mb: int = 512
    processes: int = 16
    file_mb: int = 16
    output_kb: int = 256

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise ValueError(f"Limits.{name} must be a positive number, not {value}")


class SandboxResult(Struct, frozen=True):
    """The result of a run. ``exit_code`` is 128 + n after signal n, and ``None`` when we ended or refused it."""

    reason: Reason
    exit_code: int | None
    stdout: str
    stderr: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Launch:
    """The start of one run. The process drops to ``user`` before it executes anything of ours; ``None``: no change.

    ``status`` is a descriptor to which the isolation writes once the program itself was reached.
    """

    command: tuple[str, ...]
    cwd: str
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    user: int | None = None
    status: int | None = None


def system_python() -> str:
    """Return the path of the interpreter that runs generated code; UserError if there is none."""
    interpreter = next((path for path in _INTERPRETERS if path.exists()), None)
    if interpreter is None:
        raise UserError("sandbox: no system interpreter (/usr/bin/python3): install the package 'python3'")
    return str(interpreter)


def limited_python(limits: Limits, program: str) -> tuple[str, ...]:
    """Return the command that runs the file ``program`` under ``limits`` with the system's interpreter.

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
    """Return a user id for one run if we are root, whom the limit on processes would not bind; else ``None``.

    Concurrent runs get different ones, so that they can neither count as nor signal each other.
    """
    if os.geteuid() != 0:
        return None
    return _FIRST_USER + (os.getpid() + next(_runs)) % _USERS


def memory_file(stack: ExitStack, name: str, data: bytes = b"", *, sealed: bool = True) -> int:
    """Open a file that has ``data`` and no path, and cannot change once sealed; ``stack`` closes it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if sealed:
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def in_process(code: bytes, limits: Limits, stack: ExitStack) -> Launch:
    """Prepare a launch of ``code`` in a fresh temporary folder, which ``stack`` removes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maestro-", ignore_cleanup_errors=True)))
    program = folder / "main.py"
    program.write_bytes(code)
    user = ordinary_user()
    if user is not None:
        shutil.chown(folder, user, user)
        program.chmod(0o644)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    # By its bare name: the user may not be allowed to traverse the folders above.
    command = limited_python(limits, program.name)
    return Launch(command, cwd=os.fspath(folder), environment=environment, user=user)
