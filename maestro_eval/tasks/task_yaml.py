"""Task files: the part of lmms-eval's YAML dialect that we use, read without lmms-eval.

The same file loads in lmms-eval. Our own fields are under ``metadata: maestro:``, which lmms-eval ignores;
``generation_kwargs`` and ``doc_to_messages`` are for lmms-eval and ignored here. ``metadata.maestro.metric`` defines
the scoring; without it ``process_results`` does, and of its results the first of ``metric_list``. An unknown key is
refused by name, file and line, because ignoring a key changes what is measured. ``process_docs`` filters rows in
lmms-eval; a file with it needs ``keep``, which must decide the same for a row.

``include`` merges whole keys, and the including file wins, as in lmms-eval. ``!function module.name`` names a function
of ``module.py`` beside the file that names it, which runs only from inside ``root``: a bundled folder, or one that the
user named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.plugins import suggest
from maestro_eval.records import Aggregation, ModelJudge, UserError
from maestro_eval.tasks.column_types import Column, column_types, parse_column
from maestro_eval.tasks.merged_yaml import (
    MAESTRO,
    FunctionName,
    Functions,
    MergedYaml,
    OwnRule,
    Read,
    own_metric,
    resolve,
)


class Definition(Struct, frozen=True):
    """A resolved task file. ``hash`` covers its measured fields and the text of every file of functions that it names.

    ``size`` is the known number of samples in the split, 0 if unknown. ``keep`` returns whether a row is a sample.
    ``images_in`` is the folder (or the zip file without its ending) of the images of JSON data. ``released`` names the
    rule of the released scorer (formerly ``paper`` in the file), empty if there is none.
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
    own_rule: OwnRule | None
    model_judge: ModelJudge | None
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


class TaskEntry(Struct, frozen=True):
    """A task that can be selected. ``folder`` is the root in which it was found, ``path`` its file."""

    name: str
    tags: tuple[str, ...]
    path: Path
    folder: Path


class TaskGroup(Struct, frozen=True):
    """A name for several tasks, tags or groups."""

    name: str
    members: tuple[str, ...]


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
_REQUIRED = {
    "task": "task: mine",
    "dataset_path": "dataset_path: local:mine",
    "test_split": "test_split: test",
    "doc_to_visual": "doc_to_visual: image",
    "doc_to_text": "doc_to_text: question",
    "doc_to_target": "doc_to_target: answer",
    "metadata": "metadata: {maestro: {metric: …, columns: …}} (docs/benchmarks.md)",
}
"""The keys that a task needs, each with a value that it may have."""
_OURS: dict[str, tuple[type, ...]] = {
    "metric": _READER,
    "model_judge": _TEXT,
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
_ABOUT = ("description", "reference", "licence", "citation")
# Fields that only lmms-eval reads do not change what is measured here.
_LMMS_ONLY = ("generation_kwargs", "doc_to_messages")
_LMMS_RULE = ("metric_list", "process_results")
_ASKS_OR_JUDGES_NOTHING = (*_ABOUT, "model_judge")
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
    """Read, check and resolve one task file. UserError with file and line for an error in it."""
    written = resolve(path, root)
    _check_keys(written)
    functions = Functions(root, written)
    ours = written.ours
    # An included file's facts on its dataset do not apply if the including file replaces the dataset.
    of_this_dataset = written.source("dataset_path") is written.source("metadata")
    kwargs = written.data.get("lmms_eval_specific_kwargs")

    def read(*field: str, kwargs: Mapping[str, Any] | None = None) -> Read:
        value = written.get(field)
        if isinstance(value, FunctionName):
            function = functions.get(value, field)
            return function if kwargs is None else lambda row: function(row, kwargs)
        column = cast(str, value)
        return (lambda row: [row[column]]) if field == ("doc_to_visual",) else (lambda row: row.get(column))

    def optional(*field: str) -> Read | None:
        return None if written.get(field) is None else read(*field)

    metric, own_rule = own_metric(functions, written)
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
        # As in lmms-eval for a model without an entry of its own.
        text=read("doc_to_text", kwargs=None if kwargs is None else kwargs.get("default", kwargs)),
        target=read("doc_to_target"),
        choice=optional("doc_to_choice"),
        metric=metric,
        own_rule=own_rule,
        model_judge=ours.get("model_judge"),
        released=ours.get("released", ours.get("paper", "")),
        aggregation=cast(Aggregation, ours.get("aggregation", "mean")),
        id=ours["id"] if isinstance(ours.get("id"), str) else optional(*MAESTRO, "id"),
        keep=optional(*MAESTRO, "keep"),
        category=optional(*MAESTRO, "category"),
        stratum=optional(*MAESTRO, "stratum"),
        cluster=optional(*MAESTRO, "cluster"),
        images_in=ours.get("images_in", ""),
        fields=tuple(ours.get("fields", ())),
        columns={name: column for name, kind in ours["columns"].items() if (column := parse_column(kind))},
        about={key: ours[key].strip() for key in _ABOUT if key in ours} if of_this_dataset else {},
        hash=fingerprint({"definition": _measured(written.data), "functions": functions.hashes}),
    )


