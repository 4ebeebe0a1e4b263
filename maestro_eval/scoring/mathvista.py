"""MathVista by its authors' rule, on an answer that was extracted from the reply: they have a model extract it.

An option is chosen by its letter, else the option nearest in spelling is taken: under this rule every text is an answer
to a multiple-choice question. Numbers are cut to whole ones or rounded to the row's precision and compared as text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_BRACKETED_LETTER = re.compile(r"\(([a-zA-Z])\)")
# Beyond these lengths spelling tells options apart no better, and the comparison takes quadratic time.
_LONGEST_ANSWER, _LONGEST_OPTION = 1000, 200


def authors_option(extraction: str, choices: Sequence[str]) -> str:
    """The option that the authors' code reads from an extraction: by letter, else the nearest in spelling."""
    answer = extraction.strip()
    bracketed = _BRACKETED_LETTER.search(answer)
    answer = bracketed[1].upper() if bracketed else answer
    letters = string.ascii_uppercase[: len(choices)]
    if len(answer) == 1 and answer in letters:
        return choices[letters.index(answer)]
    distances = [_edits(answer[:_LONGEST_ANSWER], choice[:_LONGEST_OPTION]) for choice in choices]
    return choices[distances.index(min(distances))]


def authors_number(extraction: str, places: int | None) -> str | None:
    """The number of an extraction as the authors write it: cut to a whole one, or rounded to ``places``."""
    try:
        value = float(extraction)
        return str(int(value)) if places is None else str(round(value, places))
    except (ValueError, OverflowError):
        return None


def _edits(left: str, right: str) -> int:
    """The Levenshtein distance of two texts."""
    row = list(range(len(right) + 1))
    for index, sign in enumerate(left, 1):
        before, row[0] = row[0], index
        for column, other in enumerate(right, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (sign != other))
    return row[-1]
