"""Read the ``answer`` of a JSON object as models write JSON.

Models leave LaTeX's backslashes, quotes and line breaks bare in strings, use single quotes, add a trailing comma, a
comment or a fence, and get cut off. A valid object is decoded; in any other, a pattern finds the member.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_LONGEST = 20_000
_LINE_BREAKS = str.maketrans("\t\r\n", "   ")
_KEY = r"[\"'\u201c]?(?:final[_ ]?)?answer[\"'\u201d]?"
_MEMBER = re.compile(
    rf"[{{,]\s{{0,20}}{_KEY}\s{{0,10}}[:=]\s{{0,20}}"
    r"(?:\"(?P<double>(?:[^\"\\\n]|\\.){0,4000})\"|'(?P<single>(?:[^'\\\n]|\\.){0,4000})'"
    r"|\u201c(?P<curly>[^\u201d\n]{0,4000})\u201d|\[\s{0,4}[\"']?(?P<listed>[^\"'\],\n]{1,200})[\"']?\s{0,4}\]"
    r"|(?P<bare>[^,}\n\"'\[{]{1,200}))",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\([\"'/])")


def json_answer(text: str) -> str | None:
    """Return the ``answer`` (in any case) of the object that ``text`` is or contains, or None if there is none."""
    if "{" not in text or "nswer" not in text.lower():
        return None
    for written in (text.strip(), *object_candidates(text)):
        given = json_object(written)
        answer = given.get("answer", given.get("final_answer", given.get("final answer")))
        if isinstance(answer, bool):
            return "yes" if answer else "no"
        if isinstance(answer, str | int | float):
            return str(answer)
    begin = text.find("{")
    found = list(_MEMBER.finditer(text[begin : begin + _LONGEST]))
    if not found:
        return None
    groups = (found[0][name] for name in ("double", "single", "curly", "listed", "bare"))
    return _ESCAPED.sub(r"\1", next(group for group in groups if group is not None)).strip()


def json_object(text: str) -> dict[str, Any]:
    """Return a valid JSON object's members by lower-case name, else an empty dict. Strings may break lines."""
    if not text.startswith("{") or len(text) > _LONGEST:
        return {}
    try:
        read = msgspec.json.decode(text.translate(_LINE_BREAKS).encode(errors="replace"), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}
    return {key.strip().lower(): value for key, value in read.items()}


def object_candidates(text: str) -> tuple[str, str]:
    """Return the texts that may be an object: the last fenced block, and all from the first to the last brace."""
    fenced = text.split("```")[1::2]
    block = fenced[-1].strip().removeprefix("json").strip() if fenced else ""
    return block, text[text.find("{") : text.rfind("}") + 1]