def read_heading(path: Path, root: Path) -> TaskEntry | TaskGroup | None:
    """Return the task or group that a file defines; None for a nameless template. Runs no code and checks no keys."""
    data = resolve(path, root).data
    task, group = data.get("task"), data.get("group")
    if isinstance(task, str) and task:
        return TaskEntry(task, _tags(data), path, root)
    if isinstance(group, str) and isinstance(task, list):
        return TaskGroup(group, tuple(map(str, task)))
    return None


def _check_keys(written: MergedYaml) -> None:
    for key, value in written.data.items():
        if key not in _KEYS:
            ours = f"; it belongs under {'.'.join(MAESTRO)}" if key in _OURS else ""
            raise UserError(f"{written.where(str(key))}: {key}: not supported{ours or _supported(key, _KEYS)}")
        _check_type(written, (key,), value, _KEYS[key])
    for key, example in _REQUIRED.items():
        if key not in written.data:
            raise UserError(f"{written.document.where()}: {key}: is missing; add one, such as {example}")
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


def _check_ours(written: MergedYaml) -> None:
    ours = written.get(MAESTRO)
    if not isinstance(ours, dict):
        raise UserError(f"{written.where('metadata')}: metadata.maestro: is missing (a mapping with at least a metric)")
    for key, value in ours.items():
        if key not in _OURS:
            raise UserError(
                f"{written.where(*MAESTRO, str(key))}: metadata.maestro.{key}: not supported{_supported(key, _OURS)}"
            )
        _check_type(written, (*MAESTRO, key), value, _OURS[key])
    if "columns" not in ours:
        raise UserError(
            f"{written.where(*MAESTRO)}: metadata.maestro.columns: is missing; add the columns that are read, such as "
            "columns: {image: image, question: string, answer: string}"
        )
    if "paper" in ours and "released" in ours:
        raise UserError(f"{written.where(*MAESTRO, 'paper')}: paper: is the former name of released; leave it out")
    _check_values(written, ours)
    for name, kind in ours["columns"].items():
        if parse_column(kind) is None:
            raise UserError(
                f"{written.where(*MAESTRO, 'columns', str(name))}: column {name}: unknown type {kind!r}; "
                f"expected {column_types()}, with ? for a column that may be absent"
            )
    for name in ours.get("fields", ()):
        if name not in ours["columns"]:
            raise UserError(f"{written.where(*MAESTRO, 'fields')}: fields: {name!r} is not among the columns")
    for key in ("id", "category", "stratum", "cluster"):
        _check_column_name(written, (*MAESTRO, key))


def _supported(key: object, known: Iterable[str]) -> str:
    return suggest(str(key), known, "supported are")


def _check_values(written: MergedYaml, ours: Mapping[str, Any]) -> None:
    if ours.get("model_judge", "choice") not in get_args(ModelJudge):
        raise UserError(
            f"{written.where(*MAESTRO, 'model_judge')}: model_judge: expected {' or '.join(get_args(ModelJudge))}"
        )
    aggregation = ours.get("aggregation", "mean")
    where = written.where(*MAESTRO, "aggregation")
    if aggregation not in get_args(Aggregation):
        raise UserError(f"{where}: aggregation: expected {' or '.join(get_args(Aggregation))}")
    over = _AGGREGATES_OVER.get(aggregation, "")
    if over and over not in ours:
        raise UserError(f"{where}: aggregation: {aggregation} needs metadata.maestro.{over}")
    if isinstance(size := ours.get("size", 0), bool) or size < 0:
        raise UserError(f"{written.where(*MAESTRO, 'size')}: size: expected a number of samples, found {size!r}")
    folder = ours.get("images_in", "images")
    if not folder or folder in (".", "..") or any(mark in folder for mark in "/\\\0"):
        raise UserError(
            f"{written.where(*MAESTRO, 'images_in')}: images_in: expected the bare name of a folder beside the data, "
            f"found {folder!r}"
        )


def _check_column_name(written: MergedYaml, field: tuple[str, ...]) -> None:
    value = written.get(field)
    if isinstance(value, str) and value not in written.ours["columns"]:
        raise UserError(
            f"{written.where(*field)}: {field[-1]}: {value!r} is not among metadata.maestro.columns "
            "(templates are not supported; use !function)"
        )


def _check_type(written: MergedYaml, field: tuple[str, ...], value: object, types: tuple[type, ...]) -> None:
    if not isinstance(value, types):
        wanted = " or ".join(_NAMES[kind] for kind in types)
        raise UserError(f"{written.where(*field)}: {'.'.join(field)}: expected {wanted}")


def _tags(data: Mapping[str, Any]) -> tuple[str, ...]:
    tags: list[str] = []
    for key in ("tag", "group"):
        value = data.get(key, [])
        tags += [value] if isinstance(value, str) else [str(tag) for tag in value]
    return tuple(tags)


def _measured(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a definition that determines what is asked and how it is scored."""
    ours = {key: value for key, value in data["metadata"]["maestro"].items() if key not in _ASKS_OR_JUDGES_NOTHING}
    if "paper" in ours:
        ours["released"] = ours.pop("paper")
    ignored = (*_LMMS_ONLY, *_LMMS_RULE) if "metric" in ours else _LMMS_ONLY
    return {key: value for key, value in data.items() if key not in ignored} | {"metadata": ours}
