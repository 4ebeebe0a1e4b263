"""What does a careful human take a reply to answer? The reading of the protocol `fair`, the same for every benchmark.

`extract.candidates` gives the places where the answer may stand, best first. `reading` tries each: is one of its forms,
as a whole, an answer of the wanted kind? If not, and the reply itself says that its answer stands there, what answer
stands within it? A place that names several answers, denies one or takes one back ends the search: it is not turned
into a guess. The last resort is an answer within the whole reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from maestro_eval.scoring.extract import NoAnswer, Reply, candidates, forms, is_unsure, retracts

Read = str | NoAnswer
Reader = Callable[[str], Read | None]
"""The answer of a text in its normal form, why there is none, or None: it is not of this kind."""

_MOST_CANDIDATES = 24


def reading(reply: Reply, whole: Reader, within: Reader) -> Read:
    """The answer of a reply; ``whole`` reads a text that is an answer, ``within`` one that holds one among words."""
    if reply.missing is not None:
        return reply.missing
    for number, candidate in enumerate(candidates(reply.text)):
        if number == _MOST_CANDIDATES:
            break
        for form in forms(candidate.text):
            read = whole(form)
            if read is None:
                continue
            if isinstance(read, NoAnswer):
                return read
            rest = _rest(candidate.text, form) or candidate.after
            return NoAnswer.RETRACTED if retracts(rest) else read
        if candidate.stated:
            inside = within(candidate.text)
            if inside is not None:
                return inside
    inside = within(reply.text)
    if inside is not None:
        return inside
    return NoAnswer.UNSURE if is_unsure(reply.text) else NoAnswer.UNSTATED


def _rest(text: str, form: str) -> str:
    """What stands behind ``form`` in ``text``, without the signs that typeset it."""
    at = text.find(form)
    return re.sub(r"\A[\s*_`\"'$)\]}.]{0,12}", "", text[at + len(form) :]) if at >= 0 else ""
