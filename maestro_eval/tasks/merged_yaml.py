"""One task file merged with the files that it includes, and the functions and the scoring rule that it names.

``!function module.name`` is foreign code, so a file is run only if it is inside the folder that the user named (or the
bundled one). It is compiled from its text each time: importlib may run cached bytecode of an older text.

A run's manifest names the file with the scoring rule, and the manifest may be a stranger's: the file is read only from
a folder that the user named in this process (``--include-path``) or in ``MAESTRO_INCLUDE_PATH``, or from that of an
installed package.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any, cast

import yaml
from msgspec import Struct

from maestro_eval.files import UniqueKeyLoader, YamlDocument, fingerprint, load_yaml
from maestro_eval.plugins import folders
from maestro_eval.records import UserError
from maestro_eval.tasks.rows import plain

MAESTRO = ("metadata", "maestro")
Read = Callable[[Mapping[str, Any]], object]
"""A function that reads one field of a sample from a row."""


ENVIRONMENT = "MAESTRO_INCLUDE_PATH"

_named: set[Path] = set()


class FunctionName(Struct, frozen=True):
    """``!function module.name``, not loaded yet."""

    module: str
    name: str


@dataclass
class Functions:
    """The functions of one task file; each of their files runs once, and none outside of ``root``.

    ``hashes`` has the SHA-256 of each file that ran, by its name.
    """

    root: Path
    written: MergedYaml
    hashes: dict[str, str] = field(default_factory=dict)
    _modules: dict[Path, ModuleType] = field(default_factory=dict)

    def get(self, named: FunctionName, place: tuple[str, ...]) -> Callable[..., Any]:
        """Load the function named in a field, from beside the file with that field. UserError if it does not exist."""
        where = self.written.where(*place)
        file = self.written.source(place[0]).path.parent / f"{named.module}.py"
        if not file.resolve().is_relative_to(self.root.resolve()):
            raise UserError(f"{where}: !function {named.module}.{named.name}: {file} is outside {self.root}")
        function = getattr(self._module(file, where), named.name, None)
        if not inspect.isfunction(function):
            raise UserError(f"{where}: !function {named.module}.{named.name}: {file} has no function {named.name}")
        return cast(Callable[..., Any], function)

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
        # Dataclasses and pickling find their module by name.
        sys.modules[module.__name__] = module
        try:
            exec(compile(text, str(file), "exec"), module.__dict__)
        except Exception as error:
            raise UserError(f"{file}: fails when it is imported ({type(error).__name__}: {error})") from error
        self.hashes[file.name] = digest
        self._modules[file] = module
        return module


class MergedYaml(Struct, frozen=True):
    """The merged mapping; ``origin`` has the file of each key."""

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
    """The safe loader with ``!function``; any other tag is an error."""


def _function_name(loader: yaml.SafeLoader, node: yaml.Node) -> FunctionName:
    written = str(loader.construct_scalar(node)) if isinstance(node, yaml.ScalarNode) else ""
    module, _, name = written.partition(".")
    if not (module.isidentifier() and name.isidentifier()):
        raise yaml.constructor.ConstructorError(
            None, None, f"!function takes module.name, and found {written!r}", node.start_mark
        )
    return FunctionName(module, name)


_TaskLoader.add_constructor("!function", _function_name)


def resolve(path: Path, root: Path, including: tuple[Path, ...] = ()) -> MergedYaml:
    document = load_yaml(path, loader=_TaskLoader)
    written = MergedYaml(document, dict(document.data), dict.fromkeys(document.data, document))
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
    base = resolve(target, root, chain)
    return MergedYaml(document, {**base.data, **written.data}, {**base.origin, **written.origin})


class RuleChangedError(UserError):
    """A task file's rule differs from the one with which the run began."""


