"""Answers questions about printed text: its transcription, and the value beside a label.

A transcription is all text in reading order. A value is found in one of two ways: things with a form of their own
(date, time, telephone number, mail and web address) by that form, everything else by its label: the printed words
most like the question's, and the text after the label's colon, else to its right, else below it. Questions about
charts, counts and highlighted letters are refused before any text is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from maestro_eval.embedded.ask import Ask, cannot_tell, options, state
from maestro_eval.embedded.ocr import TextBox, in_lines, read_text

__all__ = ["answer"]

_OTHERS = re.compile(
    r"\b(?:charts?|graphs?|bars?|pie|legend|plot|histogram|circled|highlighted|angle|triangle|radius|perimeter"
    r"|intersect\w*|overlap\w*|cross(?:es|ing)?|touch\w*|rows?\b.{0,20}\bcolumns?"
    r"|oval|ellipse|routes?|stations?|colou?rs?|left of|right of|left or|nested|subway)\b",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\b(?:how many|count the|number of)\b", re.IGNORECASE)
_TEXTUAL = re.compile(
    r"\b(?:writ\w*|says?|texts?|words?|read\w*|transcri\w*|letters?|characters?|strings?|digits?|numbers?|signs?"
    r"|printed?|receipts?|invoice|bill|ticket|label\w*|total|subtotal|amount|price|cost|costs|paid|pay|tax|cash|change"
    r"|date|dated|time|phone|telephone|tel|fax|address|e-?mail|website|url|company|store|shop|name|issued|title"
    r"|author|brand|menu|form|document|poster|headline|plate|code|open\w*|hours|cashier|table|order|spell\w*"
    r"|room|taught|schedule|timetable|far|kilomet\w*|km|miles?|distance|gate|platform)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"\b(?:what (?:is|was|are|text|words?|does)\b.{0,60}\b(?:writ\w+|says?|printed?|shown|text|words?|read)\b"
    r"|transcribe|read (?:out )?(?:the|all|this)|spell|recogni[sz]e|which (?:word|words|text)\b|what text|what word)",
    re.IGNORECASE,
)
_DIGITS = re.compile(
    r"\b(?:digits?|digit string|number string|what (?:is the )?numbers? (?:is |are )?(?:\w+ ){0,2}"
    r"(?:in|on|shown|written|printed)|read the number|sequence of numbers)\b",
    re.IGNORECASE,
)
_MEASURE = re.compile(
    r"\b(?:number of (?:the|this)|how many (?:kilomet\w+|km|miles?|metres?|meters?|minutes?))\b", re.IGNORECASE
)
_PLACES = re.compile(r"\b(?:top|bottom|first|last|biggest|largest|heading|headline|title)\b", re.IGNORECASE)

_AMOUNT = re.compile(r"(?:[$€£]|USD|EUR|GBP|RM)?\s*-?\d[\d,]*(?:\.\d{1,3})?(?:\s?(?:[$€£%]|USD|EUR|GBP|RM))?")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DATE = re.compile(
    rf"\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}|\d{{1,2}}(?:st|nd|rd|th)?\s?{_MONTH}\.?,?\s?\d{{2,4}}"
    rf"|{_MONTH}\.?\s?\d{{1,2}}(?:st|nd|rd|th)?,?\s?\d{{4}}",
    re.IGNORECASE,
)
_TIME = re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\.?)?|\b\d{1,2}(?:\.\d{2})?\s?[ap]\.?m\b", re.IGNORECASE)
_PHONE = re.compile(r"\+?\(?\d[\d() .\-]{5,18}\d")
_FORMS: tuple[tuple[re.Pattern[str], re.Pattern[str], str], ...] = (
    (re.compile(r"\be-?mail\b", re.IGNORECASE),
     re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,32})+"), "mail address"),
    (re.compile(r"\b(?:website|web site|url|web address)\b", re.IGNORECASE),
     re.compile(r"(?:https?://)?(?:www\.)?[\w-]{2,64}(?:\.[\w-]{2,32})+(?:/\S{0,64})?"), "web address"),
    (re.compile(r"\b(?:phone|telephone|tel|fax|call|mobile)\b", re.IGNORECASE), _PHONE, "telephone number"),
    (re.compile(r"\b(?:date|dated|which day|what day|when (?:was|is))\b", re.IGNORECASE), _DATE, "date"),
    (re.compile(r"\b(?:what time|at which time|the time)\b", re.IGNORECASE), _TIME, "time"),
)  # fmt: skip
_MONEY = re.compile(
    r"\b(?:total|subtotal|amount|price|cost|costs|paid|pay|tax|cash|change"
    r"|how much|fee|due)\b",
    re.IGNORECASE,
)
_UNTIL = re.compile(r"\b(?:close|closes|closing|until|end|ends)\b", re.IGNORECASE)
_ISSUER = re.compile(
    r"\b(?:company|store|shop|restaurant|caf[eé]|market|merchant|seller|issued by|business)\b", re.IGNORECASE
)
_WHO = re.compile(r"\b(?:name|who|which|where|what (?:company|store|shop))\b", re.IGNORECASE)
_STOP = frozenset(
    re.findall(
        r"\w+",
        "what which who whose where when how much many is are was were be the a an of on in at to for from by with "
        "this that these it its does do did has have had and or image picture photo shown show shows given please "
        "question text receipt sign using directly answer written write printed print according value number say "
        "says there document find tell me read out name give only just stated listed can you see one word line "
        "exactly as",
    )
)
# Below this confidence the recogniser guesses, and rotating the picture may help.
_SURE = 0.75


@dataclass(frozen=True, slots=True)
class _Found:
    value: str
    because: str


def answer(ask: Ask) -> str:
    """Return the reply to a question about printed text, or a refusal."""
    question = ask.question
    if not ask.images:
        return cannot_tell("there is no picture to read")
    if not _is_about_text(question):
        return cannot_tell("the question does not ask for printed text")
    boxes = _legible(ask)
    if not boxes:
        return cannot_tell("I find no legible text in the picture")
    found = _find(question, boxes)
    if found is None:
        return cannot_tell("no printed label in the picture fits the question")
    return state(question, found.value, found.because)


def _is_about_text(question: str) -> bool:
    asked = question.split("\n(A)")[0]
    if _OTHERS.search(asked) or (_COUNT.search(asked) and not _MEASURE.search(asked)):
        return False
    return bool(_TEXTUAL.search(asked) or _MONEY.search(asked))


def _legible(ask: Ask) -> tuple[TextBox, ...]:
    """Return the picture's text; an illegible picture is rotated by quarters and eighths of a turn."""
    import cv2
    import numpy as np

    image = ask.images[0]
    best = read_text(image)
    if _trust(best) >= _SURE:
        return best
    height, width = image.shape[:2]
    paper = [float(value) for value in np.median(image.reshape(-1, 3), axis=0)]
    for angle in (-45, 45, 90, -90, 180):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        side = int(np.hypot(width, height))
        matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
        turned = cv2.warpAffine(image, matrix, (side, side), borderValue=paper).astype(np.uint8)
        boxes = read_text(turned)
        if _trust(boxes) > max(_trust(best), 0.5) + 0.1:
            best = boxes
    return best


