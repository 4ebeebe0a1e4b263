"""Skills: pipelines that ask an expert, and the evidence that they fetch first."""

from maestro_eval.skills.boxes import Box, find_boxes, place, qwen_size
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.evidence import Evidence, EvidenceCache, pictures_of
from maestro_eval.skills.models import ask_model, model_ask
from maestro_eval.skills.pictures import PictureError, as_jpeg

__all__ = [
    "Box",
    "Evidence",
    "EvidenceCache",
    "PictureError",
    "SkillContext",
    "as_jpeg",
    "ask_model",
    "find_boxes",
    "model_ask",
    "pictures_of",
    "place",
    "qwen_size",
]
