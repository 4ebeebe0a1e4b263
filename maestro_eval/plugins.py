"""Finds components by name: a bundled name, ``package.module:object``, or an entry point ``maestro_eval.GROUP``.

A bundled name wins over an entry point of the same name. Objects are imported at their first use. A module that is only
in the working folder is refused: a stranger's registry or task file may have a Python file beside it.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import marshal
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from maestro_eval.records import UserError

T = TypeVar("T")
_doors: list[Door[Any]] = []


class Door(Generic[T]):
    """All components of one kind. ``accept`` returns the component in an imported object, or None if it is not one."""

    def __init__(
        self, kind: str, group: str, bundled: Mapping[str, str], accept: Callable[[object], T | None], wanted: str
    ) -> None:
        self.kind = kind
        self.bundled = bundled
        self._group = f"maestro_eval.{group}"
        self._accept = accept
        self._wanted = wanted
        self._found: dict[str, T] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        self._added: dict[str, str] = {}
        _doors.append(self)

    def find(self, name: str) -> T:
        """Return the component. UserError for an unknown name, and for an object of another kind."""
        found = self._found.get(name)
        if found is None:
            place = self.place(name)
            found = self.accept(f"{self.kind} {name!r}: {place}", imported(f"{self.kind} {name!r}", place))
            if name in self.bundled:
                self._found[name] = found
            else:
                # Hash the file while it is what was imported. The object is not stored, for its module may be reloaded.
                self.code_hash(name)
        return found

    def accept(self, what: str, given: object) -> T:
        """Return the component in an object. UserError, which begins with ``what``, for an object of another kind."""
        found = self._accept(given)
        if found is None:
            raise _refusal(f"{what} is not {self._wanted}")
        return found

    def add(self, component: T) -> str:
        """Register a class or function in this process, and return its name ``module:object``.

        Another process finds it by that name only if it can import it.
        """
        name = f"{component.__module__}:{component.__qualname__}"  # type: ignore[attr-defined]
        self._found[name] = component
        self._added[name] = _object_hash(component)
        return name

    def has(self, name: str) -> bool:
        """Return whether the name is bundled, an entry point or of the form ``module:object``. Imports nothing."""
        return name in self.bundled or ":" in name or name in _installed(self._group)

    def names(self) -> list[str]:
        """Return the bundled names and those of entry points."""
        return [*self.bundled, *sorted(_installed(self._group).keys() - self.bundled.keys())]

    def code_hash(self, name: str) -> str:
        """Hash the source of a component as it was when imported; empty for one of ours. Imports nothing.

        Also empty for a name that `find` refuses.
        """
        if name in self.bundled or not self.has(name):
            return ""
        if name in self._added:
            return self._added[name]
        module = self.place(name).partition(":")[0]
        known = (name, id(getattr(sys.modules.get(module), "__spec__", None)))
        if known not in self._hashes:
            self._hashes[known] = _source_hash(module)
        return self._hashes[known]

    def place(self, name: str) -> str:
        """Return the place that a name refers to, ``module`` or ``module:object``. UserError for an unknown name."""
        if name in self.bundled:
            return self.bundled[name]
        if ":" in name:
            return name
        installed = _installed(self._group)
        if name not in installed:
            known = suggest(name, self.names(), "bundled and installed:")
            raise _refusal(f"{self.kind} {name!r}: unknown{known}; or name package.module:object{uninstalled()}")
        return installed[name].value


def forget() -> None:
    """Forget all components, after a package was installed or removed while the program runs."""
    _installed.cache_clear()
    for door in _doors:
        door._found.clear()
        door._hashes.clear()


def folders(group: str) -> list[Path]:
    """Return the folders of the packages that entry points ``maestro_eval.GROUP`` name. Imports none of them."""
    found: list[Path] = []
    for name, point in _installed(f"maestro_eval.{group}").items():
        spec = importlib.util.find_spec(point.module)
        if spec is None or not spec.submodule_search_locations:
            raise _refusal(f"entry point maestro_eval.{group} {name!r}: {point.value} is not a package with a folder")
        found += map(Path, spec.submodule_search_locations)
    return found


def uninstalled() -> str:
    """Return the end of an error line if this package runs from an uninstalled checkout; else empty."""
    if any(point.module.startswith("maestro_eval.") for point in _installed("maestro_eval.commands").values()):
        return ""
    return "; this checkout is not installed and so lacks its plug-ins: pip install -e ."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` if a known name is close, else ""."""
    known = list(known)
    # "main" is far from "maestro_main", and means it.
    whole = sorted((each for each in known if each.endswith(f"_{name}")), key=len)
    close = whole or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def suggest(word: str, known: Iterable[str], listed: str = "known:") -> str:
    """Return the end of an error line on an unknown word: the known one that is close, or all of them."""
    known = list(known)
    return did_you_mean(word, known) or f"; {listed} {', '.join(known) or 'none'}"


