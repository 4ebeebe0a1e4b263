"""Resolve the names that a policy wrote.

The rules, in order: equality; a declared alias; if names are ``lenient``, equality after folding case and separators. A
registry whose names fold alike does not load, so at most one entry matches. If names are ``released``, the released
system's own rules find one of its names in the text; for entries that it does not know, one name must contain the
other, and the first in the registry's order is chosen.

The released system finds a model by a keyword inside the written name, and a skill by one of its spellings, else by
keywords, in a fixed order, ignoring case but not separators. This holds for any registry (docs/regimes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from maestro_eval.records import Resolution
from maestro_eval.registry.records import Expert, Registry
from maestro_eval.registry.skill_schema import Skill

RELEASED_PIPELINE = "maestro_eval.released:run"
"""The pipeline of a skill that runs a user's copy of the released code."""


_Entry = Expert | Skill
Names = Literal["exact", "lenient", "released"]
_ReadingRule = Literal["exact", "alias", "lenient", "substring", "unknown"]
_LOOSENESS: tuple[_ReadingRule, ...] = ("exact", "alias", "lenient", "substring", "unknown")
_LOOSEST: dict[Names, _ReadingRule] = {"exact": "alias", "lenient": "lenient", "released": "substring"}


class _Rule(Struct, frozen=True):
    """``name`` matches if the written text contains a word of each of ``words``."""

    name: str
    words: tuple[tuple[str, ...], ...]


class ReleasedSkill(Struct, frozen=True):
    """A released skill in our registries: a ``skill``, or one ``solver`` of it."""

    skill: str
    solver: str = ""


# The experts by our names, in the order in which their keywords are tried.
_EXPERTS = (
    _Rule("Chart-R1", (("chart-r1",),)),
    _Rule("GLM-4.6V-Flash", (("glm-4.6v",),)),
    _Rule("qwen3-vl-8b-instruct", (("qwen3-vl",),)),
    _Rule("Qwen3.5-9B", (("qwen3.5-9b", "qwen35-9b"),)),
    _Rule("Intern-S1-mini", (("intern-s1-mini",),)),
    _Rule("medgemma-1.5-4b-it", (("medgemma-1.5-4b",),)),
    _Rule("Step3-VL-10B", (("step3",),)),
)

_DIAGRAM = "Diagram_Reasoning_Skill"
# Complete spellings: with underscores, with hyphens, or without separators.
_SPELT = {
    spelling: name
    for name in (
        "Geometric_Problem_Solver", "Chart_Problem_Solver", "Science_Problem_Solver", "Counting_Problem_Solver",
        "Perception_Problem_Solver", "Perception_Problem_Solver_Eval", "Code_Problem_Solver",
        "ERQA_Trajectory_Outcome_Solver", "ERQA_Action_Adjustment_Solver", "ERQA_Spatial_Mechanics_Solver",
        "ERQA_Pointing_Localization_Solver", "ERQA_Multi_View_Task_Solver", "Embodied_Scene_QA_Skill",
        "ERQA_Embodied_Scene_QA_Skill", "Compositional_Visual_Reasoning_Skill", "clevr_problem_solver",
        "CLEVR_Master_Router_Skill", "OCRBench_Text_Recognition_Skill", "OCRBench_Key_Information_Extraction_Skill",
        "OCRBench_Scene_Text_QA_Skill", "OCRBench_Document_Chart_QA_Skill", "OCRBench_Formula_Recognition_Skill",
        "ocr_problem_solver", "OCRBench_Master_Router_Skill", _DIAGRAM, "Diagram_Reasoning_Router_Skill",
        "VLMsAreBlind_Master_Router_Skill",
    )
    for spelling in (name.lower(), name.lower().replace("_", "-"), name.lower().replace("_", ""))
}  # fmt: skip
# Two routers are other names of the diagram skill.
_SAME = {"Diagram_Reasoning_Router_Skill": _DIAGRAM, "VLMsAreBlind_Master_Router_Skill": _DIAGRAM}