@dataclass(frozen=True, kw_only=True)
class ResultRules:
    """The rules of a task's ``process_results``: its ``aggregations`` by metric, the main one first.

    ``errors`` are the metrics of which less is better. ``score_key`` is the field of a metric's record that lmms-eval
    reads as the score of one sample. ``label`` names the source of the measures.
    """

    aggregations: Mapping[str, Callable[[list[Any]], Any]]
    errors: frozenset[str]
    label: str = "process_results"
    score_key: str = "score"
    process: Callable[[Mapping[str, Any], list[str]], object]

    @property
    def may_call(self) -> bool:
        """Return whether the rules may use the network."""
        return False

    def judge(self, doc: Mapping[str, Any], reading: str) -> object:
        """Return the verdict of the task's own code on a reply; its exceptions are not caught."""
        results = self.process(doc, [reading])
        return {name: plain(value) for name, value in results.items()} if isinstance(results, dict) else results


class OwnRule(Struct, frozen=True):
    """The rules of ``process_results``, or the function, with which a task file scores; ``hash`` covers its code."""

    hash: str
    judges: ResultRules | Callable[..., Any]


def own_metric(functions: Functions, written: MergedYaml) -> tuple[str, OwnRule | None]:
    """Return the name of the metric, and the task file's own rule if it has one."""
    named = written.ours.get("metric")
    if isinstance(named, str):
        return named, None
    if isinstance(named, FunctionName):
        function = functions.get(named, (*MAESTRO, "metric"))
        return f"{named.module}.{named.name}", OwnRule(functions.hashes[f"{named.module}.py"], function)
    named, listed = written.get(("process_results",)), written.get(("metric_list",))
    if not isinstance(named, FunctionName) or not listed:
        raise UserError(
            f"{written.where(*MAESTRO)}: metadata.maestro.metric: is missing; add one, such as metric: short_answer, "
            "metric: !function file.judge, or process_results: !function file.function with its metric_list"
        )
    process = functions.get(named, ("process_results",))
    rules = _rules(functions, written, process)
    return "process_results", OwnRule(fingerprint({"functions": functions.hashes, "metric_list": listed}), rules)


def _rules(functions: Functions, written: MergedYaml, process: Callable[..., Any]) -> ResultRules:
    aggregations: dict[str, Callable[[list[Any]], Any]] = {}
    errors: set[str] = set()
    for number, entry in enumerate(written.data["metric_list"]):
        field = ("metric_list", str(number))
        where = written.where(*field)
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), str):
            raise UserError(f"{where}: metric_list: expected entries such as metric: accuracy")
        how = entry.get("aggregation", "mean")
        if isinstance(how, FunctionName):
            aggregations[entry["metric"]] = functions.get(how, field)
        elif how == "mean":
            aggregations[entry["metric"]] = fmean
        else:
            raise UserError(
                f"{where}: aggregation: {how!r}: only mean or a !function is supported; add metadata.maestro.metric, "
                "which judges in its place"
            )
        if entry.get("higher_is_better", True) is False:
            errors.add(entry["metric"])
    return ResultRules(aggregations=aggregations, errors=frozenset(errors), process=process)


def trust(folders: Iterable[Path]) -> None:
    """Allow task files in these folders to score by their own rules in this process from now on."""
    _named.update(folder.resolve() for folder in folders)


def trusted_folders() -> tuple[str, ...]:
    """Return the folders whose task files may score by their own rules."""
    return tuple(str(folder) for folder in sorted({*_named, *unflagged_folders()}))


def named_folders(files: Iterable[str]) -> list[Path]:
    """Return the folders of these task files that every program must name in order to score by them."""
    paths = [Path(file).resolve() for file in files]
    return sorted(
        folder
        for folder in _named.difference(unflagged_folders())
        if any(path.is_relative_to(folder) for path in paths)
    )


def unflagged_folders() -> list[Path]:
    """Return the folders of task files that need no flag: those of installed packages and of the environment."""
    listed = [Path(one) for one in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if one]
    return [folder.resolve() for folder in (*folders("tasks"), *listed)]
