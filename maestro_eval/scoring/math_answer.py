"""Mathematical answers: a letter, a number or an expression, right if it has the target's value.

``math_answer`` (MathVision) and ``mathvista_answer`` (MathVista) are metrics. `docs/math.md` says how we read each and
where we differ. MathVista's authors let a model extract the answer: their rule chooses the option of that letter, else
the one nearest in spelling, and compares numbers as text.

An expression that cannot be decided within its limit is a wrong answer, because the policy wrote it; a checker that
cannot run gives no verdict, because that is our failure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from msgspec.structs import replace

from maestro_eval.records import NoAnswer, Sample
from maestro_eval.scoring.extract import (
    ASIAN,
    Reply,
    Strictness,
    boxes_side_by_side,
    final_answer,
    half_width,
    lists,
    refusal,
    retracts,
)
from maestro_eval.scoring.fair import behind, reading, stated_forms
from maestro_eval.scoring.latex_value import expressions, latex_value, members
from maestro_eval.scoring.mathvision import authors_answer, authors_equal
from maestro_eval.scoring.metric import Verdict, no_answer
from maestro_eval.scoring.numerals import number, number_form, stated_numbers
from maestro_eval.scoring.options import LETTERS, lone_letter, plain_value
from maestro_eval.scoring.subject import gives_another, stems
from maestro_eval.scoring.symbolic import Equivalence, bare_expression, equivalent, without_unit
from maestro_eval.scoring.values import usual_digits, value_readers, values

_LIMIT_S = 5.0
# For MathVision's authors and the released scorer, values are equal that agree when rounded to two places.
_DECIMALS = 2
_LETTER_ALONE = re.compile(
    r"([A-Za-z])|\(([A-Za-z])\)|\[([A-Za-z])\]|\{([A-Za-z])\}|\\(?:text|mathrm|mathbf)\{([A-Za-z])\}"
)
_CALCULATION = re.compile(r"[0-9\\]")
_FEW_WORDS = 4
_ROUNDED_PLACES = 2
# "1/3 of the figure is shaded", if the question asks which part is.
_ASKS_PART = re.compile(r"\b(?:fraction|part|portion|share|percentage|percent)\b", re.IGNORECASE)
_OF_THE = re.compile(
    r"\A(\\d?frac\{[0-9]{1,6}\}\{[0-9]{1,6}\}|[0-9./]{1,12}\\?%?)\s+of\s(?:the|all|a)\b(.*)\Z", re.DOTALL
)
_IS = re.compile(r"\b(?:is|are)\b")
_WORD = re.compile(r"[A-Za-z]{2,}")
_ASIAN_WORD = re.compile(f"[{ASIAN}]")
_DENIED_SUBJECT = re.compile(
    r"(\S{1,40})\s(?:is|are|was|were|does|do|can|could|has)\s?(?:not|n't)\b(?!\s(?:correct|right|it|the\sanswer))",
    re.IGNORECASE,
)
_NEGATED_QUESTION = re.compile(r"\b(?:not|cannot|never|except)\b|n't\b", re.IGNORECASE)
_DENIES = re.compile(r"\W*(?:not|never|neither|isn't|it\sis\snot)\b", re.IGNORECASE)
_BRACKETED_LETTER = re.compile(r"\(([a-zA-Z])\)")
# Longer texts separate options no better, and the comparison takes quadratic time.
_LONGEST_ANSWER, _LONGEST_OPTION = 1000, 200


def math_answer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """MathVision: the right option, or without options an expression with the value of a target.

    ``official`` is the authors' evaluator on the whole reply; ``strict`` requires the letter or the expression alone
    and equality. For ``fair`` see `metrics`.
    """
    if strictness != "strict":
        found = authors_answer(answer)
        return Verdict(float(authors_equal(found, (*sample.targets, *_target_texts(sample)))), _normal_form(found))
    if not sample.choices:
        return _valued(answer.strip(), sample.targets)
    alone = _letter_alone(answer)
    if alone is None or alone not in LETTERS[: len(sample.choices)]:
        return Verdict(0.0, note="no option")
    return Verdict(float(alone in _target_letters(sample)), alone)


def mathvista_answer(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """MathVista: equal after normalising as ``fields`` say (``question_type``, ``answer_type``, ``precision``).

    ``official`` normalises the final answer as the authors do, who let a model extract it.
    """
    if sample.choices:
        return _chosen_text(sample, answer, strictness)
    kind = sample.fields.get("answer_type", "text")
    reading = answer.strip() if strictness == "strict" else final_answer(half_width(answer))
    if kind not in ("integer", "float"):
        folded = _without_spaces(reading)
        return Verdict(float(folded in {_without_spaces(target) for target in sample.targets}), folded)
    places = _precision(sample.fields.get("precision", "")) if kind == "float" else None
    if strictness == "strict":
        alone = value_readers(sample.question)[0](reading)
        return fair_number(sample, alone) if isinstance(alone, str) else Verdict(0.0, note="no number")
    given = authors_number(_only_number(reading), places)
    if given is None:
        return Verdict(0.0, note="no number")
    return Verdict(float(given in {authors_number(target, places) for target in sample.targets}), given)


def fair_number(sample: Sample, written: str) -> Verdict:
    """Judge a written number: right if it equals a target at the precision of MathVista's row."""
    places = _precision(sample.fields.get("precision", "")) if sample.fields.get("answer_type") == "float" else None
    unit = 0.5 * 10.0**-places if places is not None else 0.0
    targets = [found.value for found in map(number, sample.targets) if found is not None]
    given = values(written)
    if not given:
        return Verdict(0.0, note="no number")
    right = any(abs(value - target) <= unit + 1e-9 for target in targets for value in given)
    shown = number(written)
    return Verdict(float(right), written if shown is None else number_form(shown.value))


