"""Pure functions that parse strings and make them harmless, for several rooms."""

from maestro_eval.text.clip import ESTIMATE, Ruler, clip, estimate_tokens, ruler
from maestro_eval.text.harmless import neutralise, one_line, printable, whole, whole_text
from maestro_eval.text.reply import Spoken, seen, spoken, visible
from maestro_eval.text.statement import NO_ANSWER, Statement, answer_statement, statements, tidied
from maestro_eval.text.tokenizer import HUB, Tokenizer, load_tokenizer, tokenizer_file

__all__ = [
    "ESTIMATE",
    "HUB",
    "NO_ANSWER",
    "Ruler",
    "Spoken",
    "Statement",
    "Tokenizer",
    "answer_statement",
    "clip",
    "estimate_tokens",
    "load_tokenizer",
    "neutralise",
    "one_line",
    "printable",
    "ruler",
    "seen",
    "spoken",
    "statements",
    "tidied",
    "tokenizer_file",
    "visible",
    "whole",
    "whole_text",
]
