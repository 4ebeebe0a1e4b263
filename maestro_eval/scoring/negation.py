"""Decide by the words around a candidate whether a text denies it: "not B", "(A) is wrong".

Only a few words on its own line count, and each side takes bounded time. A denied answer is never inverted: "not yes"
is not "no", it answers nothing. The words are English, and the most common Chinese ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

_NEAR = 80
_MOST = 1000

# Words that end a denial: "not A but B", "I am not sure, B".
_TURN = r"(?:but|so|thus|hence|therefore|rather|sure|certain|doubt|because|since)\b"
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|without|unlike|except|hardly|unlikely|non|exclud(?:e|es|ed|ing)"
    r"|eliminat(?:e|es|ed|ing)|reject(?:s|ed|ing)?|rul(?:e|es|ed|ing)[ ]out|rather[ ]than|other[ ]than|instead[ ]of"
    r"|(?:anything|everything|all)[ ]but)\b|n['\u2019]t\b|[\u4e0d\u975e][\u662f\u9009]?)"
    rf"[ \t]*:?(?:[ \t]+(?!{_TURN})\w{{1,12}}){{0,4}}[ \t(\[{{*\"'`$\u201c\u2018\\\-]*\Z",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[)\]}*\"'`$\u201d\u2019.:]{0,6}[ \t]+"
    r"(?:(?:is|was|can|could|must|should|may|does|has|be|been|clearly|definitely|obviously|simply|thus)[ \t]+){0,4}"
    r"(?:not|wrong|incorrect|false|impossible|invalid|cannot|excluded|eliminated|rejected|discarded|ruled[ ]out"
    r"|(?:(?:is|are|looks|seems)[ ])?(?:(?:much|far)[ ])?too|\w{2,5}n['\u2019]t)\b",
    re.IGNORECASE,
)
# "The one that cannot be formed is B": the denial belongs to the subject, unless what it denies is a belief.
_SUBJECT_DENIED = re.compile(
    r"(?:\b(?:not|never|cannot|no\slonger)|n['\u2019]t)[ \t]+"
    r"(?!(?:think|believe|say|mean|see|know|agree|sure|certain|clear|true|likely|possible|necessarily|the[ \t]case"
    r"|claim|suggest|imply|guarantee|seem)\b)"
    r"(?:[\w'\u2019-]{1,20}[ \t]+){1,6}(?:is|are|was|were|would[ ]be|must[ ]be|has[ ]to[ ]be)\b[ \t]*:?[\W_]{0,12}"
    r"(?:(?:option|choice|the|piece|tile|shape|figure|letter|number|color|colour|picture|statement)[ \t]+){0,2}"
    r"[\W_]{0,6}(?:\\boxed\{[ \t]*)?\Z",
    re.IGNORECASE,
)


def denied(text: str, start: int, end: int) -> bool:
    """Return whether the words around ``text[start:end]`` deny it."""
    before, after = text[max(start - _NEAR, 0) : start], text[end : end + _NEAR]
    denied_before = _DENIED_BEFORE.search(before) and not _SUBJECT_DENIED.search(before)
    return bool(denied_before or _DENIED_AFTER.match(after))


def undenied(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Return the matches of a pattern that are not `denied`, of the first thousand: more of them say nothing."""
    return (match for match in islice(pattern.finditer(text), _MOST) if not denied(text, *match.span()))
