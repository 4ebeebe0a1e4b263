"""The names that the released system knows, and how it finds them in what a policy wrote.

A model is found by a keyword inside the written name, and a skill by one of its spellings or else by keywords; both
in a fixed order, blind to case, with no separator folded. These are facts of that system, whatever a registry holds:
its names can be found without being in the registry (docs/regimes.md).
"""

from __future__ import annotations

from msgspec import Struct


class _Rule(Struct, frozen=True):
    """``name`` is meant where a word of each of ``words`` is in what was written."""

    name: str
    words: tuple[tuple[str, ...], ...]


class ReleasedSkill(Struct, frozen=True):
    """A released skill as our registries have it: a ``skill``, or one ``solver`` of it."""

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
# Spelt whole: with underscores, with hyphens, or without separators.
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
# Two routers are the diagram skill by other names.
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
# Where our registries have a name of the release within one of their skills.
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
    """The expert that the released system calls by ``written``; ``None`` where it answers with a name error."""
    return _found(_EXPERTS, written.strip().lower())


def released_skill(written: str) -> str | None:
    """The skill or solver that the released system calls by ``written``; ``None`` where it answers with an error."""
    folded = written.strip().lower()
    spelt = _SPELT.get(folded)
    return _SAME.get(spelt, spelt) if spelt else _found(_SKILLS, folded)


def in_our_registries(name: str) -> ReleasedSkill:
    """Where a registry of ours has the released skill or solver ``name``."""
    return _OURS.get(name, ReleasedSkill(name))


def _found(rules: tuple[_Rule, ...], folded: str) -> str | None:
    return next((r.name for r in rules if all(any(word in folded for word in any_of) for any_of in r.words)), None)
