"""Route a question by its similarity to the registry's descriptions.

By embeddings, WordLlama's static vectors (256 dimensions, 16 MB, in its wheel): a sentence is the mean of its
tokens' vectors. Or by BM25, which needs nothing but the words. Nothing is trained on the registry either way, so an
entry added to it is taken up by its description alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from maestro_eval.policies.baselines import Pair
from maestro_eval.records import UserError
from maestro_eval.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

Similarity = Literal["embeddings", "bm25"]

# One miss may be bad luck with words; three experts that cannot tell say something about the question.
_CHOICES = 3
_MODEL = "wordllama l2_supercat_256"
_K1, _B = 1.5, 0.75
_WORD = re.compile(r"\w+")
_LEFT_OUT = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
"""
_STOP_WORDS = frozenset(_LEFT_OUT.split())


class _Index(Protocol):
    """Documents, and how near a text is to each of them."""

    def scores(self, text: str) -> NDArray[Any]: ...


class RouterStrategy:
    """Ranks experts by how near the question is to their description; asks each through its nearest skill."""

    def __init__(self, registry: Registry, by: Similarity = "embeddings") -> None:
        import numpy

        self._experts = list(registry.experts)
        self._skills = list(registry.skills)
        self.model = f"router({'bm25' if by == 'bm25' else _MODEL})"
        index: type[Bm25] | type[_Embedded] = Bm25 if by == "bm25" else _Embedded
        descriptions = [entry.description for entry in registry.experts.values()]
        self._near_experts: _Index = index(descriptions)
        self._near_skills: _Index = index([entry.description for entry in registry.skills.values()])
        # A skill made for an expert reads like it. This may not rank experts: the pair that reads most alike would
        # win every question.
        self._fit = numpy.stack([self._near_skills.scores(description) for description in descriptions])

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        nearness = self._near_experts.scores(question)
        skills = (self._fit + self._near_skills.scores(question)).argmax(axis=1)
        ranked = (-nearness).argsort(kind="stable")[:_CHOICES]
        return tuple(Pair(self._experts[index], self._skills[skills[index]]) for index in ranked)


class _Embedded:
    """Documents as unit vectors; a sentence without a word is near to nothing."""

    def __init__(self, documents: Sequence[str]) -> None:
        self._vectors = _embed(documents)

    def scores(self, text: str) -> NDArray[Any]:
        found: NDArray[Any] = self._vectors @ _embed([text])[0]
        return found


def _embed(sentences: Sequence[str]) -> NDArray[Any]:
    """Unit vectors, one row a sentence; a sentence without a word is all zeros."""
    import numpy

    vectors: NDArray[Any] = _model().embed(list(sentences))
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    # Division by the length, but for lengths of 0.
    numpy.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors


@cache
def _model() -> Any:
    try:
        import wordllama  # type: ignore[import-untyped]
        from wordllama import WordLlama
    except ImportError as error:
        raise UserError("policy router: wordllama is not installed; pip install 'maestro-eval[embedded]'") from error
    # The wheel keeps its tokenizer where load() looks only in a cache folder: the wheel's own folder is given as one.
    return WordLlama.load(
        config="l2_supercat", dim=256, cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )


if TYPE_CHECKING:
    from numpy.typing import NDArray


class Bm25:
    """The fit of a text's words to a document's: Okapi BM25 over a handful of short documents.

        score(q, d) = Σ over words w of q: idf(w) · f(w, d) (k₁ + 1) / (f(w, d) + k₁ (1 − b + b |d| / mean |d|))
        idf(w) = ln(1 + (N − n(w) + ½) / (n(w) + ½))

    with f the count in the document, n the number of documents that have the word, N that of all, k₁ = 1.5, b = 0.75.
    S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond", Foundations and Trends in
    Information Retrieval 3 (2009); the idf with 1 + is Lucene's, which is never negative, as it must not be where a
    word in most of four documents would count against them. Words are folded by case, and plurals by Harman's
    S-stemmer (D. Harman, "How effective is suffixing?", JASIS 42 (1991)); those that Lucene leaves out of English are
    left out, since among a handful of documents even "there" can be rare.
    """

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

    def scores(self, text: str) -> NDArray[Any]:
        """The score of each document; 0 where it shares no word with ``text``."""
        places = [self._places[word] for word in words(text) if word in self._places]
        total: NDArray[Any] = self._weights[:, places].sum(axis=1)
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
