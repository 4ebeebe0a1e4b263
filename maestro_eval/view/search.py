"""Full-text search: words come from the index, quoted phrases from the texts.

The index has no word positions. A phrase's words are looked up first, then the texts of at most ``MOST_READ`` of the
rollouts found are read from the journal, which takes a fraction of a second.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.view.columns import Mask
from maestro_eval.view.index import Index, Texts

MOST_READ = 2000
_QUOTED = re.compile(r'(?:\b(question|answer|observations)\s*:\s*)?"([^"]*)"')
_WORD = re.compile(r"[^\W_]+")
_OPERATOR = re.compile(r"\b(?:OR|NOT)\b")


class Phrase(Struct, frozen=True):
    """Consecutive words in the text of ``column``, or in any of the three if it is empty."""

    column: str
    words: tuple[str, ...]

    def is_in(self, texts: Texts) -> bool:
        wanted = f" {' '.join(self.words)} "
        return any(wanted in f" {' '.join(words_of(text))} " for text in texts.of(self.column))


class Found(Struct, frozen=True, eq=False):
    """The ranks that a search found, in key order; ``note`` explains a query that was not searched as typed."""

    ranks: NDArray[np.int64]
    note: str = ""


def phrases_of(text: str) -> tuple[Phrase, ...]:
    """Return the phrases that every hit must contain; none in a query with OR or NOT."""
    if _OPERATOR.search(_QUOTED.sub("", text)):
        return ()
    found = (Phrase(match[1] or "", tuple(words_of(match[2]))) for match in _QUOTED.finditer(text))
    return tuple(phrase for phrase in found if len(phrase.words) > 1)


def find(index: Index, text: str, texts: Callable[[int], Texts]) -> Found:
    """Search for ``text``; ``texts`` returns the texts of the rollout at a rank."""
    note = ""
    try:
        documents = index.documents(_QUOTED.sub(_as_words, text))
    except ValueError as error:
        # Not valid query syntax: search for all its words instead.
        note = f"read as plain words ({error})"
        words = words_of(text)
        query = " ".join(f'"{word}"' for word in words)
        documents = index.documents(f"{query}*") if words else np.empty(0, dtype=np.int64)
    ranks = np.flatnonzero(_is_among(index.frame["document"], documents))
    phrases = phrases_of(text)
    if not phrases:
        return Found(ranks, note)
    if len(ranks) > MOST_READ:
        note = f"the phrase was looked for in the first {MOST_READ:,} of {len(ranks):,} rollouts that have its words"
    kept = [rank for rank in ranks[:MOST_READ] if _has_all(phrases, texts(int(rank)))]
    return Found(np.array(kept, dtype=np.int64), note)


def words_of(text: str) -> list[str]:
    """Return the words of ``text`` as the index stores them: in lower case, without accents."""
    if not text.isascii():
        apart = unicodedata.normalize("NFD", text)
        text = "".join(sign for sign in apart if not unicodedata.combining(sign))
    return _WORD.findall(text.lower())


def _has_all(phrases: tuple[Phrase, ...], texts: Texts) -> bool:
    return all(phrase.is_in(texts) for phrase in phrases)


def _as_words(quoted: re.Match[str]) -> str:
    """Turn a quoted phrase into a query for all its words."""
    column = f"{quoted[1]}: " if quoted[1] else ""
    return " ".join(f'{column}"{word}"' for word in words_of(quoted[2])) or '""'


def _is_among(numbers: NDArray[np.integer], documents: NDArray[np.int64]) -> Mask:
    """Return a mask of the ``numbers`` that are among ``documents``; 0 never is."""
    hits = np.zeros(max(int(numbers.max(initial=0)), int(documents.max(initial=0))) + 1, dtype=bool)
    hits[documents] = True
    hits[0] = False
    found: Mask = hits[numbers]
    return found
