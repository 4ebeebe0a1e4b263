"""What can be asked of an expert? Pipelines, and the evidence they fetch first."""

from maestro_eval.skills.boxes import Box, find_boxes, place
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.evidence import EvidenceBoard, Gathered, Piece
from maestro_eval.skills.models import ask_model, endpoint_of
from maestro_eval.skills.run_skill import PIPELINES, RUNS_CODE, Pipeline, SkillResult, find_pipeline, run_skill

__all__ = [
    "PIPELINES",
    "RUNS_CODE",
    "Box",
    "EvidenceBoard",
    "Gathered",
    "Piece",
    "Pipeline",
    "SkillContext",
    "SkillResult",
    "ask_model",
    "endpoint_of",
    "find_boxes",
    "find_pipeline",
    "place",
    "run_skill",
]
