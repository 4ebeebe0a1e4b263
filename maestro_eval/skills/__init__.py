"""What can be asked of an expert? Pipelines, and the evidence they fetch first."""

from maestro_eval.skills.boxes import Box, find_boxes, place
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.evidence import EvidenceBoard, Gathered, Piece
from maestro_eval.skills.models import ask_model, endpoint_of
from maestro_eval.skills.run_skill import SkillResult, run_skill

__all__ = [
    "Box",
    "EvidenceBoard",
    "Gathered",
    "Piece",
    "SkillContext",
    "SkillResult",
    "ask_model",
    "endpoint_of",
    "find_boxes",
    "place",
    "run_skill",
]
