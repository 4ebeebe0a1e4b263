"""The bundled metrics: their rules as pure functions, and the objects made of them.

``official`` reads the reply's final answer, after it has tried the whole reply unchanged, so that it accepts all that
``strict`` accepts. The rules under ``fair`` compare the reply, as a careful human reads it, with the targets.
`docs/metrics.md` says for each metric where our reading differs from its authors', `docs/scoring.md` where ``fair``
does.

``Verdict.extracted`` is one normal form per meaning (``B``, ``yes``, ``340``), for votes over repeats.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable

from msgspec.structs import replace

from maestro_eval.records import NoAnswer, Sample
from maestro_eval.scoring.chosen_option import lists_letters, option_readers
from maestro_eval.scoring.counts import count_readers
from maestro_eval.scoring.extract import Reply, Strictness, candidates, final_answer, half_width, legible, spoken
from maestro_eval.scoring.fair import Reading, reading
from maestro_eval.scoring.json_answer import json_object, object_candidates
from maestro_eval.scoring.math_answer import (
    fair_expression,
    fair_number,
    fair_option_by_value,
    math_answer,
    mathvista_answer,
)
from maestro_eval.scoring.metric import Metric, Verdict, no_answer
from maestro_eval.scoring.negation import undenied
from maestro_eval.scoring.numerals import Number, number, number_form, relaxed_equal, stated_numbers
from maestro_eval.scoring.options import LETTERS, choice_letter, lone_letter, option_letter, value_form
from maestro_eval.scoring.python_tests import python_tests
from maestro_eval.scoring.short_text import same_formula, same_meaning, same_spelling, short_form, text_reading
from maestro_eval.scoring.subject import CLAUSE, stems
from maestro_eval.scoring.values import ASKS_YEAR, SCALES, value_readers, values
from maestro_eval.scoring.vlms_are_blind import blind_readers, blind_reading
from maestro_eval.scoring.yes_no import yes_no, yes_no_readers

_LARGEST_COUNT = 10**15

_INTEGER = re.compile(r"[+\-\u2212]?[0-9]{1,15}")
_BARE_OPTION = re.compile(r"(?:([A-Za-z])|\(([A-Za-z])\)|\[([A-Za-z])\]|\{([A-Za-z])\})\.?")
_DIGIT = re.compile("[0-9]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_WEIGHS = re.compile(
    r"\b(?:at\sfirst|initially|could\sbe|may\sbe|might\sbe|maybe|perhaps|possibl[ey]|plausible|ruled?\s(?:it\s)?out|or)\b",
    re.IGNORECASE,
)


def relaxed_accuracy(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """ChartQA: numbers within 5 % of the target; other answers equal it, ignoring case."""
    readings = _readings(answer, strictness)
    right = [reading for reading in readings if any(_same(reading, target, relaxed_equal) for target in sample.targets)]
    return Verdict(float(bool(right)), _numeric_form(right[0] if right else readings[-1]))


def integer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """TallyQA: the first integer, or number word up to twenty, of the final answer equals the target."""
    if strictness == "strict":
        bare = answer.strip()
        read = number(bare) if _INTEGER.fullmatch(bare) else None
    else:
        stated = stated_numbers(final_answer(half_width(answer)))
        read = next((found for found in stated if found is None or _count(found) is not None), None)
    count = _count(read) if read else None
    if count is None:
        return Verdict(0.0, note="no integer")
    targets = [target.integer for target in map(number, sample.targets) if target and target.integer is not None]
    # The root of this measure's mean is the reported RMSE; an answer without a number has no error.
    others = {"squared_error": float(min((count - target) ** 2 for target in targets))} if targets else {}
    return Verdict(float(count in targets), str(count), others=others)


def option(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """The letter of the chosen option; ``official`` also accepts the option's own text or value.

    Geometry3K, V*, HRBench, ERQA, MicroVQA.
    """
    bare = _BARE_OPTION.fullmatch(answer.strip())
    letter = "".join(filter(None, bare.groups())) if bare else None
    targets = {target.upper() for target in map(lone_letter, sample.targets) if target}
    if not targets:
        return _free_form(sample, answer, strictness)
    if letter is None and strictness != "strict":
        reading, options = final_answer(half_width(answer)), len(sample.choices) or 26
        # A choice's own text has priority over a letter that it begins with ("C. elegans"), but not over a lone letter.
        by_text = None if lone_letter(reading) else choice_letter(reading, sample.choices)
        letter = by_text or option_letter(reading, options)
    if letter is None:
        return Verdict(0.0, note="no option")
    return Verdict(float(letter.upper() in targets), letter.upper())


def json_option(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """MSEarthMCQ: a JSON object's ``answer`` if the reply gives one, else the reply, read as an option."""
    written = () if strictness == "strict" else object_candidates(spoken(answer))
    given = (json_object(text).get("answer") for text in (answer.strip(), *written))
    return option(sample, next((read for read in given if isinstance(read, str)), answer), strictness)


