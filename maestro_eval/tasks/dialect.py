"""Task files: the part of lmms-eval's YAML dialect that we use, read without lmms-eval.

The same file loads in lmms-eval. What only we need stands under ``metadata: maestro:``, which lmms-eval passes by;
``process_results``, ``metric_list`` and ``generation_kwargs`` are for lmms-eval and are passed by here. Any key
that is not known is refused by name, file and line, because a key that is ignored changes what is measured.

``include`` merges whole keys, the including file winning, as lmms-eval does. ``!function module.name`` names a
function of ``module.py`` beside the file that says it. That is code, so it is run only from the folder that is
passed as ``root``: a bundled one, or one that the user named.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import yaml
from msgspec import Struct

from maestro_eval.files import UniqueKeyLoader, YamlDocument, fingerprint, load_yaml
from maestro_eval.tasks.columns import Column, column_types, parse_column
from maestro_eval.types import Aggregation, UserError

Read = Callable[[Mapping[str, Any]], object]
"""Takes something from a row."""


class FunctionName(Struct, frozen=True):
    """``!function module.name``, not yet loaded."""

    module: str
    name: str


class Definition(Struct, frozen=True):
    """A task file, resolved. ``hash`` covers its data and the text of every file of functions that it names."""

    name: str
    path: Path
    tags: tuple[str, ...]
    dataset_path: str
    split: str
    visual: Read
    text: Read
    target: Read
    choice: Read | None
    metric: str
    aggregation: Aggregation
    id: str | Read | None
    category: Read | None
    cluster: Read | None
    fields: tuple[str, ...]
    columns: dict[str, Column]
    about: dict[str, str]
    hash: str


class Heading(Struct, frozen=True):
    """What a catalogue needs of a task file: a task and its tags, or a group and its members."""

    path: Path
    task: str
    tags: tuple[str, ...] = ()
    group: str = ""
    members: tuple[str, ...] = ()


_TEXT: tuple[type, ...] = (str,)
_READER: tuple[type, ...] = (str, FunctionName)
_KEYS: dict[str, tuple[type, ...]] = {
    "task": _TEXT,
    "dataset_path": _TEXT,
    "dataset_name": (str, type(None)),
    "dataset_kwargs": (dict, type(None)),
    "test_split": _TEXT,
    "include": _TEXT,
    "tag": (str, list),
    "group": (str, list),
    "output_type": _TEXT,
    "doc_to_visual": _READER,
    "doc_to_text": _READER,
    "doc_to_target": _READER,
    "doc_to_choice": _READER,
    "process_results": _READER,
    "metric_list": (list,),
    "generation_kwargs": (dict,),
    "lmms_eval_specific_kwargs": (dict,),
    "metadata": (dict,),
}
_REQUIRED = ("task", "dataset_path", "test_split", "doc_to_visual", "doc_to_text", "doc_to_target", "metadata")
_OURS: dict[str, tuple[type, ...]] = {
    "metric": _TEXT,
    "aggregation": _TEXT,
    "id": _READER,
    "category": _READER,
    "cluster": _READER,
    "fields": (list,),
    "columns": (dict,),
    "description": _TEXT,
    "reference": _TEXT,
    "licence": _TEXT,
}
_NAMES = {str: "text", dict: "a mapping", list: "a list", FunctionName: "!function module.name", type(None): "null"}


def load_definition(path: Path, root: Path) -> Definition:
    """Read, check and resolve one task file. UserError with file and line for what is wrong in it."""
    written = _resolve(path, root)
    _check_keys(written)
    functions = _Functions(root)
    ours = written.ours
    return Definition(
        name=written.data["task"],
        path=path,
        tags=_tags(written.data),
        dataset_path=written.data["dataset_path"],
        split=written.data["test_split"],
        visual=functions.read(written, ("doc_to_visual",)),
        text=functions.read(written, ("doc_to_text",), _default_kwargs(written.data)),
        target=functions.read(written, ("doc_to_target",)),
        choice=functions.optional(written, ("doc_to_choice",)),
        metric=ours["metric"],
        aggregation=cast(Aggregation, ours.get("aggregation", "mean")),
        id=ours["id"] if isinstance(ours.get("id"), str) else functions.optional(written, (*_MAESTRO, "id")),
        category=functions.optional(written, (*_MAESTRO, "category")),
        cluster=functions.optional(written, (*_MAESTRO, "cluster")),
        fields=tuple(ours.get("fields", ())),
        columns={name: column for name, kind in ours["columns"].items() if (column := parse_column(kind))},
        about=_about(written),
        hash=fingerprint({"definition": written.data, "functions": functions.hashes()}),
    )


def read_heading(path: Path, root: Path) -> Heading | None:
    """Which task or group a file defines; ``None`` for a template without a name. Runs no code, checks no keys."""
    data = _resolve(path, root).data
    task, group = data.get("task"), data.get("group")
    if isinstance(task, str) and task:
        return Heading(path, task, _tags(data))
    if isinstance(group, str) and isinstance(task, list):
        return Heading(path, "", group=group, members=tuple(str(member) for member in task))
    return None


_MAESTRO = ("metadata", "maestro")


class _Written(Struct, frozen=True):
    """The merged mapping, and for each key the file that it comes from."""

    document: YamlDocument
    data: dict[str, Any]
    origin: dict[str, YamlDocument]

    @property
    def ours(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.data["metadata"]["maestro"])

    def source(self, key: str) -> YamlDocument:
        return self.origin.get(key, self.document)

    def where(self, *field: str) -> str:
        return self.source(field[0]).where(field)

    def get(self, field: tuple[str, ...]) -> object:
        value: Any = self.data
        for step in field:
            value = value.get(step) if isinstance(value, dict) else None
        return value


class _TaskLoader(UniqueKeyLoader):
    """The safe loader with ``!function``; every other tag stays an error."""


def _function_name(loader: yaml.SafeLoader, node: yaml.Node) -> FunctionName:
    written = str(loader.construct_scalar(node)) if isinstance(node, yaml.ScalarNode) else ""
    module, _, name = written.partition(".")
    if not (module.isidentifier() and name.isidentifier()):
        raise yaml.constructor.ConstructorError(
            None, None, f"!function takes module.name, and found {written!r}", node.start_mark
        )
    return FunctionName(module, name)


_TaskLoader.add_constructor("!function", _function_name)


def _resolve(path: Path, root: Path, including: tuple[Path, ...] = ()) -> _Written:
    document = load_yaml(path, loader=_TaskLoader)
    written = _Written(document, dict(document.data), dict.fromkeys(document.data, document))
    included = written.data.pop("include", None)
    if included is None:
        return written
    where = document.where(("include",))
    if not isinstance(included, str):
        raise UserError(f"{where}: include: expected the name of one file")
    target = (path.parent / included).resolve()
    if not target.is_relative_to(root.resolve()):
        raise UserError(f"{where}: include: {included} is outside {root}, the folder that tasks are read from")
    chain = (*including, path.resolve())
    if target in chain:
        circle = " -> ".join(file.name for file in (*chain, target))
        raise UserError(f"{where}: include: {included} includes itself: {circle}")
    if not target.is_file():
        raise UserError(f"{where}: include: no such file: {target}")
    base = _resolve(target, root, chain)
    return _Written(document, {**base.data, **written.data}, {**base.origin, **written.origin})


def _check_keys(written: _Written) -> None:
    for key, value in written.data.items():
        if key not in _KEYS:
            raise UserError(f"{written.where(str(key))}: {key}: not supported; supported are {', '.join(_KEYS)}")
        _check_type(written, (key,), value, _KEYS[key])
    for key in _REQUIRED:
        if key not in written.data:
            raise UserError(f"{written.document.where()}: {key}: is missing")
    if written.data.get("output_type", "generate_until") != "generate_until":
        raise UserError(f"{written.where('output_type')}: output_type: only generate_until is supported")
    _check_ours(written)
    for key in ("doc_to_visual", "doc_to_text", "doc_to_target", "doc_to_choice"):
        _check_column_name(written, (key,))


def _check_ours(written: _Written) -> None:
    ours = written.get(_MAESTRO)
    if not isinstance(ours, dict):
        raise UserError(f"{written.where('metadata')}: metadata.maestro: is missing (a mapping with at least a metric)")
    for key, value in ours.items():
        if key not in _OURS:
            raise UserError(
                f"{written.where(*_MAESTRO, str(key))}: metadata.maestro.{key}: not supported; "
                f"supported are {', '.join(_OURS)}"
            )
        _check_type(written, (*_MAESTRO, key), value, _OURS[key])
    for key in ("metric", "columns"):
        if key not in ours:
            raise UserError(f"{written.where(*_MAESTRO)}: metadata.maestro.{key}: is missing")
    if ours.get("aggregation", "mean") not in ("mean", "category_mean"):
        raise UserError(f"{written.where(*_MAESTRO, 'aggregation')}: aggregation: expected mean or category_mean")
    for name, kind in ours["columns"].items():
        if parse_column(kind) is None:
            raise UserError(
                f"{written.where(*_MAESTRO, 'columns', str(name))}: column {name}: unknown type {kind!r}; "
                f"expected {column_types()}, with ? for a column that may be absent"
            )
    for name in ours.get("fields", ()):
        if name not in ours["columns"]:
            raise UserError(f"{written.where(*_MAESTRO, 'fields')}: fields: {name!r} is not among the columns")
    for key in ("id", "category", "cluster"):
        _check_column_name(written, (*_MAESTRO, key))


def _check_column_name(written: _Written, field: tuple[str, ...]) -> None:
    value = written.get(field)
    if isinstance(value, str) and value not in written.ours["columns"]:
        raise UserError(
            f"{written.where(*field)}: {field[-1]}: {value!r} is not among metadata.maestro.columns "
            "(templates are not supported; use !function)"
        )


def _check_type(written: _Written, field: tuple[str, ...], value: object, types: tuple[type, ...]) -> None:
    if not isinstance(value, types):
        wanted = " or ".join(_NAMES[kind] for kind in types)
        raise UserError(f"{written.where(*field)}: {'.'.join(field)}: expected {wanted}")


def _about(written: _Written) -> dict[str, str]:
    """What the file says of its dataset; nothing where an including file put another dataset in its place."""
    if written.source("dataset_path") is not written.source("metadata"):
        return {}
    return {key: written.ours[key].strip() for key in ("description", "reference", "licence") if key in written.ours}


def _tags(data: Mapping[str, Any]) -> tuple[str, ...]:
    tags: list[str] = []
    for key in ("tag", "group"):
        value = data.get(key, [])
        tags += [value] if isinstance(value, str) else [str(tag) for tag in value]
    return tuple(tags)


def _default_kwargs(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What lmms-eval would hand to ``doc_to_text`` for a model that has no entry of its own."""
    kwargs = data.get("lmms_eval_specific_kwargs")
    return None if kwargs is None else kwargs.get("default", kwargs)


class _Functions:
    """The functions of one task file, each file of them executed once, from the very text that is hashed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[Path, ModuleType] = {}
        self._hashes: dict[str, str] = {}

    def hashes(self) -> dict[str, str]:
        return self._hashes

    def optional(self, written: _Written, field: tuple[str, ...]) -> Read | None:
        return None if written.get(field) is None else self.read(written, field)

    def read(self, written: _Written, field: tuple[str, ...], kwargs: Mapping[str, Any] | None = None) -> Read:
        value = written.get(field)
        if isinstance(value, FunctionName):
            function = self._function(value, written.source(field[0]).path.parent, written.where(*field))
            return function if kwargs is None else lambda row: function(row, kwargs)
        column = cast(str, value)
        if field == ("doc_to_visual",):
            return lambda row: [row[column]]
        return lambda row: row.get(column)

    def _function(self, named: FunctionName, folder: Path, where: str) -> Callable[..., object]:
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
            # Not importlib: it may run bytecode cached for an older text of the same size and second.
            exec(compile(text, str(file), "exec"), module.__dict__)
        except Exception as error:
            raise UserError(f"{file}: fails when it is imported ({type(error).__name__}: {error})") from error
        self._hashes[file.name] = digest
        self._modules[file] = module
        return module