def fair_expression(sample: Sample, reply: Reply) -> Verdict:
    """An expression with the value of a target, wherever the reply states it, with or without its name and unit."""
    if reply.missing is not None:
        return no_answer(reply.missing)
    refused = refusal(reply.text)
    if refused is not None:
        listed = boxes_side_by_side(reply.text)
        verdict = _same_expression(listed, sample.targets) if listed else no_answer(refused)
        return verdict if verdict.value else no_answer(refused)
    checks: list[Verdict] = []
    for candidate, form in stated_forms(reply):
        if _DENIES.match(form):
            return no_answer(NoAnswer.DENIED, candidate.rule)
        if lists(form, behind(candidate, form)) or gives_another(form, sample.question):
            continue
        subject = _DENIED_SUBJECT.match(form) if _NEGATED_QUESTION.search(sample.question) else None
        if _ASKS_PART.search(sample.question):
            of_the, asked = _OF_THE.match(form), {*stems(sample.question)}
            # "1/3 of the figure is white" answers another question.
            said = _IS.split(of_the[2] + " " + behind(candidate, form))[1:] if of_the else []
            if of_the and not _NEGATED_QUESTION.search(" ".join(said)) and {*stems(" ".join(said))} <= asked:
                form = of_the[1]
        for written in expressions(subject[1] if subject else form):
            verdict = _same_expression(written, sample.targets)
            if verdict.value is None:
                return verdict
            if verdict.value:
                if retracts(behind(candidate, form)):
                    return no_answer(NoAnswer.RETRACTED, candidate.rule)
                return replace(verdict, rule=candidate.rule)
            checks.append(replace(verdict, rule=candidate.rule))
    costly = next((verdict for verdict in checks if verdict.note), None)
    if costly is not None or not (len(_WORD.findall(reply.text)) > 1 or _ASIAN_WORD.search(reply.text)):
        return costly or next(iter(checks), no_answer(NoAnswer.UNSTATED))
    found = reading(reply, *value_readers(sample.question))
    read = found.read
    if not isinstance(read, NoAnswer) and any(_same_number(read, target) for target in sample.targets):
        return Verdict(1.0, _normal_form(sample.targets[0]), rule=found.rule)
    if isinstance(read, NoAnswer) and read is not NoAnswer.UNSTATED:
        return no_answer(read, found.rule)
    return next(iter(checks), no_answer(NoAnswer.UNSTATED))


