"""The bundled metrics: their rules under ``official`` and ``strict``, pure functions, and the objects made of them.

``official`` reads the reply's final answer; it first tries the whole reply as it stands, so that what ``strict``
accepts it accepts too. `fair_metrics` has the rules under ``fair``.
`docs/metrics.md` says for each metric where our reading differs from its authors'.

``Verdict.extracted`` is one normal form per meaning (``B``, ``yes``, ``340``), for repeats that are put to a vote.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from maestro_eval.records import Sample
from maestro_eval.scoring.extract import Strictness, final_answer, half_width, spoken
from maestro_eval.scoring.fair_metrics import (
    fair_blind,
    fair_integer,
    fair_math,
    fair_mathvista,
    fair_option,
    fair_relaxed,
    fair_short_answer,
    fair_substring,
)
from maestro_eval.scoring.letters import lone_letter, option_letter
from maestro_eval.scoring.math_answer import math_answer, mathvista_answer
from maestro_eval.scoring.metric import Metric
from maestro_eval.scoring.numerals import Number, number, number_form, stated_numbers
from maestro_eval.scoring.options import choice_letter, value_form
from maestro_eval.scoring.python_tests import python_tests
from maestro_eval.scoring.short_text import short_form
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.scoring.vlms_are_blind import blind_reading
from maestro_eval.scoring.yes_no import yes_no

_RELAXATION = 0.05
_FLOAT_NOISE = 1e-9
_LARGEST_COUNT = 10**15
_LONGEST_JSON = 20_000

_INTEGER = re.compile(r"[+\-\u2212]?[0-9]{1,15}")
_BARE_OPTION = re.compile(r"(?:([A-Za-z])|\(([A-Za-z])\)|\[([A-Za-z])\]|\{([A-Za-z])\})\.?")
_LINE_BREAKS = str.maketrans("\t\r\n", "   ")


def relaxed_accuracy(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """ChartQA: numbers within 5 % of the target, other answers equal without regard to case."""
    readings = _readings(answer, strictness)
    right = [reading for reading in readings if any(_relaxed_equal(reading, target) for target in sample.targets)]
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
    # The root of this measure's mean is the RMSE that is reported; an answer without a number has no error to add.
    others = {"squared_error": float(min((count - target) ** 2 for target in targets))} if targets else {}
    return Verdict(float(count in targets), str(count), others=others)


def option(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """The letter of the chosen option; official also takes the option's own text or value.

    Geometry3K, V*, HRBench, ERQA, MicroVQA.
    """
    bare = _BARE_OPTION.fullmatch(answer.strip())
    letter = "".join(filter(None, bare.groups())) if bare else None
    targets = {target.upper() for target in map(lone_letter, sample.targets) if target}
    if not targets:
        return _free_form(sample, answer, strictness)
    if letter is None and strictness != "strict":
        letter = _chosen_letter(final_answer(half_width(answer)), sample.choices)
    if letter is None:
        return Verdict(0.0, note="no option")
    return Verdict(float(letter.upper() in targets), letter.upper())


def json_option(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """MSEarthMCQ: a JSON object's ``answer``, where the reply gives one, else the reply, read as an option."""
    written = [answer.strip()] if strictness == "strict" else _json_candidates(answer)
    given = next((read for text in written if (read := _json_answer(text)) is not None), answer)
    return option(sample, given, strictness)


def short_answer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """SLAKE: equal apart from case, punctuation and a leading article; a yes or no may be explained.

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
    """OCRBench: a target stands in the reply; ``HME100k``: without its spaces, case kept."""
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


RELAXED_ACCURACY = Metric(rule=relaxed_accuracy, fair=fair_relaxed, live=True)
INTEGER = Metric(rule=integer, fair=fair_integer, live=True)
OPTION_LETTER = Metric(rule=option, fair=fair_option, live=True)
JSON_OPTION = Metric(rule=json_option, fair=fair_option, live=True)
# A missing answer has a token recall too (0).
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


def _readings(answer: str, strictness: Strictness) -> list[str]:
    whole = answer.strip()
    return [whole] if strictness == "strict" else [whole, final_answer(half_width(answer))]


def _numeric_form(reading: str) -> str:
    read = number(reading)
    return _fold_line(reading) if read is None else number_form(read.value)


def _relaxed_equal(reading: str, target: str) -> bool:
    read, wanted = number(reading), number(target)
    if read is None or wanted is None:
        return _fold_line(reading) == _fold_line(target)
    return _within(read, wanted)


def _within(read: Number, wanted: Number) -> bool:
    # The noise lets 95 pass for 100: in floats its relative error is a hair above 0.05.
    return abs(read.value - wanted.value) <= abs(wanted.value) * _RELAXATION * (1 + _FLOAT_NOISE)


def _count(read: Number) -> int | None:
    whole = read.integer
    return whole if whole is not None and abs(whole) < _LARGEST_COUNT else None


def _free_form(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    # Some Geometry3K rows have a value and no options: the target is then the only choice there is.
    reading = answer.strip() if strictness == "strict" else final_answer(answer)
    right = any(_same_value(answer, target) for target in sample.targets)
    if strictness != "strict":
        right = right or any(choice_letter(reading, (target,)) for target in sample.targets)
    return Verdict(float(right), value_form(reading))


def _same_value(answer: str, target: str) -> bool:
    read, wanted = number(answer), number(target)
    if read is None or wanted is None:
        return _fold_line(answer) == _fold_line(target)
    return math.isclose(read.value, wanted.value, rel_tol=_FLOAT_NOISE)


def _chosen_letter(answer: str, choices: tuple[str, ...]) -> str | None:
    # A choice's own text outranks a letter that it happens to begin with ("C. elegans"), but not a lone letter.
    if lone_letter(answer):
        return option_letter(answer, len(choices) or 26)
    return choice_letter(answer, choices) or option_letter(answer, len(choices) or 26)


def _json_candidates(answer: str) -> list[str]:
    """Where a reply may hold an object: it is one, its last fenced block is, or one stands among words."""
    reply = spoken(answer)
    fenced = reply.split("```")[1::2]
    block = fenced[-1].strip().removeprefix("json").strip() if fenced else ""
    return [answer.strip(), block, reply[reply.find("{") : reply.rfind("}") + 1]]


def _json_answer(text: str) -> str | None:
    """The ``answer`` of a JSON object, which may break lines within its strings, as models write them."""
    if not text.startswith("{") or len(text) > _LONGEST_JSON:
        return None
    try:
        read = msgspec.json.decode(text.translate(_LINE_BREAKS).encode(errors="replace"), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    given = {key.strip().lower(): value for key, value in read.items()}.get("answer")
    return given if isinstance(given, str) else None


def _is_open(sample: Sample) -> bool:
    return (sample.fields.get("answer_type") or sample.category).strip().upper() == "OPEN"


def _token_recall(reading: str, targets: list[str]) -> float:
    given = set(short_form(reading).split())
    return max(len(words & given) / len(words) for words in (set(target.split()) for target in targets))


def _fold_line(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _fold_formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")