def short_answer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """SLAKE: equal but for case, punctuation and a leading article; a yes or no may come with an explanation.

    ``others["token_recall"]`` of an open question: the share of the target's words that the answer has.
    """
    readings = _readings(answer, strictness)
    targets = [form for form in map(short_form, sample.targets) if form]
    given = [short_form(reading) for reading in readings]
    word = yes_no(readings[-1]) if strictness != "strict" and not {"yes", "no"}.isdisjoint(targets) else None
    given += [word] if word else []
    right = next((form for form in given if form in targets), None)
    recall = {"token_recall": _token_recall(readings[-1], targets)} if _is_open(sample) and targets else {}
    note = "" if answer.strip() else "empty answer"
    return Verdict(float(right is not None), given[-1] if right is None else right, note, recall)


def substring(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """OCRBench: the reply contains a target; for ``HME100k`` spaces are ignored and case counts."""
    fold = _fold_formula if sample.fields.get("dataset") == "HME100k" else _fold_line
    targets = [folded for folded in map(fold, sample.targets) if folded]
    whole = fold(answer)
    if whole in targets:
        return Verdict(1.0, whole)
    if strictness == "strict":
        return Verdict(0.0, whole)
    reply = fold(spoken(answer))
    found = next((target for target in targets if target in reply), None)
    return Verdict(0.0, reply) if found is None else Verdict(1.0, found)


def blind(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """VLMsAreBlind: a number, yes or no, the circled letter, or rows and columns, by ``fields["task"]``."""
    task = sample.fields.get("task", "")
    read = blind_reading(task, answer, strictness, sample.question)
    if read is None:
        return Verdict(0.0, note="no answer of the form that the question asks for")
    targets = {blind_reading(task, target, strictness, sample.question) for target in sample.targets}
    return Verdict(float(read in targets), read)


def _readings(answer: str, strictness: Strictness) -> list[str]:
    whole = answer.strip()
    return [whole] if strictness == "strict" else [whole, final_answer(half_width(answer))]


def _numeric_form(reading: str) -> str:
    read = number(reading)
    return _fold_line(reading) if read is None else number_form(read.value)


def _same(reading: str, target: str, same_value: Callable[[float, float], bool]) -> bool:
    read, wanted = number(reading), number(target)
    if read is None or wanted is None:
        return _fold_line(reading) == _fold_line(target)
    return same_value(read.value, wanted.value)


def _count(read: Number) -> int | None:
    whole = read.integer
    return whole if whole is not None and abs(whole) < _LARGEST_COUNT else None


def _free_form(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    # Some Geometry3K rows have a value and no options: the target is then the only choice.
    reading = answer.strip() if strictness == "strict" else final_answer(answer)
    right = any(_same(answer, target, math.isclose) for target in sample.targets)
    if strictness != "strict":
        right = right or any(choice_letter(reading, (target,)) for target in sample.targets)
    return Verdict(float(right), value_form(reading))


def _is_open(sample: Sample) -> bool:
    return (sample.fields.get("answer_type") or sample.category).strip().upper() == "OPEN"


def _token_recall(reading: str, targets: list[str]) -> float:
    given = set(short_form(reading).split())
    return max(len(words & given) / len(words) for words in (set(target.split()) for target in targets))


def _fold_line(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _fold_formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def fair_option(sample: Sample, reply: Reply) -> Verdict:
    """The option that the reply chooses, by letter, text, value or a sentence; without options a value."""
    targets = {target.strip("(). ").upper() for target in sample.targets if lone_letter(target)}
    if not targets and not sample.choices:
        return fair_expression(sample, reply)
    targets = targets or _letters_of(sample)
    if lists_letters(reply):
        return no_answer(NoAnswer.SEVERAL)
    verdict = _judged(reading(reply, *option_readers(sample.choices, sample.question)), targets)
    if verdict.no_answer is not NoAnswer.UNSTATED or not all(map(_DIGIT.search, sample.choices or ("",))):
        return verdict
    return fair_option_by_value(sample, reply)


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
    """ChartQA: a value within 5 %, with or without its unit (a year exactly), or the same text."""
    wanted = [found for found in map(number, sample.targets) if found is not None]
    if len(wanted) < len(sample.targets) or not wanted:
        return _text(sample, reply)
    found = reading(reply, *value_readers(sample.question))
    if found.read is NoAnswer.UNSTATED and "how many" in sample.question.casefold():
        found = reading(reply, *count_readers(sample.question))
    read = found.read
    if isinstance(read, NoAnswer):
        return _judged(found, set())
    exact = ASKS_YEAR.search(sample.question) and all(len(target.strip()) == 4 for target in sample.targets)
    same = operator.eq if exact else relaxed_equal
    # "1.25 billion", if the question asks for millions.
    given_in = {1.0} | {scale for word, scale in SCALES.items() if re.search(rf"\b{word}s?\b", sample.question)}
    given = {value / scale for value in values(read) for scale in given_in}
    right = any(same(value, meant) for target in sample.targets for meant in values(target) for value in given)
    shown = number(read)
    return Verdict(float(right), read if shown is None else number_form(shown.value), rule=found.rule)


def fair_short_answer(sample: Sample, reply: Reply) -> Verdict:
    """SLAKE: yes or no, by word or sentence; a count; else the same short text."""
    if "how many" in sample.question.casefold() and all(target.strip().isdigit() for target in sample.targets):
        return fair_integer(sample, reply)
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
    return fair_option(sample, reply) if sample.choices else fair_expression(sample, reply)


def fair_blind(sample: Sample, reply: Reply) -> Verdict:
    """VLMsAreBlind: a number, yes or no, a letter in any case, or rows and columns."""
    whole, within = blind_readers(sample.fields.get("task", ""), sample.question)
    return _judged(reading(reply, whole, within), {str(whole(target)) for target in sample.targets})


def fair_substring(sample: Sample, reply: Reply) -> Verdict:
    """OCRBench: the text is a target, or contains one on its own that is not denied; ``HME100k``: no spaces."""
    if sample.fields.get("dataset") == "HME100k":
        # The short form of a text has no signs, of which a formula consists.
        verdict = _text(sample, reply, same_formula)
        written = sample.targets[0] if verdict.value else reply.text
        return verdict if verdict.no_answer is not None else replace(verdict, extracted="".join(written.split()))
    verdict = _text(sample, reply, same_spelling)
    if verdict.value or verdict.no_answer is not None:
        return verdict
    place = next((candidate.text for candidate in candidates(reply.text) if candidate.stated), reply.text)
    place = _asked_clause(place, sample.question) if any(map(_DIGIT.search, sample.targets)) else place
    right = next((target for target in sample.targets if _stands_in(place, legible(target))), None)
    return verdict if right is None else Verdict(1.0, short_form(right), rule=verdict.rule)


def _judged(found: Reading, targets: set[str]) -> Verdict:
    if isinstance(found.read, NoAnswer):
        return no_answer(found.read, found.rule)
    return Verdict(float(found.read in targets), found.read, rule=found.rule)


def _text(sample: Sample, reply: Reply, same: Callable[[str, str], bool] = same_meaning) -> Verdict:
    targets = {target.strip().casefold() for target in sample.targets}
    if {"yes", "no"} >= targets:
        return _judged(reading(reply, *yes_no_readers(sample.question)), targets)
    found, right = text_reading(reply, sample.targets, sample.question, same)
    if isinstance(found.read, NoAnswer):
        return no_answer(found.read, found.rule)
    return Verdict(float(right), found.read, rule=found.rule)


def _letters_of(sample: Sample) -> set[str]:
    wanted = {short_form(target) for target in sample.targets}
    return {
        letter
        for letter, choice in zip(LETTERS, sample.choices, strict=False)
        if short_form(choice) in wanted or choice in sample.targets
    }


def _asked_clause(text: str, question: str) -> str:
    """Return the clause with numbers that shares most words with the question: "the tax is 3, the total 45"."""
    clauses = [clause for clause in CLAUSE.split(text) if _DIGIT.search(clause)]
    shared = [len({*stems(question)}.intersection(stems(clause))) for clause in clauses]
    return clauses[shared.index(max(shared))] if len({*shared}) > 1 else text


def _stands_in(text: str, target: str) -> bool:
    # A sentence that weighs a text does not say that the image contains it.
    text = "\n".join(sentence for sentence in _SENTENCE.split(text) if not _WEIGHS.search(sentence))
    words = r"\s+".join(re.escape(word) for word in target.split())
    alone = re.compile(rf"(?<![^\W_]){words}(?![^\W_])(?![.,][0-9])", re.IGNORECASE)
    return bool(words) and next(undenied(alone, text), None) is not None


RELAXED_ACCURACY = Metric(rule=relaxed_accuracy, fair=fair_relaxed, live=True)
INTEGER = Metric(rule=integer, fair=fair_integer, live=True)
OPTION_LETTER = Metric(rule=option, fair=fair_option, live=True)
JSON_OPTION = Metric(rule=json_option, fair=fair_option, live=True)
# A missing answer also has a token recall (0).
SHORT_ANSWER = Metric(rule=short_answer, fair=fair_short_answer, judges_silence=True, live=True)
SUBSTRING = Metric(rule=substring, fair=fair_substring, live=True)
BLIND = Metric(rule=blind, fair=fair_blind, live=True)
MATH = Metric(rule=math_answer, fair=fair_math, seconds=0.02)
MATHVISTA = Metric(rule=mathvista_answer, fair=fair_mathvista, seconds=0.01)
PYTHON_TESTS = Metric(
    rule=python_tests,
    fair=lambda sample, reply: python_tests(sample, reply.written, "fair"),
    runs_code=True,
    target_is_answer=False,
    seconds=1.0,
)