def fair_option_by_value(sample: Sample, reply: Reply) -> Verdict:
    """The one option that equals a statement of the reply in value."""
    wanted = _target_letters(sample) or {LETTERS[sample.choices.index(text)] for text in _target_texts(sample)}
    for candidate, form in stated_forms(reply):
        if lists(form, behind(candidate, form)) or gives_another(form, sample.question):
            continue
        for written in expressions(form):
            if _CALCULATION.search(written):
                verdict = _chosen_by_value(sample, written, wanted)
                if verdict.no_answer is not NoAnswer.UNSTATED:
                    return replace(verdict, rule=candidate.rule)
    return no_answer(NoAnswer.UNSTATED)


def _chosen_by_value(sample: Sample, answer: str, wanted: set[str]) -> Verdict:
    # Compare every option, so that an answer that means two of them means none.
    checks: list[Equivalence] = []
    for decimals in (None, _DECIMALS):
        checks = [equivalent(answer, choice, decimals=decimals, limit_s=_LIMIT_S) for choice in sample.choices]
        same = [letter for letter, check in zip(LETTERS, checks, strict=False) if check.result == "same"]
        if same:
            return Verdict(float(same[0] in wanted), same[0]) if len(same) == 1 else no_answer(NoAnswer.SEVERAL)
        if any(check.is_costly or check.result == "unavailable" for check in checks):
            break
    return _without_match(checks, no_answer(NoAnswer.UNSTATED))


def _valued(answer: str, targets: Sequence[str]) -> Verdict:
    if not answer:
        return Verdict(0.0, note="empty answer")
    checks = []
    for target in targets:
        check = equivalent(answer, target, limit_s=_LIMIT_S)
        if check.result == "same":
            # All answers equal to the target are one answer in votes over repeats.
            return Verdict(1.0, _normal_form(target))
        checks.append(check)
    verdict = _without_match(checks, Verdict(0.0))
    bare = bare_expression(answer)
    form = _normal_form(without_unit(bare, "".join(targets)))
    taken = form in map(_normal_form, targets)
    return Verdict(verdict.value, _without_spaces(bare) if taken else form, verdict.note)


def _without_match(checks: list[Equivalence], otherwise: Verdict) -> Verdict:
    unavailable = next((check for check in checks if check.result == "unavailable"), None)
    if unavailable is not None:
        return Verdict(None, note=unavailable.detail)
    costly = next((check for check in checks if check.is_costly), None)
    if costly is None:
        return otherwise
    exceeded = f"{_LIMIT_S:g} s" if costly.reason == "time limit" else "its memory"
    return Verdict(0.0, note=f"symbolic check exceeded {exceeded}")


