"""How well a text's words fit a document's: Okapi BM25 over a handful of short documents.

    score(q, d) = Σ over words w of q: idf(w) · f(w, d) (k₁ + 1) / (f(w, d) + k₁ (1 − b + b |d| / mean |d|))
    idf(w) = ln(1 + (N − n(w) + ½) / (n(w) + ½))

with f the count in the document, n the number of documents that have the word, N that of all, k₁ = 1.5, b = 0.75.
S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond", Foundations and Trends in
Information Retrieval 3 (2009); the idf with 1 + is Lucene's, which is never negative, as it must not be where a
word in most of four documents would count against them. Words are folded by case, and plurals by Harman's
S-stemmer (D. Harman, "How effective is suffixing?", JASIS 42 (1991)); those that Lucene leaves out of English are
left out, since among a handful of documents even "there" can be rare.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

_K1, _B = 1.5, 0.75
_WORD = re.compile(r"\w+")
_LEFT_OUT = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
"""
_STOP_WORDS = frozenset(_LEFT_OUT.split())


class Bm25:
    """The index of some documents."""

    def __init__(self, documents: Sequence[str]) -> None:
        import numpy

        counts = [Counter(words(document)) for document in documents]
        self._places = {word: place for place, word in enumerate(dict.fromkeys(w for each in counts for w in each))}
        frequency = numpy.zeros((len(documents), len(self._places)))
        for row, each in enumerate(counts):
            for word, count in each.items():
                frequency[row, self._places[word]] = count
        lengths = frequency.sum(axis=1, keepdims=True)
        # Documents without a word make no division by 0; they get no score.
        fill = 1 - _B + _B * lengths / max(lengths.mean(), 1.0) if len(documents) else lengths
        having = (frequency > 0).sum(axis=0)
        idf = numpy.log1p((len(documents) - having + 0.5) / (having + 0.5))
        self._weights = idf * frequency * (_K1 + 1) / (frequency + _K1 * fill)

    def scores(self, text: str) -> NDArray[numpy.float64]:
        """The score of each document; 0 where it shares no word with ``text``."""
        places = [self._places[word] for word in words(text) if word in self._places]
        total: NDArray[numpy.float64] = self._weights[:, places].sum(axis=1)
        return total


def words(text: str) -> list[str]:
    """The words of ``text`` that tell something, folded by case and plural."""
    return [_singular(word) for word in _WORD.findall(text.casefold()) if word not in _STOP_WORDS]


def _singular(word: str) -> str:
    """Harman's three rules, of which the first that applies is taken."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")) and len(word) > 3:
        return f"{word[:-3]}y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1]
    return word
