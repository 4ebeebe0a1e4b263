"""What a written name means.

The rules, in order: equality; an alias as declared; where the regime is lenient, equality after folding case and
separators; and in the released code's looseness, after the same folding, either name contained in the other. A
registry whose names fold alike does not load, so at most one entry can match by the first three; by the fourth many
can, and the first in the registry's order is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from maestro_eval.registry.records import Expert, Registry, Skill
from maestro_eval.types import Resolution

Names = Literal["exact", "lenient", "released"]
_Rule = Literal["exact", "alias", "lenient", "substring", "unknown"]
_LOOSENESS: tuple[_Rule, ...] = ("exact", "alias", "lenient", "substring", "unknown")
_LOOSEST: dict[Names, _Rule] = {"exact": "alias", "lenient": "lenient", "released": "substring"}


def resolve(registry: Registry, expert: str, skill: str, names: Names) -> Resolution:
    """The registry entries that ``expert`` and ``skill`` name, and the loosest rule that was needed."""
    found_expert, expert_rule = _match(expert, registry.experts, names)
    found_skill, skill_rule = _match(skill, registry.skills, names)
    rule = max(expert_rule, skill_rule, key=_LOOSENESS.index)
    return Resolution(expert=found_expert, skill=found_skill, rule=rule)


def fold(name: str) -> str:
    """Case and separators taken out: ``Qwen3-VL 8B`` and ``qwen3_vl_8b`` are one name."""
    return "".join(character for character in name.casefold() if character not in " -_./\t")


def _match(written: str, entries: Mapping[str, Expert] | Mapping[str, Skill], names: Names) -> tuple[str | None, _Rule]:
    folded = fold(written)
    tests: dict[_Rule, Callable[[str, str], bool]] = {
        "exact": lambda name, spelling: written == name,
        "alias": lambda name, spelling: written == spelling,
        "lenient": lambda name, spelling: folded == fold(spelling),
        # Nothing is contained in everything, and means nothing.
        "substring": lambda name, spelling: bool(folded) and _contain(folded, fold(spelling)),
    }
    for rule, matches in tests.items():
        if _LOOSENESS.index(rule) > _LOOSENESS.index(_LOOSEST[names]):
            break
        for name, entry in entries.items():
            if any(matches(name, spelling) for spelling in (name, *entry.aliases)):
                return name, rule
    return None, "unknown"


def _contain(one: str, other: str) -> bool:
    return one in other or other in one
