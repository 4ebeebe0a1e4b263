"""Was it right? The metrics by name: ``(sample, answer text, protocol) -> Verdict``, pure functions.

``strict`` wants the answer and nothing else. ``official`` is the benchmark's authors' rule on the reply's
final answer; it first tries the whole reply as it stands, so that what ``strict`` accepts it accepts too.
`docs/scoring.md` says for each metric where our reading differs from its authors'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import get_args

from maestro_eval.scoring.blind import blind_reading
from maestro_eval.scoring.extract import (
    Number,
    final_answer,
    lone_letter,
    number,
    numbers,
    option_letter,
    spoken,
)
from maestro_eval.scoring.options import choice_letter
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.types import Protocol, Sample, UserError

_RELAXATION = 0.05
_FLOAT_NOISE = 1e-9
_SHOWN = 200

_INTEGER = re.compile(r"[+\-\u2212]?[0-9]{1,15}")
_BARE_OPTION = re.compile(r"([A-Za-z])|\(([A-Za-z])\)|\[([A-Za-z])\]|\{([A-Za-z])\}")


Metric = Callable[[Sample, str, Protocol], Verdict]


def judge(sample: Sample, answer: str, metric: str, protocol: str) -> Verdict:
    """The verdict of a metric on an answer. UserError for a metric or a protocol that does not exist."""
    checked = check_protocol(protocol)
    rule = METRICS.get(metric)
    if rule is None:
        raise UserError(f"task {sample.task}: no metric {metric!r}; its file may name one of {', '.join(METRICS)}")
    if not answer.strip():
        return Verdict(0.0, note="empty answer")
    verdict = rule(sample, answer, checked)
    return Verdict(verdict.value, verdict.extracted[:_SHOWN], verdict.note)


def check_protocol(name: str) -> Protocol:
    """The protocol of that name; UserError listing them when there is none."""
    for known in get_args(Protocol):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise UserError(f"--protocol {name}: no such protocol; choose one of {', '.join(get_args(Protocol))}")


def relaxed_accuracy(sample: Sample, answer: str, protocol: Protocol) -> Verdict:
    """ChartQA: numbers within 5 % of the target, other answers equal without regard to case."""
    readings = _readings(answer, protocol)
    right = any(_relaxed_equal(reading, target) for reading in readings for target in sample.targets)
    return Verdict(float(right), readings[-1])


def integer(sample: Sample, answer: str, protocol: Protocol) -> Verdict:
    """TallyQA: the first integer, or number word up to twenty, of the final answer equals the target."""
    if protocol == "strict":
        bare = answer.strip()
        read = number(bare) if _INTEGER.fullmatch(bare) else None
    else:
        read = next((found for found in numbers(final_answer(answer)) if found.integer is not None), None)
    if read is None:
        return Verdict(0.0, note="no integer")
    targets = {target.integer for target in map(number, sample.targets) if target is not None}
    return Verdict(float(read.integer in targets), read.text)


def option(sample: Sample, answer: str, protocol: Protocol) -> Verdict:
    """Geometry3K, V*: the letter of the chosen option; official also takes the option's own text or value."""
    bare = _BARE_OPTION.fullmatch(answer.strip())
    letter = "".join(filter(None, bare.groups())) if bare else None
    targets = {lone_letter(target) for target in sample.targets} - {None}
    if not targets:
        return _free_form(sample, answer, protocol)
    if letter is None and protocol == "official":
        letter = _chosen_letter(final_answer(answer), sample.choices)
    if letter is None:
        return Verdict(0.0, note="no option")
    return Verdict(float(letter.upper() in {target.upper() for target in targets if target}), letter)


def substring(sample: Sample, answer: str, protocol: Protocol) -> Verdict:
    """OCRBench: a target stands in the reply; ``HME100k``: without its spaces, case kept."""
    fold = _fold_formula if sample.fields.get("dataset") == "HME100k" else _fold_line
    targets = [folded for folded in map(fold, sample.targets) if folded]
    whole = fold(answer)
    if whole in targets:
        return Verdict(1.0, whole)
    if protocol == "strict":
        return Verdict(0.0, whole)
    reply = fold(spoken(answer))
    found = next((target for target in targets if target in reply), None)
    return Verdict(0.0, reply) if found is None else Verdict(1.0, found)


def blind(sample: Sample, answer: str, protocol: Protocol) -> Verdict:
    """VLMsAreBlind: a number, yes or no, the circled letter, or rows and columns, by ``fields["task"]``."""
    task = sample.fields.get("task", "")
    read = blind_reading(task, answer, protocol)
    if read is None:
        return Verdict(0.0, note="no answer of the form that the question asks for")
    targets = {blind_reading(task, target, protocol) for target in sample.targets}
    return Verdict(float(read in targets), read)


METRICS: dict[str, Metric] = {
    "relaxed_accuracy": relaxed_accuracy,
    "integer": integer,
    "option_letter": option,
    "substring": substring,
    "blind": blind,
}


def _readings(answer: str, protocol: Protocol) -> list[str]:
    whole = answer.strip()
    return [whole] if protocol == "strict" else [whole, final_answer(answer)]


def _relaxed_equal(reading: str, target: str) -> bool:
    read, wanted = number(reading), number(target)
    if read is None or wanted is None:
        return _fold_line(reading) == _fold_line(target)
    return _within(read, wanted)


def _within(read: Number, wanted: Number) -> bool:
    # The noise lets 95 pass for 100: in floats its relative error is a hair above 0.05.
    return abs(read.value - wanted.value) <= abs(wanted.value) * _RELAXATION * (1 + _FLOAT_NOISE)


def _free_form(sample: Sample, answer: str, protocol: Protocol) -> Verdict:
    # Some Geometry3K rows have a value and no options: the target is then the only choice there is.
    reading = answer.strip() if protocol == "strict" else final_answer(answer)
    right = any(_same_value(answer, target) for target in sample.targets)
    if protocol == "official":
        right = right or any(choice_letter(reading, (target,)) for target in sample.targets)
    return Verdict(float(right), reading)


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


def _fold_line(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _fold_formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")
