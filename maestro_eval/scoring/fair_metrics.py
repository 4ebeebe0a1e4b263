"""The metrics under the protocol `fair`: what a careful human takes the reply to say, held against the targets.

`docs/scoring.md` says where ``fair`` and ``official`` differ.
"""

from __future__ import annotations

import math
import re

from msgspec.structs import replace

from maestro_eval.records import NoAnswer, Sample
from maestro_eval.scoring.chosen_option import lists_letters, option_readers
from maestro_eval.scoring.counts import count_readers
from maestro_eval.scoring.extract import Reply, candidates
from maestro_eval.scoring.fair import Reading, reading
from maestro_eval.scoring.letters import lone_letter
from maestro_eval.scoring.math_answer import fair_expression, fair_number, fair_option_by_value
from maestro_eval.scoring.negation import undenied
from maestro_eval.scoring.numerals import number, number_form
from maestro_eval.scoring.short_text import short_form, text_reading
from maestro_eval.scoring.values import value_readers, values
from maestro_eval.scoring.verdict import Verdict, no_answer
from maestro_eval.scoring.vlms_are_blind import blind_readers
from maestro_eval.scoring.yes_no import yes_no_readers

_RELAXATION = 0.05
_NOISE = 1e-9
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_WEIGHS = re.compile(
    r"\b(?:at\sfirst|initially|could\sbe|may\sbe|might\sbe|maybe|perhaps|possibl[ey]|plausible|ruled?\s(?:it\s)?out|or)\b",
    re.IGNORECASE,
)


def fair_option(sample: Sample, reply: Reply) -> Verdict:
    """The option that the reply chooses, by letter, text, value or a sentence; without options a value."""
    targets = {target.strip("(). ").upper() for target in sample.targets if lone_letter(target)}
    if not targets and not sample.choices:
        return fair_expression(sample, reply)
    targets = targets or _letters_of(sample)
    if lists_letters(reply):
        return no_answer(NoAnswer.SEVERAL)
    return _judged(reading(reply, *option_readers(sample.choices, sample.question)), targets)


def fair_integer(sample: Sample, reply: Reply) -> Verdict:
    """The whole number that the reply counts."""
    found = reading(reply, *count_readers(sample.question))
    targets = {str(target.integer) for target in map(number, sample.targets) if target is not None}
    verdict = _judged(found, targets)
    if isinstance(found.read, NoAnswer) or not targets:
        return verdict
    squared = min((int(found.read) - int(target)) ** 2 for target in targets)
    return replace(verdict, others={"squared_error": float(squared)})


def fair_relaxed(sample: Sample, reply: Reply) -> Verdict:
    """ChartQA: a value within 5 % with or without its unit (a year exactly), or the same text."""
    wanted = [found for found in map(number, sample.targets) if found is not None]
    if len(wanted) < len(sample.targets) or not wanted:
        return _text(sample, reply)
    found = reading(reply, *value_readers(sample.question))
    read = found.read
    if isinstance(read, NoAnswer):
        return _judged(found, set())
    exact = _asks_year(sample.question) and all(len(target.strip()) == 4 for target in sample.targets)
    right = any(
        _within(given, meant, exact) for target in sample.targets for meant in values(target) for given in values(read)
    )
    shown = number(read)
    return Verdict(float(right), read if shown is None else number_form(shown.value), rule=found.rule)


def fair_short_answer(sample: Sample, reply: Reply) -> Verdict:
    """SLAKE: yes or no, by word or sentence; else the same short text."""
    targets = {target.strip().casefold() for target in sample.targets}
    if {"yes", "no"} >= targets:
        return _judged(reading(reply, *yes_no_readers(sample.question)), targets)
    return _text(sample, reply)


def fair_mathvista(sample: Sample, reply: Reply) -> Verdict:
    """MathVista: the option, the number at the row's precision, or the same text."""
    if sample.choices:
        return fair_option(sample, reply)
    kind = sample.fields.get("answer_type", "text")
    if kind not in ("integer", "float"):
        verdict = _text(sample, reply)
        return verdict if verdict.value else fair_expression(sample, reply)
    found = reading(reply, *value_readers(sample.question))
    if isinstance(found.read, NoAnswer):
        return fair_expression(sample, reply) if found.read is NoAnswer.UNSTATED else _judged(found, set())
    return replace(fair_number(sample, found.read), rule=found.rule)


def fair_math(sample: Sample, reply: Reply) -> Verdict:
    """MathVision: the option by letter, text or value; without options an expression of the target's value."""
    if not sample.choices:
        return fair_expression(sample, reply)
    verdict = fair_option(sample, reply)
    return verdict if verdict.no_answer is not NoAnswer.UNSTATED else fair_option_by_value(sample, reply)


def fair_blind(sample: Sample, reply: Reply) -> Verdict:
    """VLMsAreBlind: a number, yes or no, a letter in any case, or rows and columns."""
    whole, within = blind_readers(sample.fields.get("task", ""), sample.question)
    return _judged(reading(reply, whole, within), {str(whole(target)) for target in sample.targets})


def fair_substring(sample: Sample, reply: Reply) -> Verdict:
    """OCRBench: the text is a target, or a target stands in it by itself and is not denied; ``HME100k``: no spaces."""
    verdict = _text(sample, reply)
    if verdict.value or verdict.no_answer is not None:
        return verdict
    place = next((candidate.text for candidate in candidates(reply.text) if candidate.stated), reply.text)
    formula = sample.fields.get("dataset") == "HME100k"
    right = next((target for target in sample.targets if _stands_in(place, target, formula)), None)
    return verdict if right is None else Verdict(1.0, short_form(right), rule=verdict.rule)


def _judged(found: Reading, targets: set[str]) -> Verdict:
    if isinstance(found.read, NoAnswer):
        return no_answer(found.read, found.rule)
    return Verdict(float(found.read in targets), found.read, rule=found.rule)


def _text(sample: Sample, reply: Reply) -> Verdict:
    found, right = text_reading(reply, sample.targets, sample.question)
    if isinstance(found.read, NoAnswer):
        return no_answer(found.read, found.rule)
    return Verdict(float(right), found.read, rule=found.rule)


def _letters_of(sample: Sample) -> set[str]:
    wanted = {short_form(target) for target in sample.targets}
    return {
        chr(ord("A") + at)
        for at, choice in enumerate(sample.choices)
        if short_form(choice) in wanted or choice in sample.targets
    }


def _stands_in(text: str, target: str, formula: bool) -> bool:
    if formula:
        return bool(target.strip()) and "".join(target.split()) in "".join(text.split())
    # A sentence that weighs a text does not say that it stands there.
    text = "\n".join(sentence for sentence in _SENTENCE.split(text) if not _WEIGHS.search(sentence))
    words = r"\s+".join(re.escape(word) for word in target.split())
    alone = re.compile(rf"(?<![^\W_]){words}(?![^\W_])", re.IGNORECASE)
    return bool(words) and next(undenied(alone, text), None) is not None


def _asks_year(question: str) -> bool:
    return bool(re.search(r"\b(?:which|what|in\swhat|in\swhich)\s(?:\w+\s)?year\b|\bwhen\b", question, re.IGNORECASE))


def _within(given: float, meant: float, exact: bool) -> bool:
    if exact:
        return given == meant
    return math.isclose(given, meant, rel_tol=_NOISE) or abs(given - meant) <= abs(meant) * _RELAXATION * (1 + _NOISE)
