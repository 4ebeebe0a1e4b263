"""Where a reply states its answer."""

from __future__ import annotations

import re

# Prefixes may follow one another ("**Final answer:** Answer: B"); only what follows the last of them is stated. The
# value is looked ahead at, so that a second statement on the line is found too, and bounded, so that many cost little.
_STATEMENT = re.compile(
    r"(?:(?:\*\*)?\b(?:final\s+)?answer(?:\*\*)?\s*(?:is\s*:|:|=|\bis\b)\s*(?:\*\*)?[ \t]*)+"
    r"(?=(?P<value>[^\n]{0,4000}))",
    re.IGNORECASE,
)
# "The answer is not visible" states that there is none.
_NO_ANSWER = re.compile(r"(?:not|cannot|unknown|unclear|uncertain|undetermined)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s+[A-Z(])")


def answer_statement(text: str) -> str | None:
    r"""What ``text`` says its answer is: the last ``\boxed{X}``, ``Answer: X`` or ``the answer is X``.

    Markdown stars, one pair of brackets ``(B)`` and a full stop around X are dropped; a further sentence on
    the same line is not part of X, and a statement that there is no answer is none. ``None`` when nothing is
    stated: the caller decides what that means.
    """
    boxed, boxed_at = _last_boxed(text)
    stated, stated_at = None, -1
    for match in _STATEMENT.finditer(text):
        value = _tidy(match.group("value"))
        if value and not _NO_ANSWER.match(value):
            stated, stated_at = value, match.start()
    # "Answer: \boxed{4}" holds both; the box is the more exact of the two when it comes later or inside.
    return boxed if boxed is not None and boxed_at > stated_at else stated


def _tidy(value: str) -> str:
    value = _SENTENCE_END.split(value.strip(), maxsplit=1)[0]
    value = value.strip().strip("*`").strip()
    value = value.removesuffix(".") if not value.endswith("..") else value
    # "**12**." closes its stars before the full stop.
    value = value.strip("*`").strip()
    bracketed = re.fullmatch(r"\(([^()]*)\)", value)
    return (bracketed.group(1) if bracketed else value).strip()


def _last_boxed(text: str) -> tuple[str | None, int]:
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None, -1
    depth, begin = 0, start + len(r"\boxed{")
    for index in range(begin - 1, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if depth == 0:
            return text[begin:index].strip(), start
    return None, -1