@functools.cache
def _installed(group: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}


def _refusal(line: str) -> UserError:
    # Importing the records takes longer than all of ``--help``.
    from maestro_eval.records import UserError

    return UserError(line)


def imported(what: str, place: str) -> object:
    """Import the object at ``package.module:object``, or the module. UserError, which begins with ``what``."""
    module, _, path = place.partition(":")
    if module not in sys.modules and _only_in_working_folder(module.partition(".")[0]):
        raise _refusal(
            f"{what}: is in the working folder and not installed; read it, then name its folder: "
            f"PYTHONPATH={os.getcwd()}"
        )
    try:
        found = importlib.import_module(module)
    except Exception as error:  # the author's module runs here, and may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        unfound = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        hint = "; is its folder on PYTHONPATH?" if unfound else ""
        raise _refusal(f"{what}: cannot be imported ({reason}){hint}") from error
    try:
        return functools.reduce(getattr, filter(None, path.split(".")), found)
    except AttributeError as error:
        file = Path(getattr(found, "__file__", None) or module).name
        # The module's own names, without those that it imports.
        named = {name for name, each in vars(found).items() if getattr(each, "__module__", module) == module}
        known = suggest(path, sorted(name for name in named if not name.startswith("_")), "it has")
        raise _refusal(f"{what}: {file} has no {path}{known}") from error


def raised_at(error: BaseException, file: str = "") -> str:
    """Return as ``FILE:LINE`` the last line that ``error`` passed through, in ``file`` if given; empty if none."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if file in ("", each.filename)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def raised_in(module: str, error: BaseException) -> str:
    """Return the text of ``error``, and the last line of ``module`` on its way, or else the line that raised it."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return f"{type(error).__name__}: {error} ({raised_at(error, file) or raised_at(error)})"


def _only_in_working_folder(package: str) -> bool:
    """Return whether Python finds ``package`` only because it searches the folder where it was started."""
    # `python -m` prepends the working folder to the path, an interactive Python an empty name for it. If PYTHONPATH
    # names it too, it is there twice.
    if not package:
        return False
    folder, named = os.getcwd(), [path for path in sys.path if path]
    if "-m" in sys.orig_argv and not sys.flags.safe_path and folder in named:
        named.remove(folder)
    by_path = importlib.machinery.PathFinder
    # An editable package may have a finder of its own, and be in the working folder too.
    others = [finder for finder in sys.meta_path if finder is not by_path]
    if by_path.find_spec(package, named) or any(finder.find_spec(package, None) for finder in others):
        return False
    return by_path.find_spec(package, [folder]) is not None


def _object_hash(component: object) -> str:
    try:
        source = inspect.getsource(component).encode()  # type: ignore[arg-type]
    except (OSError, TypeError):
        # A class of a notebook has no file: use its compiled functions.
        functions = [component, *vars(component).values()] if isinstance(component, type) else [component]
        source = b"".join(marshal.dumps(each.__code__) for each in functions if inspect.isfunction(each))
    return hashlib.sha256(source).hexdigest()


def _source_hash(module: str) -> str:
    """Hash every Python file of the package that a module belongs to, or the module's file; empty for ours.

    Also empty for a module without a file.
    """
    top = module.partition(".")[0]
    if not top or top == __name__.partition(".")[0]:
        return ""
    made = sys.modules.get(top)
    # A module without a spec was not imported: the main program, or one created in code.
    spec = None if made is not None and made.__spec__ is None else importlib.util.find_spec(top)
    file = Path(getattr(made, "__file__", None) or "" if spec is None else spec.origin or "")
    if not file.is_file():
        return ""
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    digest = hashlib.sha256()
    for each in files:
        digest.update(f"{each.relative_to(file.parent)}\0".encode() + each.read_bytes() + b"\0")
    return digest.hexdigest()
