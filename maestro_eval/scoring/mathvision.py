r"""Apply MathVision's authors' rule to the whole reply: where they find the answer, and when they call it right.

Their evaluator first cuts the reply down to an answer, then compares it as text, member by member if both are tuples,
and finally by value rounded to two places. A human reader would at times disagree (of two boxes only the last counts,
words after ``=`` are part of the answer); `fair` is the careful reading. We evaluate nothing as code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from maestro_eval.scoring.latex_value import latex_value

_PLACES = 2
_LETTERS = "ABCDE"
_BOX = "oxed{"
_PHRASES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
# Replacements before answers are compared, in this order.
_SPELLINGS = (
    (" ", ""), ("\\,", ""), ("\u221e", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", ""), ("\\text", ""),
    ("\\mbox", ""), ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""),
    ("{m}^3", ""), ("m^3", ""), ("{units}", ""), ("units", ""), ("{km}", ""), ("km", ""), ("\\!", ""), ("\\\\", "\\"),
    ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""),
    ("\\$", ""), ("$", ""), ("\\%", ""), ("{.", "{0."),
)  # fmt: skip
_BARE_ROOT = re.compile(r"\\sqrt(?!\\sqrt)([^{])")
_BARE_FRACTION = re.compile(r"\\frac(?!\\frac)([^{])(?!\\frac)(.)", re.DOTALL)
_SLASHED = re.compile(r"(0|-?[1-9][0-9]{0,40})/(0|-?[1-9][0-9]{0,40})")
_UNKNOWN = ("a", "-a")


def authors_answer(reply: str) -> str:
    """Return the answer that the authors' evaluator finds in a reply, normalised (lower case, no spaces)."""
    text = reply.strip()
    for letter in _LETTERS:
        ends = text.endswith((f" {letter}.", f" ({letter})."))
        if ends or text.startswith((f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")):
            text = letter
    number = text.rpartition("is ")[2].rstrip(".")
    text = number if _is_number(number) else text
    boxes = text.count(_BOX)
    if boxes == 0:
        text = _behind_phrases(text)
    elif boxes > 1:
        text = "\\boxed{" + text.rpartition(_BOX)[2]
    answer = _normal(text)
    for brackets in ("()", "{}"):
        for letter in _LETTERS.lower():
            answer = answer.replace(brackets[0] + letter + brackets[1], letter)
    return answer.rstrip(".").lstrip(":").strip()


def authors_equal(answer: str, targets: Sequence[str]) -> bool:
    """Return whether the authors' comparison calls ``answer`` (from `authors_answer`) equal to one of ``targets``."""
    return any(_equal(answer.lower(), target.lower()) for target in targets)


def _behind_phrases(text: str) -> str:
    for phrase in _PHRASES:
        for written in (phrase, phrase.replace("the", "The")):
            stated = written in text
            text = text.rpartition(written)[2].strip()
            text = text.split("\n")[0].split(". ")[0] if stated else text
    return text


def _normal(text: str) -> str:
    text = text.lower().replace("{}", "")
    begin, end = text.find(_BOX), text.rfind("}")
    if begin >= 0 and begin + len(_BOX) <= end:
        text = text[begin + len(_BOX) : end]
    closing, opening = text.find("}"), text.find("{")
    if closing >= 0 and (opening < 0 or closing < opening):
        text = text[:closing]
    text = text.rpartition("=")[2].rpartition("\\approx")[2]
    for written, plain in _SPELLINGS:
        text = text.replace(written, plain)
    text = "0" + text if text.startswith(".") else text
    text = _BARE_ROOT.sub(r"\\sqrt{\1}", text)
    if "sqrt" in text:
        text = _BARE_FRACTION.sub(_braced_fraction, text)
    text = "\\frac{1}{2}" if text == "0.5" else text
    return _SLASHED.sub(r"\\frac{\1}{\2}", text) if _SLASHED.fullmatch(text) else text


def _braced_fraction(bare: re.Match[str]) -> str:
    return f"\\frac{{{bare[1]}}}" + (bare[2] if bare[2] == "{" else f"{{{bare[2]}}}")


def _equal(answer: str, target: str) -> bool:
    if not answer.strip() or not target.strip():
        return False
    if answer.strip() == target.strip():
        return True
    answer, target = _valued_members(answer), _valued_members(target)
    if answer == target:
        return True
    # Of "4/3." `_normal` leaves "4/3" because of the full stop, and in the authors' records that is no fraction.
    given, wanted = None if _SLASHED.fullmatch(answer) else latex_value(answer), latex_value(target)
    return given is not None and wanted is not None and round(given, _PLACES) == round(wanted, _PLACES)


def _valued_members(text: str) -> str:
    members = text[1:-1].split(",")
    if len(members) < 2 or text[0] + text[-1] not in ("()", "[]"):
        return text
    values = []
    for member in members:
        value = latex_value(member)
        if "infty" in member or member in _UNKNOWN:
            values.append(member)
        elif value is None:
            return text
        else:
            values.append(format(round(value, _PLACES), "g"))
    return text[0] + ",".join(values) + text[-1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
