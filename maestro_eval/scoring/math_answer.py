r"""Mathematical answers: a letter, a number or an expression, right if it has the target's value.

``math_answer`` (MathVision) and ``mathvista_answer`` (MathVista) are metrics.
`docs/math.md` says how we read each and where we differ.

An expression that cannot be decided within its limit is a wrong answer, for the policy wrote it; a checker that
cannot run is no verdict, for that is our failure.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from maestro_eval.scoring.extract import Strictness, final_answer, half_width
from maestro_eval.scoring.letters import lone_letter, option_letter
from maestro_eval.scoring.numerals import Number, number, number_form, stated_numbers
from maestro_eval.scoring.options import choice_letter, plain_value
from maestro_eval.scoring.symbolic import Equivalence, bare_expression, equivalent, without_unit
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.types import Sample

_LIMIT_S = 5.0
# MathVision's authors and the released scorer both call values equal that agree when rounded to two places.
_DECIMALS = 2
_LETTERS = string.ascii_uppercase
# What the release strips, but for the "!" of a factorial and, in front, the point of ".5".
_AFTER, _BEFORE = " \t\n.,;:?*`\"'", " \t\n,;:*`\"'"
_LETTER_ALONE = re.compile(
    r"([A-Za-z])|\(([A-Za-z])\)|\[([A-Za-z])\]|\{([A-Za-z])\}|\\(?:text|mathrm|mathbf)\{([A-Za-z])\}"
)
_COSTLY = ("time limit", "memory")
_ANSWER, _ANSWER_END = "<answer>", "</answer>"


def math_answer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """MathVision: the right option, or without options an expression with the value of a target.

    ``official`` reads the final answer and rounds values to two places, as its authors do; ``strict`` wants the
    letter or the expression alone and equality.
    """
    if sample.choices:
        return _chosen(sample, answer, strictness)
    if strictness == "strict":
        return _valued(answer.strip(), sample.targets, decimals=None)
    whole = _valued(answer.strip(), sample.targets, decimals=_DECIMALS)
    stated = final_answer(half_width(answer))
    if whole.value == 1.0 or stated == answer.strip():
        return whole
    return _valued(stated, sample.targets, decimals=_DECIMALS)


def mathvista_answer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """MathVista: equal after normalising as ``fields`` say (``question_type``, ``answer_type``, ``precision``)."""
    if sample.choices or sample.fields.get("question_type") == "multi_choice":
        return _chosen_text(sample, answer, strictness)
    kind = sample.fields.get("answer_type", "text")
    reading = answer.strip() if strictness == "strict" else final_answer(half_width(answer))
    if kind in ("integer", "float"):
        places = _precision(sample.fields.get("precision", "")) if kind == "float" else None
        read = _only_number(reading, strictness)
        if read is None:
            return Verdict(0.0, note="no number")
        targets = {_rounded(target, places) for target in map(number, sample.targets) if target is not None}
        value = _rounded(read, places)
        return Verdict(float(value in targets), _plain(value))
    folded = _without_spaces(reading)
    return Verdict(float(folded in {_without_spaces(target) for target in sample.targets}), folded)


def _chosen(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    options = min(len(sample.choices), len(_LETTERS))
    wanted = _target_letters(sample)
    alone = _letter_alone(answer)
    if alone and alone in _LETTERS[:options]:
        return Verdict(float(alone in wanted), alone)
    if strictness == "strict":
        return Verdict(0.0, note="no option")
    stated = bare_expression(final_answer(half_width(answer)))
    letter = _letter_for(stated, sample.choices)
    if letter:
        return Verdict(float(letter in wanted), letter)
    return _chosen_by_value(sample, stated, wanted)


def _chosen_by_value(sample: Sample, answer: str, wanted: set[str]) -> Verdict:
    # Every option is compared, so that an answer which means two of them means none.
    checks: list[Equivalence] = []
    for decimals in (None, _DECIMALS):
        checks = [equivalent(answer, choice, decimals=decimals, limit_s=_LIMIT_S) for choice in sample.choices]
        same = [letter for letter, check in zip(_LETTERS, checks, strict=False) if check.result == "same"]
        if same:
            return Verdict(float(same[0] in wanted), same[0]) if len(same) == 1 else Verdict(0.0, note="two options")
        if any(check.reason in _COSTLY or check.result == "unavailable" for check in checks):
            break
    return _without_match(checks, "no option")


def _valued(answer: str, targets: Sequence[str], decimals: int | None) -> Verdict:
    if not answer:
        return Verdict(0.0, note="empty answer")
    checks = []
    for target in targets:
        check = equivalent(answer, target, decimals=decimals, limit_s=_LIMIT_S)
        if check.result == "same":
            # All that is equal to it is one answer where repeats are put to a vote.
            return Verdict(1.0, _normal_form(target))
        checks.append(check)
    verdict = _without_match(checks, "")
    bare = bare_expression(answer)
    form = _normal_form(without_unit(bare, "".join(targets)))
    taken = form in map(_normal_form, targets)
    return Verdict(verdict.value, _without_spaces(bare) if taken else form, verdict.note)


def _without_match(checks: list[Equivalence], note: str) -> Verdict:
    unavailable = next((check for check in checks if check.result == "unavailable"), None)
    if unavailable is not None:
        return Verdict(None, note=unavailable.reason)
    costly = next((check for check in checks if check.reason in _COSTLY), None)
    if costly is None:
        return Verdict(0.0, note=note)
    exceeded = f"{_LIMIT_S:g} s" if costly.reason == "time limit" else "its memory"
    return Verdict(0.0, note=f"symbolic check exceeded {exceeded}")


def _chosen_text(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    texts = {_without_spaces(text) for text in (_target_texts(sample) or sample.targets)}
    reading = answer.strip() if strictness == "strict" else final_answer(half_width(answer))
    chosen = next((choice for choice in sample.choices if choice.strip() == reading), None)
    if chosen is None:
        letter = _letter_alone(answer) or (_letter_for(reading, sample.choices) if strictness != "strict" else None)
        index = _LETTERS.find(letter) if letter else -1
        chosen = sample.choices[index] if 0 <= index < len(sample.choices) else None
    if chosen is None:
        return Verdict(0.0, note="no option")
    return Verdict(float(_without_spaces(chosen) in texts), chosen)


def _letter_alone(answer: str) -> str | None:
    bare = _LETTER_ALONE.fullmatch(bare_expression(answer))
    return "".join(filter(None, bare.groups())).upper() if bare else None


def _letter_for(stated: str, choices: tuple[str, ...]) -> str | None:
    # An option's own text outranks a letter that it happens to begin with ("C. elegans"), but not a lone letter.
    options = min(len(choices), len(_LETTERS))
    by_text = None if lone_letter(stated) else choice_letter(stated, choices)
    return by_text or option_letter(stated, options)


def _target_letters(sample: Sample) -> set[str]:
    letters = {target.strip().upper() for target in sample.targets if lone_letter(target)}
    return letters & set(_LETTERS[: len(sample.choices)]) if sample.choices else letters


def _target_texts(sample: Sample) -> tuple[str, ...]:
    """The texts of the right options, whether a target names one by its letter or by its text."""
    named = (sample.choices[_LETTERS.index(letter)] for letter in sorted(_target_letters(sample)) if sample.choices)
    return tuple(named) or tuple(target for target in sample.targets if target in sample.choices)


def _only_number(reading: str, strictness: Strictness) -> Number | None:
    whole = number(reading)
    if whole is not None or strictness == "strict":
        return whole
    found = stated_numbers(reading)
    # Which of several would be a guess; the authors have a model choose.
    return found[0] if len(found) == 1 else None


def _rounded(read: Number, places: int | None) -> float:
    # A unit such as % belongs to the question: the number is taken as it is written.
    value = read.value * 100 if read.percent else read.value
    return float(int(value)) if places is None else round(value, places)


def _precision(text: str) -> int:
    read = number(text)
    return int(read.value) if read is not None and 0 <= read.value <= 15 else 0


def _normal_form(answer: str) -> str:
    """One spelling for answers that mean the same at sight: letters upper case, numbers without noise."""
    bare = bare_expression(answer)
    letter = lone_letter(bare)
    if letter:
        return letter.upper()
    value = plain_value(bare)
    return _without_spaces(bare) if value is None else number_form(value)


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"


def _without_spaces(text: str) -> str:
    return "".join(text.split())
