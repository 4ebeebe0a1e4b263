r"""The released scorer's rule for Geometry3K and TallyQA: equal as normalised text, or in value to two decimals.

The answer is in the last ``<answer>``, over lines too, else in the whole text: the last ``\boxed{}``, else what
follows "the answer is" or the like up to the first full stop, else all of it. So ``7 units``, ``seven``, ``**7**`` and
``135.5°`` are wrong there, and ``the answer is 7.5`` is 7. A box or a spelling on which the released code stumbles is
wrong here too.
"""

from __future__ import annotations

import re

from maestro_eval.scoring.arithmetic import value_of
from maestro_eval.scoring.numerals import number_form
from maestro_eval.scoring.released_text import Truth, tagged
from maestro_eval.scoring.verdict import Verdict

_DECIMALS = 2
_LONGEST = 10_000
_BOX, _SPACED_BOX, _FRAME = "\\boxed", "\\boxed ", "\\fbox"
_LEADS = ("the answer is", "answer", "the final answer is", "final answer", "solution", "the solution is")
_PHRASES = tuple(
    re.compile(lead.replace(" ", r"\s+") + r"\s*:?\s*(.+?)(?:\.|$|\\n|\\r)", re.IGNORECASE | re.DOTALL)
    for lead in _LEADS
)
_UNIT = "\\text{ "
_BEFORE_UNITS = (
    ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""),
    ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""),
)  # fmt: skip
_ROOT_SPACED = re.compile(r"\\sqrt\s*\{([^}]*)\}")
_FRACTION_SPACED = re.compile(r"\\frac\s*\{([^}]*)\}\s*\{([^}]*)\}")
_FRACTION, _ROOT = re.compile(r"\\frac\{([^}]*)\}\{([^}]*)\}"), re.compile(r"\\sqrt\{([^}]*)\}")


class _Stumbles(Exception):
    """The released code raises here, and takes the answer for wrong."""


def math(truth: Truth, text: str) -> Verdict:
    """Geometry3K, TallyQA: the answer and the target are the same text or the same value."""
    *_, said = (text, *(content.strip() for content in tagged(text, across_lines=True)))
    try:
        answer = _stated(said)
        if not answer:
            return Verdict(0.0, note="no answer")
        if len(answer) > _LONGEST:
            return Verdict(0.0, answer, "too long for a value")
        given, wanted = _normalised(answer), _normalised(truth.first)
    except _Stumbles:
        return Verdict(0.0, note="the released scorer stumbles over it")
    value, target = _value(given), _value(wanted)
    same = value is not None and target is not None and round(value, _DECIMALS) == round(target, _DECIMALS)
    form = given if value is None else number_form(round(value, _DECIMALS))
    return Verdict(float(given == wanted or same), form)


def _stated(text: str) -> str:
    boxed = _last_box(text)
    if boxed is not None:
        return boxed
    lowered = text.lower()
    for phrase in _PHRASES:
        found = phrase.search(lowered)
        answer = found[1].strip().strip("\"'").rstrip(".") if found else ""
        if answer:
            return answer
    return text.strip()


def _last_box(text: str) -> str | None:
    if _SPACED_BOX in text:
        return text.rpartition(_SPACED_BOX)[2].partition("$")[0]
    begin = text.rfind(_BOX)
    framed = begin < 0
    begin = text.rfind(_FRAME) if framed else begin
    depth = 0
    for place in range(begin, len(text)) if begin >= 0 else ():
        depth += (text[place] == "{") - (text[place] == "}")
        if text[place] == "}" and depth == 0:
            if framed or text[begin + len(_BOX)] != "{":
                raise _Stumbles
            return text[begin + len(_BOX) + 1 : place]
    return None


def _normalised(text: str) -> str:
    for before, after in _BEFORE_UNITS:
        text = text.replace(before, after)
    if text.count(_UNIT) > 1:
        raise _Stumbles
    text = text.partition(_UNIT)[0].replace("\\%", "")
    text = _ROOT_SPACED.sub(lambda found: f"\\sqrt{{{found[1].lstrip()}}}", text)
    text = _FRACTION_SPACED.sub(lambda found: f"\\frac{{{found[1].lstrip()}}}{{{found[2].lstrip()}}}", text)
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    text = f"0{text}" if text.startswith(".") else text
    name, equals, value = text.partition("=")
    if equals and len(name) <= 2 and "=" not in value:
        text = value
    text = _full_fractions(_full_roots(text.replace(" ", "")))
    return _as_fraction("\\frac{1}{2}" if text == "0.5" else text)


def _full_roots(text: str) -> str:
    """``\\sqrt3`` as ``\\sqrt{3}``; left alone where one has nothing behind it."""
    before, *roots = text.split("\\sqrt")
    if "" in roots:
        return text
    return before + "".join(f"\\sqrt{each if each[0] == '{' else f'{{{each[0]}}}{each[1:]}'}" for each in roots)


def _full_fractions(text: str) -> str:
    r"""``\frac12`` as ``\frac{1}{2}``; left alone where one has a single character behind it."""
    full, *fractions = text.split("\\frac")
    for each in fractions:
        if not each:
            raise _Stumbles
        if each[0] == "{":
            full += f"\\frac{each}"
        elif len(each) < 2:
            return text
        else:
            denominator = each[1:] if each[1] == "{" else f"{{{each[1]}}}{each[2:]}"
            full += f"\\frac{{{each[0]}}}{denominator}"
    return full


def _as_fraction(text: str) -> str:
    if text.count("/") != 1:
        return text
    try:
        above, below = map(int, text.split("/"))
    except ValueError:
        raise _Stumbles from None
    return f"\\frac{{{above}}}{{{below}}}" if text == f"{above}/{below}" else text


def _value(normal: str) -> float | None:
    try:
        again = _normalised(normal)
    except _Stumbles:
        return None
    plain = _ROOT.sub(r"sqrt(\1)", _FRACTION.sub(r"(\1)/(\2)", again))
    return value_of(plain.replace("^", "**"))
