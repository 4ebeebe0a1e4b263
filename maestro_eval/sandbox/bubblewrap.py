"""The isolation: a bubblewrap sandbox that contains an interpreter and nothing else.

Promises: no network, no home, no environment, no process but the program's own, no capability and no way to a new one;
/usr read-only; /tmp private, bounded and removed afterwards; nothing else can be written. The program is process 1 of
its own process namespace, so that all it started dies with it, before we learn of its end.

Accepted: the kernel is shared (the filter in ``seccomp`` narrows it), and so is the time of its CPUs. /usr can be read.
Process 1 ignores signals that it has no handler for: a program cannot kill itself by one (an abort shows as signal 11),
and CPU time is enforced by the kill a second after the signal. A bubblewrap older than 0.8 lacks ``--disable-userns``
(the filter refuses the same), one older than 0.7 ``--size`` (then each file is bounded, but not all together).

Our packages can be mounted read-only, one distribution at a time: name those that it needs, too. The sandbox's
interpreter is the system's, not ours. A mounted package must therefore fit it: Python files always do, compiled modules
only if the minor versions are equal.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePath

from maestro_eval.sandbox.launch import Launch, Limits, limited_python, memory_file, ordinary_user, system_python
from maestro_eval.sandbox.seccomp import system_call_filter

_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"),
    *("--clearenv", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
)
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
_ROOT_FOLDERS = ("/bin", "/lib", "/lib32", "/lib64")
PACKAGES_FOLDER = "/packages"
"""The folder of mounted packages in the sandbox. A program that wants them puts this folder on ``sys.path``."""


def in_bubblewrap(bwrap: str, code: bytes, limits: Limits, stack: ExitStack, packages: tuple[str, ...] = ()) -> Launch:
    """Prepare a launch of ``code`` in a fresh sandbox, with those of ``packages`` that can be mounted.

    ``stack`` closes its files. No shell is involved.
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
        for name, path in mounts_of(package).items():
            command += ["--ro-bind", str(path), f"{PACKAGES_FOLDER}/{name}"]
    # /dev has null, zero, random and the like. There is no /proc: the program needs nothing in it.
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
        # Our own folder may be inaccessible to the user that we drop to.
        cwd="/",
        descriptors=tuple(descriptors),
        user=ordinary_user(),
        status=status,
    )


def _system_folders() -> list[str]:
    """Bind /usr, the root folder's names that lead into it, and what the dynamic linker reads."""
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


@cache
def lacking(name: str) -> str | None:
    """Return why the distribution cannot be mounted, and the fix, in one line; ``None`` if it can."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return f"the sandbox has no {name}: install it beside maestro-eval"
    if not _tops(found):
        return f"the sandbox has no {name}: its installation does not list its files; install it with pip"
    ours, theirs = sys.version_info[:2], _system_version()
    if _is_compiled(found) and ours != theirs:
        ours_text, theirs_text = (".".join(map(str, version)) for version in (ours, theirs))
        return (
            f"the sandbox has no {name}: ours is built for Python {ours_text}, and {system_python()} is {theirs_text}; "
            "install maestro-eval for that Python"
        )
    for folder in _site(found).parents if ordinary_user() is not None else ():
        if not folder.stat().st_mode & 0o001:
            return f"the sandbox has no {name}: {folder} is closed to other users, and we run as root"
    return None


def mounts_of(name: str) -> dict[str, Path]:
    """Map the names within ``PACKAGES_FOLDER`` to the distribution's paths to bind; empty if it is lacking."""
    if lacking(name) is not None:
        return {}
    found = distribution(name)
    return {top: _site(found) / top for top in _tops(found) if (_site(found) / top).exists()}


def _site(found: Distribution) -> Path:
    return Path(str(found.locate_file(""))).resolve()


def _files(found: Distribution) -> list[PurePath]:
    # Scripts and manuals lie outside of the folder ("../../../bin/…").
    return [PurePath(file) for file in found.files or () if ".." not in file.parts]


def _tops(found: Distribution) -> list[str]:
    """List folders, modules and parts of compiled modules, but no metadata and no ``.pth``: those run at start."""
    tops = {file.parts[0] for file in _files(found)}
    return sorted(top for top in tops if not top.endswith((".dist-info", ".pth")) and top != "__pycache__")


def _is_compiled(found: Distribution) -> bool:
    """Return whether it has a compiled module without an equivalent Python file beside it."""
    files = set(_files(found))
    modules = (
        file for file in files if file.suffix == ".so" and ".cpython-" in file.name and "__mypyc" not in file.name
    )
    return any(file.with_name(file.name.partition(".")[0] + ".py") not in files for file in modules)


@cache
def _system_version() -> tuple[int, int]:
    code = "import sys; print(*sys.version_info[:2])"
    shown = subprocess.run([system_python(), "-I", "-c", code], capture_output=True, text=True, check=True, timeout=10)
    major, minor = map(int, shown.stdout.split())
    return major, minor
