"""What a written name means.

The rules, in order: equality; an alias as declared; and, where the regime is lenient, equality after folding
case and separators. A registry whose names fold alike does not load, so at most one entry can match.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from maestro_eval.registry.records import Expert, Registry, Skill
from maestro_eval.types import Resolution

_Rule = Literal["exact", "alias", "lenient", "unknown"]
_LOOSENESS: tuple[_Rule, ...] = ("exact", "alias", "lenient", "unknown")


def resolve(registry: Registry, expert: str, skill: str, names: Literal["exact", "lenient"]) -> Resolution:
    """The registry entries that ``expert`` and ``skill`` name, and the loosest rule that was needed."""
    found_expert, expert_rule = _match(expert, registry.experts, names)
    found_skill, skill_rule = _match(skill, registry.skills, names)
    rule = max(expert_rule, skill_rule, key=_LOOSENESS.index)
    return Resolution(expert=found_expert, skill=found_skill, rule=rule)


def fold(name: str) -> str:
    """Case and separators taken out: ``Qwen3-VL 8B`` and ``qwen3_vl_8b`` are one name."""
    return "".join(character for character in name.casefold() if character not in " -_./\t")


def _match(
    written: str, entries: Mapping[str, Expert] | Mapping[str, Skill], names: Literal["exact", "lenient"]
) -> tuple[str | None, _Rule]:
    if written in entries:
        return written, "exact"
    for name, entry in entries.items():
        if written in entry.aliases:
            return name, "alias"
    if names == "lenient":
        folded = fold(written)
        for name, entry in entries.items():
            if any(fold(spelling) == folded for spelling in (name, *entry.aliases)):
                return name, "lenient"
    return None, "unknown"
