"""The isolation: a bubblewrap sandbox that holds an interpreter and nothing else.

Promises: no network, no home, no environment, no process but the program's own, no capability and no way to a
new one; /usr read-only; /tmp private, bounded and gone afterwards; nothing else can be written. The program is
process 1 of its own process namespace, so that all it started dies with it, before we hear of its end.

Accepted: the kernel is shared (the filter in ``seccomp`` narrows it), and so is the time of its CPUs. /usr can be
read. Process 1 is deaf to signals that it has no handler for: a program cannot kill itself by one (an abort
shows as signal 11), and CPU time is enforced by the kill a second after the signal. A bubblewrap older than 0.8
lacks ``--disable-userns`` (the filter refuses the same), one older than 0.7 ``--size`` (then each file is
bounded, but not all together).
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from maestro_eval.records import UserError
from maestro_eval.sandbox.launch import Launch, limited_python, memory_file, ordinary_user
from maestro_eval.sandbox.packages import PACKAGES_FOLDER, lent
from maestro_eval.sandbox.records import Limits
from maestro_eval.sandbox.seccomp import system_call_filter

_WHAT_MENDS_IT = "install the package 'bubblewrap', or accept the weaker --sandbox=process"
_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"),
    *("--clearenv", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
)
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
_ROOT_FOLDERS = ("/bin", "/lib", "/lib32", "/lib64")


def find_bwrap() -> str:
    """The path of bwrap; UserError where there is none."""
    found = shutil.which("bwrap")
    if found is None:
        raise UserError(f"sandbox: bwrap is not installed: {_WHAT_MENDS_IT}")
    return found


def not_permitted(detail: str) -> UserError:
    """The error for a bwrap that is there but cannot build a sandbox on this machine."""
    return UserError(
        f"sandbox: bwrap cannot make namespaces here ({detail}): allow user namespaces, "
        "or accept the weaker --sandbox=process"
    )


def in_bubblewrap(bwrap: str, code: bytes, limits: Limits, stack: ExitStack, packages: tuple[str, ...] = ()) -> Launch:
    """A launch of ``code`` in a fresh sandbox, with the packages that can be lent to it.

    Its files live in ``stack``. No shell sees any of it.
    """
    known = _options(bwrap)
    program = memory_file(stack, "program", code)
    status = memory_file(stack, "status", sealed=False)
    descriptors = [program, status]
    command = [bwrap, *_ISOLATION]
    if "--disable-userns" in known:
        command += ["--disable-userns"]
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += _system_folders()
    for package in packages:
        for name, path in lent(package).items():
            command += ["--ro-bind", str(path), f"{PACKAGES_FOLDER}/{name}"]
    # /dev holds null, zero, random and the like. There is no /proc: nothing in it is the program's concern.
    command += ["--dev", "/dev", "--remount-ro", "/dev"]
    if "--size" in known:
        command += ["--size", str(limits.file_mb << 20)]
    command += ["--tmpfs", "/tmp", "--chdir", "/tmp", "--ro-bind-data", str(program), "/main.py"]
    command += ["--remount-ro", "/", "--json-status-fd", str(status)]
    rules = system_call_filter()
    if rules is not None:
        descriptors.append(memory_file(stack, "seccomp", rules))
        command += ["--seccomp", str(descriptors[-1])]
    return Launch(
        command=(*command, "--", *limited_python(limits, "/main.py")),
        # Our own folder may be closed to the user that we drop to.
        cwd="/",
        descriptors=tuple(descriptors),
        user=ordinary_user(),
        status=status,
    )


def _system_folders() -> list[str]:
    """/usr, the names in / that lead into it, and what the dynamic linker reads."""
    arguments = ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for folder in map(Path, _ROOT_FOLDERS):
        if folder.is_symlink():
            arguments += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            arguments += ["--ro-bind", str(folder), str(folder)]
    return arguments


@cache
def _options(bwrap: str) -> frozenset[str]:
    shown = subprocess.run([bwrap, "--help"], capture_output=True, text=True, check=False, timeout=10)
    return frozenset((shown.stdout + shown.stderr).split())
