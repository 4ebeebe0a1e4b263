"""The differences between two registries: entries and their fields, and the system message as a policy reads it.

Two loaded registries are compared. Endpoints are included, although the place where a model is served is in no hash.
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
    """A field before and after; nested ones are named like ``solvers.bar.prompt``. None: the field is absent."""

    field: str
    before: Any
    after: Any


class EntryChange(Struct, frozen=True):
    """An entry that differs. ``moved``: its content is equal, its place in the prompt's order is not.

    The kind ``registry`` has fields that apply to all entries.
    """

    kind: Literal["endpoints", "experts", "services", "skills", "registry", "prompt"]
    name: str
    state: State
    fields: tuple[FieldChange, ...] = ()


class RegistryDiff(Struct, frozen=True):
    """All differences. ``system`` is a unified diff of the rendered system messages, empty if they are equal."""

    before: str
    after: str
    before_hash: str
    after_hash: str
    entries: tuple[EntryChange, ...]
    system: tuple[str, ...]


def diff_registries(before: Registry, after: Registry) -> RegistryDiff:
    """Compare ``before`` with ``after``; the system messages are rendered for the default regime."""
    system = difflib.unified_diff(
        render_system(before, Regime()).splitlines(),
        render_system(after, Regime()).splitlines(),
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
    """Return the names that must move to turn one order into the other; the longest common runs stay."""
    was = [name for name in before if name in after]
    now = [name for name in after if name in before]
    blocks = difflib.SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks()
    return set(was) - {name for block in blocks for name in was[block.a : block.a + block.size]}


def _fields(before: object, after: object, path: str = "") -> Iterator[FieldChange]:
    """Yield the innermost fields in which two values differ. Lists are compared whole: their items have no names."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _fields(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield FieldChange(path, before, after)