_SKILLS = (
    _Rule("Geometric_Problem_Solver", (("geometric",), ("solver",))),
    _Rule("Chart_Problem_Solver", (("chart",), ("solver",))),
    _Rule("Science_Problem_Solver", (("science",), ("solver",))),
    _Rule("Counting_Problem_Solver", (("count",), ("solver",))),
    _Rule("Perception_Problem_Solver_Eval", (("perception",), ("solver",), ("eval",))),
    _Rule("Perception_Problem_Solver", (("perception",), ("solver",))),
    _Rule("Code_Problem_Solver", (("code", "python", "generator"),)),
    _Rule("ERQA_Trajectory_Outcome_Solver", (("trajectory",),)),
    _Rule("ERQA_Action_Adjustment_Solver", (("action",),)),
    _Rule("ERQA_Spatial_Mechanics_Solver", (("spatial",),)),
    _Rule("ERQA_Pointing_Localization_Solver", (("point",),)),
    _Rule("Embodied_Scene_QA_Skill", (("embodied",), ("skill",))),
    _Rule("Compositional_Visual_Reasoning_Skill", (("compositional",), ("reasoning",), ("skill",))),
    _Rule("clevr_problem_solver", (("clevr",), ("problem",), ("solver",))),
    _Rule("CLEVR_Master_Router_Skill", (("clevr",), ("router",))),
    _Rule("ocr_problem_solver", (("ocr",), ("problem",), ("solver",))),
    _Rule("OCRBench_Master_Router_Skill", (("ocrbench",), ("router",))),
    _Rule(_DIAGRAM, (("diagram",), ("reason",), ("skill",))),
    _Rule(_DIAGRAM, (("vlmsareblind",), ("router",))),
    _Rule("OCRBench_Formula_Recognition_Skill", (("ocrbench",), ("formula",))),
    _Rule("OCRBench_Key_Information_Extraction_Skill", (("ocrbench",), ("key", "information"))),
    _Rule("OCRBench_Scene_Text_QA_Skill", (("ocrbench",), ("scene",))),
    _Rule("OCRBench_Document_Chart_QA_Skill", (("ocrbench",), ("document", "chart"))),
    _Rule("OCRBench_Text_Recognition_Skill", (("ocrbench",), ("text",))),
    _Rule("ocr", (("ocr",),)),
    _Rule("ERQA_Multi_View_Task_Solver", (("multi", "task"),)),
)

_EMBODIED, _OCR = "Embodied_Scene_QA_Skill", "ocr_problem_solver"
# Released names that belong to a differently named skill or a solver in our registries.
_OURS = {
    "Perception_Problem_Solver_Eval": ReleasedSkill("Perception_Problem_Solver"),
    "ERQA_Embodied_Scene_QA_Skill": ReleasedSkill(_EMBODIED),
    "ERQA_Trajectory_Outcome_Solver": ReleasedSkill(_EMBODIED, "trajectory_outcome"),
    "ERQA_Action_Adjustment_Solver": ReleasedSkill(_EMBODIED, "action_adjustment"),
    "ERQA_Spatial_Mechanics_Solver": ReleasedSkill(_EMBODIED, "spatial_mechanics"),
    "ERQA_Pointing_Localization_Solver": ReleasedSkill(_EMBODIED, "pointing_localization"),
    "ERQA_Multi_View_Task_Solver": ReleasedSkill(_EMBODIED, "multi_view"),
    "ocr": ReleasedSkill(_OCR),
    "OCRBench_Master_Router_Skill": ReleasedSkill(_OCR),
    "OCRBench_Text_Recognition_Skill": ReleasedSkill(_OCR, "text_recognition"),
    "OCRBench_Key_Information_Extraction_Skill": ReleasedSkill(_OCR, "key_information"),
    "OCRBench_Scene_Text_QA_Skill": ReleasedSkill(_OCR, "scene_text_qa"),
    "OCRBench_Document_Chart_QA_Skill": ReleasedSkill(_OCR, "document_chart_qa"),
    "OCRBench_Formula_Recognition_Skill": ReleasedSkill(_OCR, "formula_recognition"),
}
RELEASED_EXPERTS = tuple(rule.name for rule in _EXPERTS)
RELEASED_SKILLS = tuple(dict.fromkeys(_SAME.get(name, name) for name in (*_SPELT.values(), *(r.name for r in _SKILLS))))
"""Every skill and solver that the released system has a name for."""


