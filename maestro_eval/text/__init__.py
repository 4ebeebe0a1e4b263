"""How is a string read and made harmless? Pure functions that several rooms share."""

from maestro_eval.text.clip import Ruler, clip, estimate_tokens, ruler
from maestro_eval.text.reply import Spoken, spoken, visible
from maestro_eval.text.statement import answer_statement
from maestro_eval.text.tags import neutralise
from maestro_eval.text.tokenizer import HUB, Tokenizer, load_tokenizer, tokenizer_file

__all__ = [
    "HUB",
    "Ruler",
    "Spoken",
    "Tokenizer",
    "answer_statement",
    "clip",
    "estimate_tokens",
    "load_tokenizer",
    "neutralise",
    "ruler",
    "spoken",
    "tokenizer_file",
    "visible",
]
