"""What a written name means.

The rules, in order: equality; an alias as declared; where the regime is lenient, equality after folding case and
separators. A registry whose names fold alike does not load, so at most one entry can match by these. Where the regime
is ``released``, the released system's own rules find one of its names in what was written; for entries that it does
not know, either name contained in the other is enough, and the first in the registry's order is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from maestro_eval.records import Resolution
from maestro_eval.registry.records import Expert, Registry, Skill
from maestro_eval.registry.released_names import in_our_registries, released_expert, released_skill

_Entry = Expert | Skill
Names = Literal["exact", "lenient", "released"]
_Rule = Literal["exact", "alias", "lenient", "substring", "unknown"]
_LOOSENESS: tuple[_Rule, ...] = ("exact", "alias", "lenient", "substring", "unknown")
_LOOSEST: dict[Names, _Rule] = {"exact": "alias", "lenient": "lenient", "released": "substring"}


def resolve(registry: Registry, expert: str, skill: str, names: Names) -> Resolution:
    """The registry entries that ``expert`` and ``skill`` name, and the loosest rule that was needed."""
    solver = ""
    if names == "released":
        found_expert, expert_rule = _released_match(expert, registry.experts, _as_experts)
        found_skill, skill_rule = _released_match(skill, registry.skills, _as_skills)
        if found_skill is not None:
            solver = _solver(registry.skills[found_skill], skill)
    else:
        found_expert, expert_rule = _match(expert, registry.experts, names)
        found_skill, skill_rule = _match(skill, registry.skills, names)
    rule = max(expert_rule, skill_rule, key=_LOOSENESS.index)
    return Resolution(expert=found_expert, skill=found_skill, rule=rule, solver=solver)


def fold(name: str) -> str:
    """Case and separators taken out: ``Qwen3-VL 8B`` and ``qwen3_vl_8b`` are one name."""
    return "".join(character for character in name.casefold() if character not in " -_./\t")


def _as_experts(written: str) -> tuple[str, ...]:
    found = released_expert(written)
    return (found,) if found else ()


def _as_skills(written: str) -> tuple[str, ...]:
    """The release's own name of a skill or solver, then the skill that it is in our registries."""
    found = released_skill(written)
    return (found, in_our_registries(found).skill) if found else ()


def _solver(skill: Skill, written: str) -> str:
    """The solver of ``skill`` that was named; empty where the skill itself was."""
    found = released_skill(written)
    solver = in_our_registries(found).solver if found and found != skill.name else ""
    return solver if solver in skill.solvers else ""


def _released_match(
    written: str, entries: Mapping[str, _Entry], find: Callable[[str], tuple[str, ...]]
) -> tuple[str | None, _Rule]:
    """The entry that the released system finds in ``written``, or the loosest match among entries unknown to it."""
    found = next((name for name in find(written) if name in entries), None)
    if found is not None:
        matched, rule = _match(written, {found: entries[found]}, "released")
        return found, rule if matched else "substring"
    unknown = {name: entry for name, entry in entries.items() if not any(known in entries for known in find(name))}
    return _match(written, unknown, "released")


def _match(written: str, entries: Mapping[str, _Entry], names: Names) -> tuple[str | None, _Rule]:
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
