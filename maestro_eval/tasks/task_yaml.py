"""Task files: the part of lmms-eval's YAML dialect that we use, read without lmms-eval.

The same file loads in lmms-eval. What only we need stands under ``metadata: maestro:``, which lmms-eval passes by;
``process_results``, ``metric_list``, ``generation_kwargs`` and ``doc_to_messages`` are for lmms-eval and are passed
by here. Any key that is not known is refused by name, file and line, because a key that is ignored changes what is
measured. ``process_docs`` filters rows in lmms-eval; here ``keep`` must say the same of a row, or the file is refused.

``include`` merges whole keys, the including file winning, as lmms-eval does. ``!function module.name`` names a
function of ``module.py`` beside the file that says it, run only from inside ``root``: a bundled folder, or one that
the user named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from msgspec import Struct

from maestro_eval.files import UniqueKeyLoader, YamlDocument, fingerprint, load_yaml
from maestro_eval.records import Aggregation, UserError
from maestro_eval.tasks.column_types import Column, column_types, parse_column
from maestro_eval.tasks.functions import FunctionName, Functions, Read


class Definition(Struct, frozen=True):
    """A task file, resolved. ``hash`` covers its data and the text of every file of functions that it names.

    ``size`` is how many samples the split is known to have, 0 where that is not said. ``keep`` tells a row that is
    a sample from one that is not. ``images_in`` is the folder (or the zip file without its ending) in which the image
    paths of JSON data are looked up. ``released`` names the rule of the released scorer (in the
    file also under the former key ``paper``), empty where there is none.
    """

    name: str
    path: Path
    tags: tuple[str, ...]
    dataset_path: str
    dataset_name: str
    revision: str
    split: str
    size: int
    visual: Read
    text: Read
    target: Read
    choice: Read | None
    metric: str
    released: str
    aggregation: Aggregation
    id: str | Read | None
    keep: Read | None
    category: Read | None
    stratum: Read | None
    cluster: Read | None
    images_in: str
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
    "doc_to_messages": _READER,
    "process_docs": _READER,
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
    "released": _TEXT,
    "paper": _TEXT,
    "id": _READER,
    "keep": (FunctionName,),
    "category": _READER,
    "stratum": _READER,
    "cluster": _READER,
    "fields": (list,),
    "columns": (dict,),
    "images_in": _TEXT,
    "revision": _TEXT,
    "size": (int,),
    "description": _TEXT,
    "reference": _TEXT,
    "licence": _TEXT,
    "citation": _TEXT,
}
# What lmms-eval alone reads changes nothing that is measured here.
_LMMS_ONLY = ("metric_list", "process_results", "generation_kwargs", "doc_to_messages")
_ABOUT = ("description", "reference", "licence", "citation")
_AGGREGATES_OVER = {"category_mean": "category", "stratum_mean": "stratum"}
_NAMES = {
    str: "text",
    int: "an integer",
    dict: "a mapping",
    list: "a list",
    FunctionName: "!function module.name",
    type(None): "null",
}


def load_definition(path: Path, root: Path) -> Definition:
    """Read, check and resolve one task file. UserError with file and line for what is wrong in it."""
    written = _resolve(path, root)
    _check_keys(written)
    functions = Functions(root)
    ours = written.ours
    of_this_dataset = _describes_its_dataset(written)

    def read(*field: str, kwargs: Mapping[str, Any] | None = None) -> Read:
        return _reader(functions, written, field, kwargs)

    def optional(*field: str) -> Read | None:
        return None if written.get(field) is None else read(*field)

    return Definition(
        name=written.data["task"],
        path=path,
        tags=_tags(written.data),
        dataset_path=written.data["dataset_path"],
        dataset_name=written.data.get("dataset_name") or "",
        revision=ours.get("revision", "") if of_this_dataset else "",
        split=written.data["test_split"],
        size=ours.get("size", 0) if of_this_dataset else 0,
        visual=read("doc_to_visual"),
        text=read("doc_to_text", kwargs=_default_kwargs(written.data)),
        target=read("doc_to_target"),
        choice=optional("doc_to_choice"),
        metric=ours["metric"],
        released=ours.get("released", ours.get("paper", "")),
        aggregation=cast(Aggregation, ours.get("aggregation", "mean")),
        id=ours["id"] if isinstance(ours.get("id"), str) else optional(*_MAESTRO, "id"),
        keep=optional(*_MAESTRO, "keep"),
        category=optional(*_MAESTRO, "category"),
        stratum=optional(*_MAESTRO, "stratum"),
        cluster=optional(*_MAESTRO, "cluster"),
        images_in=ours.get("images_in", ""),
        fields=tuple(ours.get("fields", ())),
        columns={name: column for name, kind in ours["columns"].items() if (column := parse_column(kind))},
        about={key: ours[key].strip() for key in _ABOUT if key in ours} if of_this_dataset else {},
        hash=fingerprint({"definition": _measured(written.data), "functions": functions.hashes}),
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
    if written.data.get("process_docs") is not None and "keep" not in written.ours:
        raise UserError(
            f"{written.where('process_docs')}: process_docs: supported only beside metadata.maestro.keep, a "
            "!function that says of one row whether it stays"
        )
    if (written.data.get("dataset_kwargs") or {"token": True}) != {"token": True}:
        raise UserError(f"{written.where('dataset_kwargs')}: dataset_kwargs: only token: true is supported")


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
    if "paper" in ours and "released" in ours:
        raise UserError(f"{written.where(*_MAESTRO, 'paper')}: paper: is the former name of released; leave it out")
    _check_values(written, ours)
    for name, kind in ours["columns"].items():
        if parse_column(kind) is None:
            raise UserError(
                f"{written.where(*_MAESTRO, 'columns', str(name))}: column {name}: unknown type {kind!r}; "
                f"expected {column_types()}, with ? for a column that may be absent"
            )
    for name in ours.get("fields", ()):
        if name not in ours["columns"]:
            raise UserError(f"{written.where(*_MAESTRO, 'fields')}: fields: {name!r} is not among the columns")
    for key in ("id", "category", "stratum", "cluster"):
        _check_column_name(written, (*_MAESTRO, key))


def _check_values(written: _Written, ours: Mapping[str, Any]) -> None:
    aggregation = ours.get("aggregation", "mean")
    where = written.where(*_MAESTRO, "aggregation")
    if aggregation not in get_args(Aggregation):
        raise UserError(f"{where}: aggregation: expected {' or '.join(get_args(Aggregation))}")
    over = _AGGREGATES_OVER.get(aggregation, "")
    if over and over not in ours:
        raise UserError(f"{where}: aggregation: {aggregation} needs metadata.maestro.{over}")
    if isinstance(size := ours.get("size", 0), bool) or size < 0:
        raise UserError(f"{written.where(*_MAESTRO, 'size')}: size: expected a number of samples, found {size!r}")
    folder = ours.get("images_in", "images")
    if not folder or folder in (".", "..") or any(mark in folder for mark in "/\\\0"):
        raise UserError(
            f"{written.where(*_MAESTRO, 'images_in')}: images_in: expected the bare name of a folder beside the data, "
            f"found {folder!r}"
        )


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


def _describes_its_dataset(written: _Written) -> bool:
    """Whether what the file says of a dataset holds: not where an including file put another in its place."""
    return written.source("dataset_path") is written.source("metadata")


def _tags(data: Mapping[str, Any]) -> tuple[str, ...]:
    tags: list[str] = []
    for key in ("tag", "group"):
        value = data.get(key, [])
        tags += [value] if isinstance(value, str) else [str(tag) for tag in value]
    return tuple(tags)


def _measured(data: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a definition that decides what is asked and how it is judged."""
    ours = {key: value for key, value in data["metadata"]["maestro"].items() if key not in _ABOUT}
    if "paper" in ours:
        ours["released"] = ours.pop("paper")
    return {key: value for key, value in data.items() if key not in _LMMS_ONLY} | {"metadata": ours}


def _default_kwargs(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What lmms-eval would hand to ``doc_to_text`` for a model that has no entry of its own."""
    kwargs = data.get("lmms_eval_specific_kwargs")
    return None if kwargs is None else kwargs.get("default", kwargs)


def _reader(functions: Functions, written: _Written, field: tuple[str, ...], kwargs: Mapping[str, Any] | None) -> Read:
    value = written.get(field)
    if isinstance(value, FunctionName):
        function = functions.get(value, written.source(field[0]).path.parent, written.where(*field))
        return function if kwargs is None else lambda row: function(row, kwargs)
    column = cast(str, value)
    if field == ("doc_to_visual",):
        return lambda row: [row[column]]
    return lambda row: row.get(column)
