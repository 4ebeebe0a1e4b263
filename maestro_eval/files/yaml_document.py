"""YAML files with the line of every field, for errors that a user can act on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from maestro_eval.records import UserError

# Characters of a file (parsing that many takes seconds), and nodes with all aliases expanded.
_LONGEST = 1_000_000
_MOST_NODES = 200_000


class UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but a key written twice is an error instead of a silent override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class YamlDocument:
    """A parsed YAML mapping with the line of every field."""

    def __init__(self, path: Path, data: dict[str, Any], root: yaml.Node) -> None:
        self.path = path
        self.data = data
        self._root = root

    def where(self, field: Sequence[str | int] = ()) -> str:
        """Return ``file:line`` of a field, or of its nearest parent that is written in the file."""
        node = self._root
        line = node.start_mark.line + 1
        for step in field:
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if str(k.value) == str(step)), None)
                if found is None:
                    break
                line = found[0].start_mark.line + 1
                node = found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return f"{self.path}:{line}"


def load_yaml(path: Path, loader: type[yaml.SafeLoader] = UniqueKeyLoader) -> YamlDocument:
    """Read a YAML mapping. UserError with file and line for a missing, unreadable or ill-formed file."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if len(text) > _LONGEST:
        raise UserError(f"{path}: longer than {_LONGEST:,} characters")
    try:
        parser = loader(text)
        try:
            root = parser.get_single_node()
            _refuse_bomb(root)
            data = parser.construct_document(root) if root is not None else None
        finally:
            parser.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a scalar that looks like a date or a number and is none, say 2024-13-40.
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if root is None or not isinstance(data, dict):
        raise UserError(f"{path}:1: expected a mapping (name: value) at the top")
    return YamlDocument(path, data, root)


def _refuse_bomb(root: yaml.Node | None) -> None:
    """Raise ``ValueError`` if nested aliases expand to too many nodes, or refer to themselves."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_NODES  # While it is counted: a node within itself has no end.
            children = node.value if isinstance(node, yaml.CollectionNode) else []
            inner = (each for child in children for each in (child if isinstance(child, tuple) else (child,)))
            sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    if root is not None and size(root) > _MOST_NODES:
        raise ValueError(f"its aliases expand to more than {_MOST_NODES:,} values")