def _trust(boxes: Sequence[TextBox]) -> float:
    letters = sum(len(box.text) for box in boxes)
    return sum(box.confidence * len(box.text) for box in boxes) / letters if letters else 0.0


def _find(question: str, boxes: tuple[TextBox, ...]) -> _Found | None:
    lines = in_lines(boxes)
    if _DIGITS.search(question):
        words = [box.text for line in lines for box in line]
        digits = [word for word in words if 2 * sum(char.isdigit() for char in word) > len(word)]
        if digits:
            return _Found(" ".join(digits), "I read the digits printed in the picture.")
    for asked, form, what in _FORMS:
        if asked.search(question):
            found = _by_form(question, lines, form, what)
            if found is not None:
                return found
    if _WHOLE.search(question) and not _MONEY.search(question):
        return _whole(question, lines, boxes)
    if _MONEY.search(question):
        found = _amount(question, lines)
        if found is not None:
            return found
    if _ISSUER.search(question) and _WHO.search(question):
        return _placed(question, lines, boxes)
    labelled = _by_label(question, lines)
    if labelled is not None:
        return labelled
    if _ISSUER.search(question) or _PLACES.search(question):
        return _placed(question, lines, boxes)
    if options(question):
        return _by_option(question, boxes)
    if len(boxes) <= 3:
        return _Found(_joined(lines), "This is all the text in the picture.")
    return None


def _whole(question: str, lines: list[list[TextBox]], boxes: tuple[TextBox, ...]) -> _Found:
    if _PLACES.search(question) and len(lines) > 1:
        return _placed(question, lines, boxes)
    return _Found(_joined(lines), "I read the text printed in the picture.")


def _placed(question: str, lines: list[list[TextBox]], boxes: tuple[TextBox, ...]) -> _Found:
    if re.search(r"\b(?:bottom|last)\b", question, re.IGNORECASE):
        return _Found(_line_text(lines[-1]), "I read the lowest line.")
    if re.search(r"\b(?:biggest|largest|headline|heading|title)\b", question, re.IGNORECASE):
        return _Found(max(boxes, key=lambda box: box.height).text, "I read the largest text.")
    return _Found(_line_text(lines[0]), "I read the topmost line.")


def _joined(lines: list[list[TextBox]]) -> str:
    return " ".join(_line_text(line) for line in lines)


