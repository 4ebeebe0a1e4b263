r"""The released scorer's rules for text (ChartQA, MSEarthMCQ, MicroVQA, SLAKE, V*) and numbers (Geometry3K, TallyQA).

The rules for text read the same answer: the first ``<answer>…</answer>`` on one line, without punctuation at its ends,
and in it the text after ``The answer is`` or ``Answer:``, else the content of ``\boxed{}`` or of dollars. If the tags
exist but not on one line, ``Answer:``, a box or dollars are searched for in the whole text, else its last line counts.
Without both tags nothing is right.

`math` reads the last ``<answer>``, also across lines, else the whole text: the last ``\boxed{}``, else the text after
"the answer is" or the like up to the first full stop, else all of it. An answer is right if it equals the target as
normalised text, or in value to two decimals.

The rules are lenient ("e" is right for "Liver", which contains it) and harsh (``340`` is wrong for ``337.8``,
``7 units`` for ``7``) on purpose: they give what the released code gives. A box or a spelling on which the released
code raises is wrong here too.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator

from msgspec import Struct

from maestro_eval.scoring.arithmetic import value_of
from maestro_eval.scoring.metric import Verdict
from maestro_eval.scoring.numerals import number_form

_DECIMALS = 2
_YES_NO = ("yes", "no")
_EDGES = string.punctuation + string.whitespace
_OPENING, _CLOSING = re.compile("<answer>", re.IGNORECASE), re.compile("</answer>", re.IGNORECASE)
_ANNOUNCED = re.compile(r"the answer is\s+(.*)", re.IGNORECASE)
_LABELLED = re.compile(r"answer:\s*(.*)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^}]*)\}", re.IGNORECASE)
_DISPLAYED, _INLINE = re.compile(r"\$\$(.*?)\$\$"), re.compile(r"\$(.*?)\$")
_OF_THE_PROMPT = ("Question:", "Problem:", "Solve:", "Given:")
# "South" loses its "So", in the release as here.
_CONCLUDES = re.compile(r"(?:so|therefore|thus|hence|finally|the answer is)\s*[:\-]?\s*", re.IGNORECASE)
_SEPARATORS = str.maketrans("", "", " ,.")
# This also matches "7/1" and "-"; such a target is no number, and every answer is wrong.
_LOOKS_NUMERIC = re.compile(r"[\d\-/]+\n?")
_PLACES = 2
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


class Truth(Struct, frozen=True):
    """The right answer in the release's data: ``first``, and for options ``second``, the option's text if known."""

    first: str
    second: str | None = None


def chartqa(truth: Truth, text: str) -> Verdict:
    """ChartQA: a numeric target must equal the answer rounded to two decimals; else one text must contain the other."""
    if not _LOOKS_NUMERIC.fullmatch(truth.first.translate(_SEPARATORS)):
        return _judged(text, lambda answer: _either_way(answer, truth.first))
    wanted = _number(truth.first)
    return _judged(text, lambda answer: wanted is not None and _number(answer) == wanted, _numeric_form)


def letter_or_text(truth: Truth, text: str) -> Verdict:
    """MSEarthMCQ, MicroVQA: one character is compared with the option's letter, a longer answer with its text."""

    def right(answer: str) -> bool:
        if len(answer) == 1:
            return answer.lower() == truth.first.lower()
        return truth.second is not None and _either_way(answer, truth.second)

    return _judged(text, right)


def slake(truth: Truth, text: str) -> Verdict:
    """SLAKE: the answer must contain a target of yes or no; for any other target one must contain the other."""
    target = truth.first.strip().lower()
    if target in _YES_NO:
        return _judged(text, lambda answer: target in answer.lower())
    return _judged(text, lambda answer: _either_way(answer, target))


def vstar(truth: Truth, text: str) -> Verdict:
    """V*: the answer must equal a target of yes or no; for any other target one must contain the other."""
    target = truth.first.lower()
    if target in _YES_NO:
        return _judged(text, lambda answer: answer.lower().strip() == target)
    return _judged(text, lambda answer: _either_way(answer, target))