def released_expert(written: str) -> str | None:
    """Return the expert that the released system calls by ``written``; None if it replies with a name error."""
    return _found(_EXPERTS, written.strip().lower())


def released_skill(written: str) -> str | None:
    """Return the skill or solver that the released system calls by ``written``; None if it replies with an error."""
    folded = written.strip().lower()
    spelt = _SPELT.get(folded)
    return _SAME.get(spelt, spelt) if spelt else _found(_SKILLS, folded)


def in_our_registries(name: str) -> ReleasedSkill:
    """Return the released skill or solver ``name`` as our registries have it."""
    return _OURS.get(name, ReleasedSkill(name))


def _found(rules: tuple[_Rule, ...], folded: str) -> str | None:
    return next((r.name for r in rules if all(any(word in folded for word in any_of) for any_of in r.words)), None)


def resolve(registry: Registry, expert: str, skill: str, names: Names) -> Resolution:
    """Return the registry entries that ``expert`` and ``skill`` name, and the loosest rule that was needed."""
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
    """Return ``name`` without case and separators: ``Qwen3-VL 8B`` and ``qwen3_vl_8b`` are one name."""
    return "".join(character for character in name.casefold() if character not in " -_./\t")


def _as_experts(written: str) -> tuple[str, ...]:
    found = released_expert(written)
    return (found,) if found else ()


def _as_skills(written: str) -> tuple[str, ...]:
    """Return the released name of a skill or solver, then that of its skill in our registries; empty if unknown."""
    found = released_skill(written)
    return (found, in_our_registries(found).skill) if found else ()


def _solver(skill: Skill, written: str) -> str:
    """Return the solver of ``skill`` that ``written`` names; empty if it names the skill itself."""
    found = released_skill(written)
    solver = in_our_registries(found).solver if found and found != skill.name else ""
    return solver if solver in skill.solvers else ""


def _released_match(
    written: str, entries: Mapping[str, _Entry], find: Callable[[str], tuple[str, ...]]
) -> tuple[str | None, _ReadingRule]:
    """Return the entry that the released system finds in ``written``, else the best match of entries unknown to it."""
    found = next((name for name in find(written) if name in entries), None)
    if found is not None:
        matched, rule = _match(written, {found: entries[found]}, "released")
        return found, rule if matched else "substring"
    unknown = {name: entry for name, entry in entries.items() if not any(known in entries for known in find(name))}
    return _match(written, unknown, "released")


def _match(written: str, entries: Mapping[str, _Entry], names: Names) -> tuple[str | None, _ReadingRule]:
    folded = fold(written)
    tests: dict[_ReadingRule, Callable[[str, str], bool]] = {
        "exact": lambda name, spelling: written == name,
        "alias": lambda name, spelling: written == spelling,
        "lenient": lambda name, spelling: folded == fold(spelling),
        # An empty name is contained in every name, and matches none.
        "substring": lambda name, spelling: bool(folded) and (folded in fold(spelling) or fold(spelling) in folded),
    }
    for rule, matches in tests.items():
        if _LOOSENESS.index(rule) > _LOOSENESS.index(_LOOSEST[names]):
            break
        for name, entry in entries.items():
            if any(matches(name, spelling) for spelling in (name, *entry.aliases)):
                return name, rule
    return None, "unknown"