def _line_text(line: Sequence[TextBox]) -> str:
    return " ".join(box.text for box in line)


def _by_form(question: str, lines: list[list[TextBox]], form: re.Pattern[str], what: str) -> _Found | None:
    """Return the text of that form; of several, the one whose line and the line above match the question best."""
    keys = [*_keys(question), "tel"] if form is _PHONE else _keys(question)
    candidates: list[tuple[float, str]] = []
    for at, line in enumerate(lines):
        matches = list(form.finditer(_line_text(line)))
        match = matches[-1 if _UNTIL.search(question) else 0] if matches else None
        if match and not (form is _PHONE and _DATE.fullmatch(match.group().strip())):
            near = _line_text(lines[at - 1]) + " " if at else ""
            likeness = _likeness(keys, _line_text(line)) + 0.3 * _likeness(keys, near)
            candidates.append((likeness, match.group().strip()))
    if not candidates:
        return None
    return _Found(max(candidates, key=lambda pair: pair[0])[1], f"I found a {what} in the picture.")


def _amount(question: str, lines: list[list[TextBox]]) -> _Found | None:
    """Return the right-most number of the line that is most like the question; the lowest such line, as totals are."""
    keys = _keys(question) or ["total"]
    best: tuple[float, int, str] | None = None
    for at, line in enumerate(lines):
        text = _line_text(line)
        numbers = [match.group().strip() for match in _AMOUNT.finditer(text)]
        label = _AMOUNT.sub(" ", text)
        if not numbers and at + 1 < len(lines) and not re.search(r"[A-Za-z]{2}", _line_text(lines[at + 1])):
            numbers = [match.group().strip() for match in _AMOUNT.finditer(_line_text(lines[at + 1]))]
        likeness = _likeness(keys, label)
        if numbers and likeness > 0.35 and (best is None or (likeness, at) >= best[:2]):
            best = (likeness, at, numbers[-1])
    return None if best is None else _Found(best[2], "I read the amount beside that label.")


def _by_label(question: str, lines: list[list[TextBox]]) -> _Found | None:
    """Return the text after, right of, or below the box whose words are most like the question's."""
    keys = _keys(question)
    if not keys:
        return None
    best: tuple[float, str] = (0.5, "")
    for at, line in enumerate(lines):
        for place, box in enumerate(line):
            label, _, after = box.text.partition(":")
            likeness = _likeness(keys, label)
            if likeness <= 0.5:
                continue
            # A label that recurs on every line heads a column, so the rest of the line decides.
            likeness += 0.2 * max((_likeness(keys, other.text) for other in line if other is not box), default=0.0)
            if likeness <= best[0]:
                continue
            value = after.strip() or _tail(box.text) or _line_text(line[place + 1 :]) or _below(box, lines[at + 1 :])
            if value:
                best = (likeness, value.strip(" :"))
    return _Found(best[1], "I read the text beside that label.") if best[1] else None


def _tail(text: str) -> str:
    """Return the number that ends a text such as "Receipt No. 27005"."""
    match = re.search(r"[A-Za-z.#]\s+#?([\d][\d./-]*)$", text)
    return match[1] if match else ""


def _below(label: TextBox, lines: list[list[TextBox]]) -> str:
    for line in lines[:1]:
        for box in line:
            if box.y0 - label.y1 < 1.5 * label.height and min(box.x1, label.x1) > max(box.x0, label.x0):
                return box.text
    return ""


def _by_option(question: str, boxes: tuple[TextBox, ...]) -> _Found | None:
    listed = options(question)
    scored = [(max(_alike(text, box.text) for box in boxes), text) for text in listed.values()]
    likeness, text = max(scored)
    return _Found(text, "I find these words in the picture.") if likeness > 0.8 else None


def _keys(question: str) -> list[str]:
    words = re.findall(r"[^\W_]+", question.casefold().split("\n(a)")[0])
    if re.search(r"\bnumber of the\b", question, re.IGNORECASE):
        words.append("no")
    return [word for word in words if word not in _STOP] or words


def _likeness(keys: Sequence[str], text: str) -> float:
    """Return how far words and question agree, 0 to 1: the question contains the whole label, seldom the reverse."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    words = [word for word in words if word not in _STOP] or words
    if not words or not keys:
        return 0.0
    forward = sum(max(_alike(key, word) for word in words) for key in keys) / len(keys)
    backward = sum(max(_alike(key, word) for key in keys) for word in words) / len(words)
    return 0.3 * forward + 0.7 * backward


def _alike(one: str, other: str) -> float:
    ratio = SequenceMatcher(None, one[:60].casefold(), other[:60].casefold(), autojunk=False).ratio()
    return ratio if ratio > 0.75 else 0.0