def tagged(text: str, *, across_lines: bool) -> Iterator[str]:
    """Yield what is between the tags: from an opening one to the next closing one, then on from there.

    Linear in the length of ``text``, unlike a lazy pattern if tags are opened and never closed.
    """
    closings = _CLOSING.finditer(text)
    closing = next(closings, None)
    behind, line_end = 0, -1
    for opening in _OPENING.finditer(text):
        begin = opening.end()
        while closing is not None and closing.start() < begin:
            closing = next(closings, None)
        if closing is None:
            return
        if opening.start() < behind:
            continue
        if not across_lines and line_end < begin:
            line_end = text.find("\n", begin)
            line_end = len(text) if line_end < 0 else line_end
        if across_lines or line_end >= closing.start():
            yield text[begin : closing.start()]
            behind = closing.end()


def _judged(text: str, is_right: Callable[[str], bool], form: Callable[[str], str] | None = None) -> Verdict:
    if "<answer>" not in text or "</answer>" not in text:
        return Verdict(0.0, note="no <answer>")
    answer = _stated(text)
    if not answer:
        return Verdict(0.0, note="empty <answer>")
    return Verdict(float(is_right(answer)), (form or _text_form)(answer))


def _stated(text: str) -> str:
    content = next(tagged(text, across_lines=False), None)
    if content is None:
        found = _marked(text)
        return _last_line(text) if found is None else found
    answer = _bare(content)
    announced = _ANNOUNCED.search(answer)
    if announced is not None:
        return _bare(announced[1])
    found = _marked(answer)
    return answer if found is None else found


def _marked(text: str) -> str | None:
    labelled = _LABELLED.search(text)
    # Search up to the last brace only: otherwise each of many unclosed boxes would be read to the end.
    boxed = labelled or _BOXED.search(text[: text.rfind("}") + 1])
    found = boxed or _DISPLAYED.search(text) or _INLINE.search(text)
    return None if found is None else _bare(found[1])


def _last_line(text: str) -> str:
    for line in reversed(text.strip().split("\n")):
        bare = line.strip()
        if bare and not bare.startswith(_OF_THE_PROMPT):
            lead = _CONCLUDES.match(bare)
            bare = bare[lead.end() if lead else 0 :].strip(_EDGES)
            if bare:
                return bare
    return ""


def _bare(text: str) -> str:
    return text.strip().strip(_EDGES)


def _either_way(answer: str, target: str) -> bool:
    return answer.lower() in target.lower() or target.lower() in answer.lower()


def _number(text: str) -> float | None:
    try:
        return round(float(text.strip()), _DECIMALS)
    except ValueError:
        return None


def _numeric_form(answer: str) -> str:
    value = _number(answer)
    return _text_form(answer) if value is None else number_form(value)


def _text_form(answer: str) -> str:
    return answer.upper() if len(answer) == 1 else answer.lower()


class _Stumbles(Exception):
    """The released code raises here and counts the answer as wrong."""


def math(truth: Truth, text: str) -> Verdict:
    """Geometry3K, TallyQA: the answer and the target must be the same text or have the same value."""
    *_, said = (text, *(content.strip() for content in tagged(text, across_lines=True)))
    try:
        answer = _stated_value(said)
        if not answer:
            return Verdict(0.0, note="no answer")
        if len(answer) > _LONGEST:
            return Verdict(0.0, answer, "too long for a value")
        given, wanted = _normalised(answer), _normalised(truth.first)
    except _Stumbles:
        return Verdict(0.0, note="the released scorer stumbles over it")
    value, target = _value_of_normal(given), _value_of_normal(wanted)
    same = value is not None and target is not None and round(value, _PLACES) == round(target, _PLACES)
    form = given if value is None else number_form(round(value, _PLACES))
    return Verdict(float(given == wanted or same), form)


def _stated_value(text: str) -> str:
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
    """Write ``\\sqrt3`` as ``\\sqrt{3}``; leave the text alone if a root has nothing after it."""
    before, *roots = text.split("\\sqrt")
    if "" in roots:
        return text
    return before + "".join(f"\\sqrt{each if each[0] == '{' else f'{{{each[0]}}}{each[1:]}'}" for each in roots)


def _full_fractions(text: str) -> str:
    r"""Write ``\frac12`` as ``\frac{1}{2}``; leave the text alone if a fraction has only one character after it."""
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


def _value_of_normal(normal: str) -> float | None:
    try:
        again = _normalised(normal)
    except _Stumbles:
        return None
    plain = _ROOT.sub(r"sqrt(\1)", _FRACTION.sub(r"(\1)/(\2)", again))
    return value_of(plain.replace("^", "**"))
