"""Was it right by the scorer that was released with the paper? Its rules for text, on the policy's transcript.

Each looks at the first ``<answer>`` of all that the policy wrote, whatever ended the rollout, and strips
punctuation at both ends. They are lenient ("e" is right for the target "Liver", because it stands in it): read
them beside ``official`` and ``strict``, never alone. An answer of which nothing is left is wrong; what the release
makes of one is not known, and by its letter an empty answer stands in every target.

Where the description that we have of the released code leaves something open (the case of letters, what counts as
a number, which form of the target a rule compares with), the reading is ours, and `docs/scoring.md` states it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

from maestro_eval.scoring.extract import tagged_answers
from maestro_eval.scoring.letters import lone_letter
from maestro_eval.scoring.numerals import number_form
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.types import Sample

ReleasedRule = Callable[[Sample, str], Verdict]

_DECIMALS = 2
_YES_NO = {"yes", "no"}
_EDGES = string.punctuation + string.whitespace
# A sign, or a point before the first digit, belongs to a number: stripped, -5 would be 5.
_NUMBER_HEAD = re.compile(r"[+\-]?\.?\Z")
_PLAIN_NUMBER = re.compile(r"[+\-]?(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})(?:[eE][+\-]?[0-9]{1,2})?")


def chartqa(sample: Sample, transcript: str) -> Verdict:
    """A number equals the target after rounding to two decimals; a text stands in the target, or it in the text."""
    return _judged(sample, transcript, _chart_right)


def letter_or_text(sample: Sample, transcript: str) -> Verdict:
    """MSEarthMCQ, MicroVQA: one character is the option's letter; more is compared with the option's text."""
    return _judged(sample, transcript, _letter_or_text_right)


def slake(sample: Sample, transcript: str) -> Verdict:
    """A target of yes or no stands in the answer; another one stands in it, or the answer in the target."""
    return _judged(sample, transcript, _slake_right)


def vstar(sample: Sample, transcript: str) -> Verdict:
    """As `letter_or_text`; an option whose text is yes or no is met exactly."""
    return _judged(sample, transcript, _vstar_right)


def _judged(sample: Sample, transcript: str, is_right: Callable[[Sample, str], bool]) -> Verdict:
    answers = tagged_answers(transcript)
    if not answers:
        return Verdict(0.0, note="no <answer>")
    answer = _folded(answers[0])
    if not answer:
        return Verdict(0.0, note="empty <answer>")
    return Verdict(float(is_right(sample, answer)), _form(answer))


def _chart_right(sample: Sample, answer: str) -> bool:
    given = _plain_number(answer)
    for target in sample.targets:
        wanted = _plain_number(target.strip())
        if wanted is None:
            if _either_way(answer, _folded(target)):
                return True
        elif given is not None and round(given, _DECIMALS) == round(wanted, _DECIMALS):
            return True
    return False


def _letter_or_text_right(sample: Sample, answer: str) -> bool:
    if len(answer) == 1:
        return answer in {target.lower() for target in map(lone_letter, sample.targets) if target}
    return any(_either_way(answer, text) for text in _texts(sample))


def _slake_right(sample: Sample, answer: str) -> bool:
    targets = map(_folded, sample.targets)
    return any(target in answer if target in _YES_NO else _either_way(answer, target) for target in targets)


def _vstar_right(sample: Sample, answer: str) -> bool:
    exact = _texts(sample) & _YES_NO
    return answer in exact if exact and len(answer) > 1 else _letter_or_text_right(sample, answer)


def _folded(text: str) -> str:
    """Without punctuation at both ends, in lower case."""
    bare = text.strip(_EDGES)
    begin = text.find(bare)
    head = _NUMBER_HEAD.search(text[max(begin - 2, 0) : begin]) if bare[:1].isdigit() else None
    return ((head.group() if head else "") + bare).lower()


def _form(answer: str) -> str:
    if len(answer) == 1 and answer.isalpha():
        return answer.upper()
    value = _plain_number(answer)
    return answer if value is None else number_form(round(value, _DECIMALS))


def _plain_number(text: str) -> float | None:
    return float(text) if _PLAIN_NUMBER.fullmatch(text) else None


def _texts(sample: Sample) -> set[str]:
    """What the targets say: the text of the option that a letter names, else the target itself."""
    texts = set()
    for target in sample.targets:
        letter = lone_letter(target)
        index = ord(letter.upper()) - ord("A") if letter else len(sample.choices)
        texts.add(_folded(sample.choices[index] if index < len(sample.choices) else target))
    return texts


def _either_way(answer: str, target: str) -> bool:
    return bool(target) and (answer in target or target in answer)
