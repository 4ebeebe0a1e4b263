"""How is a string read and made harmless? Pure functions that several rooms share."""

from maestro_eval.text.clip import clip, estimate_tokens
from maestro_eval.text.statement import answer_statement
from maestro_eval.text.tags import neutralise

__all__ = ["answer_statement", "clip", "estimate_tokens", "neutralise"]
