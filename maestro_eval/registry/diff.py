"""The differences between two registries: entries and their fields, and the system message as a policy reads it.

A pure comparison of two loaded registries. Endpoints are compared like the rest, although what is served where is in
no hash.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from pydantic import BaseModel

from maestro_eval.records import Endpoint, Regime
from maestro_eval.registry.prompt import render_system
from maestro_eval.registry.records import Registry

State = Literal["added", "removed", "changed", "moved"]


class FieldChange(Struct, frozen=True):
    """A field as it was and is; solvers' and other nested ones as ``solvers.bar.prompt``. ``None`` is not there."""

    field: str
    before: Any
    after: Any


class EntryChange(Struct, frozen=True):
    """One entry that differs. ``moved``: the same, but in another place of the order that the prompt lists.

    Of kind ``registry`` are fields that hold for all entries.
    """

    kind: Literal["endpoints", "experts", "services", "skills", "registry", "prompt"]
    name: str
    state: State
    fields: tuple[FieldChange, ...] = ()


class RegistryDiff(Struct, frozen=True):
    """All that differs. ``system`` is a unified diff of the rendered system messages, empty when they are equal."""

    before: str
    after: str
    before_hash: str
    after_hash: str
    entries: tuple[EntryChange, ...]
    system: tuple[str, ...]


def diff_registries(before: Registry, after: Registry, regime: Regime | None = None) -> RegistryDiff:
    """Compare ``before`` with ``after``, the system message rendered for ``regime`` (the default one)."""
    regime = regime or Regime()
    system = difflib.unified_diff(
        render_system(before, regime).splitlines(),
        render_system(after, regime).splitlines(),
        before.name,
        after.name,
        lineterm="",
    )
    changes = [
        *_changes("endpoints", before.endpoints, after.endpoints),
        *_changes("experts", before.experts, after.experts),
        *_changes("services", before.services, after.services),
        *_changes("skills", before.skills, after.skills),
        *(
            EntryChange("registry", name, "changed", (FieldChange(name, getattr(before, name), getattr(after, name)),))
            for name in ("image_encoding", "show_question")
            if getattr(before, name) != getattr(after, name)
        ),
        *(
            EntryChange("prompt", change.field, "changed", (change,))
            for change in _fields(msgspec.to_builtins(before.prompts), msgspec.to_builtins(after.prompts))
        ),
    ]
    return RegistryDiff(before.name, after.name, before.hash, after.hash, tuple(changes), tuple(system))


def _changes(
    kind: Literal["endpoints", "experts", "services", "skills"],
    before: Mapping[str, Endpoint | BaseModel],
    after: Mapping[str, Endpoint | BaseModel],
) -> Iterator[EntryChange]:
    moved = _moved(list(before), list(after))
    for name in (*before, *(name for name in after if name not in before)):
        if name not in after:
            yield EntryChange(kind, name, "removed")
        elif name not in before:
            yield EntryChange(kind, name, "added")
        elif fields := tuple(_fields(_plain(before[name]), _plain(after[name]))):
            yield EntryChange(kind, name, "changed", fields)
        elif name in moved:
            yield EntryChange(kind, name, "moved")


def _plain(entry: Endpoint | BaseModel) -> object:
    return entry.model_dump() if isinstance(entry, BaseModel) else msgspec.to_builtins(entry)


def _moved(before: list[str], after: list[str]) -> set[str]:
    """Names that must change their place for the one order to become the other; the longest common runs stay."""
    was = [name for name in before if name in after]
    now = [name for name in after if name in before]
    blocks = difflib.SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks()
    return set(was) - {name for block in blocks for name in was[block.a : block.a + block.size]}


def _fields(before: object, after: object, path: str = "") -> Iterator[FieldChange]:
    """Yield the innermost fields of two values that differ. Lists are compared whole: their items have no names."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _fields(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield FieldChange(path, before, after)
