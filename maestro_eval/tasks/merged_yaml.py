"""One task file with the files that it includes, merged, and for each key the file that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml
from msgspec import Struct

from maestro_eval.files import UniqueKeyLoader, YamlDocument, load_yaml
from maestro_eval.records import UserError
from maestro_eval.tasks.functions import FunctionName

MAESTRO = ("metadata", "maestro")


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
