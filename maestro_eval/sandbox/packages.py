"""Third-party packages that a sandboxed program may import: ours, lent read-only, one distribution at a time.

The sandbox's interpreter is the system's, not ours. What is lent must therefore fit it: Python files always do,
compiled modules only where the minor versions are equal. A distribution is lent by itself: name those that it
needs, too.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePath

from maestro_eval.sandbox.launch import ordinary_user, system_python

PACKAGES_FOLDER = "/packages"
"""Where lent packages lie in the sandbox. A program that wants them puts this folder on ``sys.path``."""


@cache
def lacking(name: str) -> str | None:
    """``None`` when the distribution can be lent; else one line that says why not and what mends it."""
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


def lent(name: str) -> dict[str, Path]:
    """What to bind for the distribution, by its name within ``PACKAGES_FOLDER``; nothing where it is lacking."""
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
    """Folders, modules and shared parts of compiled modules, but no metadata and no ``.pth``: those run at start."""
    tops = {file.parts[0] for file in _files(found)}
    return sorted(top for top in tops if not top.endswith((".dist-info", ".pth")) and top != "__pycache__")


def _is_compiled(found: Distribution) -> bool:
    """Whether it has a compiled module that no Python file beside it can stand for."""
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
