"""``!function module.name``: functions of Python files beside a task file, run from the very text that is hashed.

This is code of others, so a file is run only when it lies inside the folder that the user named (or the bundled
one). It is compiled from its text each time: importlib may run bytecode that was cached for an older text.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from msgspec import Struct

from maestro_eval.records import UserError

Read = Callable[[Mapping[str, Any]], object]
"""Takes something from a row."""


class FunctionName(Struct, frozen=True):
    """``!function module.name``, not yet loaded."""

    module: str
    name: str


class Functions:
    """The functions of one task file, each file of them executed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[Path, ModuleType] = {}
        self._hashes: dict[str, str] = {}

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file that was executed, by its name."""
        return self._hashes

    def get(self, named: FunctionName, folder: Path, where: str) -> Callable[..., object]:
        """The function of ``folder/module.py``. UserError at ``where`` when there is none."""
        file = folder / f"{named.module}.py"
        if not file.resolve().is_relative_to(self._root.resolve()):
            raise UserError(f"{where}: !function {named.module}.{named.name}: {file} is outside {self._root}")
        function = getattr(self._module(file, where), named.name, None)
        if not inspect.isfunction(function):
            raise UserError(f"{where}: !function {named.module}.{named.name}: {file} has no function {named.name}")
        return cast(Callable[..., object], function)

    def _module(self, file: Path, where: str) -> ModuleType:
        if file in self._modules:
            return self._modules[file]
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{where}: !function: {file} cannot be read ({error})") from error
        digest = hashlib.sha256(text.encode()).hexdigest()
        module = ModuleType(f"_maestro_task_{file.stem}_{digest[:16]}")
        module.__file__ = str(file)
        # Dataclasses and pickling look their module up by name.
        sys.modules[module.__name__] = module
        try:
            exec(compile(text, str(file), "exec"), module.__dict__)
        except Exception as error:
            raise UserError(f"{file}: fails when it is imported ({type(error).__name__}: {error})") from error
        self._hashes[file.name] = digest
        self._modules[file] = module
        return module