def _chosen_text(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    texts = {_without_spaces(text) for text in (_target_texts(sample) or sample.targets)}
    if strictness != "strict":
        stated = final_answer(half_width(answer))
        # To the authors "(b)" alone is a letter, "b" is not.
        extraction = answer if answer.strip().strip("().") == stated else stated
        chosen = authors_option(extraction, sample.choices)
        return Verdict(float(_without_spaces(chosen) in texts), chosen)
    letter = _letter_alone(answer)
    index = LETTERS.find(letter) if letter else -1
    chosen = sample.choices[index] if 0 <= index < len(sample.choices) else answer.strip()
    if chosen not in sample.choices:
        return Verdict(0.0, note="no option")
    return Verdict(float(_without_spaces(chosen) in texts), chosen)


def _letter_alone(answer: str) -> str | None:
    bare = _LETTER_ALONE.fullmatch(bare_expression(answer))
    return "".join(filter(None, bare.groups())).upper() if bare else None


def _target_letters(sample: Sample) -> set[str]:
    letters = {target.strip().upper() for target in sample.targets if lone_letter(target)}
    return letters & set(LETTERS[: len(sample.choices)]) if sample.choices else letters


def _target_texts(sample: Sample) -> tuple[str, ...]:
    """Return the texts of the right options, whether a target names one by its letter or by its text."""
    named = (sample.choices[LETTERS.index(letter)] for letter in sorted(_target_letters(sample)) if sample.choices)
    return tuple(named) or tuple(target for target in sample.targets if target in sample.choices)


def _only_number(reading: str) -> str:
    # A sentence states the answer as its only number; choosing from several would be a guess.
    if number(reading) is not None or len(reading.split()) < _FEW_WORDS:
        return reading
    found = stated_numbers(reading)
    return found[0].text if len(found) == 1 and found[0] is not None else reading


def _same_expression(written: str, targets: Sequence[str]) -> Verdict:
    for target in targets:
        for meant in (target, *expressions(target)):
            ours, theirs = members(written), members(meant)
            if (ours is not None and ours == theirs) or _rounds_to(written, meant):
                return Verdict(1.0, _normal_form(target))
    return _valued(written, [*dict.fromkeys((*targets, *(form for target in targets for form in expressions(target))))])


def _rounds_to(written: str, target: str) -> bool:
    """Return whether a written number has the target's value, up to rounding if one of them has two places or more."""
    read, meant = number(usual_digits(written)), latex_value(target)
    if read is None or meant is None:
        return False
    wanted = number(target)
    places = [len(text.partition(".")[2]) for text in ([written, target] if wanted is not None else [written])]
    tolerance = 0.5 * 10.0 ** -min(places) if min(places) >= _ROUNDED_PLACES else 0.0
    return abs(read.value - meant) <= tolerance + 1e-9 * abs(meant)


def _same_number(read: str, target: str) -> bool:
    given = values(read)
    # "8 million" is not 8 here, and "8%" may be 8.
    given = {max(given)} if given and " " in read else given
    meant = {value for form in (target, *expressions(target)) if (value := latex_value(form)) is not None}
    return any(math.isclose(value, wanted, rel_tol=1e-9) for wanted in meant for value in given)


def _precision(text: str) -> int:
    read = number(text)
    return int(read.value) if read is not None and 0 <= read.value <= 15 else 0


def _normal_form(answer: str) -> str:
    """Return one spelling for answers that obviously mean the same: letters upper case, numbers without noise."""
    bare = bare_expression(answer)
    letter = lone_letter(bare)
    if letter:
        return letter.upper()
    value = plain_value(bare)
    return _without_spaces(bare) if value is None else number_form(value)


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def authors_option(extraction: str, choices: Sequence[str]) -> str:
    """Return the option that the authors' code reads from an extraction: by letter, else the nearest in spelling."""
    answer = extraction.strip()
    bracketed = _BRACKETED_LETTER.search(answer)
    answer = bracketed[1].upper() if bracketed else answer
    letters = LETTERS[: len(choices)]
    if len(answer) == 1 and answer in letters:
        return choices[letters.index(answer)]
    distances = [_edits(answer[:_LONGEST_ANSWER], choice[:_LONGEST_OPTION]) for choice in choices]
    return choices[distances.index(min(distances))]


def authors_number(extraction: str, places: int | None) -> str | None:
    """Return the number of an extraction as the authors write it: cut to a whole one, or rounded to ``places``."""
    try:
        value = float(extraction)
        return str(int(value)) if places is None else str(round(value, places))
    except (ValueError, OverflowError):
        return None


def _edits(left: str, right: str) -> int:
    """Return the Levenshtein distance of two texts."""
    row = list(range(len(right) + 1))
    for index, sign in enumerate(left, 1):
        before, row[0] = row[0], index
        for column, other in enumerate(right, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (sign != other))
    return row[-1]
