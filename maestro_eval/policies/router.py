"""Routing of a question by its similarity to the registry's descriptions.

The similarity is that of embeddings (WordLlama's static vectors, 256 dimensions, 16 MB, in its wheel: a sentence is the
mean of its tokens' vectors) or BM25, which needs the words alone. Neither is trained on the registry, so a new entry
needs only a description.
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

# One expert without an answer may be chance; three in a row say something about the question.
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
    """Documents, and the similarity of a text to each of them."""

    def scores(self, text: str) -> NDArray[Any]: ...


class RouterStrategy:
    """Ranks experts by the similarity of question and description, each with its most similar skill."""

    def __init__(self, registry: Registry, by: Similarity = "embeddings") -> None:
        import numpy

        self._experts = list(registry.experts)
        self._skills = list(registry.skills)
        self.model = f"router({'bm25' if by == 'bm25' else _MODEL})"
        index: type[Bm25] | type[_Embedded] = Bm25 if by == "bm25" else _Embedded
        descriptions = [entry.description for entry in registry.experts.values()]
        self._near_experts: _Index = index(descriptions)
        self._near_skills: _Index = index([entry.description for entry in registry.skills.values()])
        # The description of a skill made for an expert resembles that expert's. This must not rank experts: the pair
        # with the most similar descriptions would win every question.
        self._fit = numpy.stack([self._near_skills.scores(description) for description in descriptions])

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        nearness = self._near_experts.scores(question)
        skills = (self._fit + self._near_skills.scores(question)).argmax(axis=1)
        ranked = (-nearness).argsort(kind="stable")[:_CHOICES]
        return tuple(Pair(self._experts[index], self._skills[skills[index]]) for index in ranked)


class _Embedded:
    """Documents as unit vectors; the similarity to a sentence without a word is 0."""

    def __init__(self, documents: Sequence[str]) -> None:
        self._vectors = _embed(documents)

    def scores(self, text: str) -> NDArray[Any]:
        found: NDArray[Any] = self._vectors @ _embed([text])[0]
        return found


def _embed(sentences: Sequence[str]) -> NDArray[Any]:
    """Return unit vectors, one row per sentence; zeros for a sentence without a word."""
    import numpy

    vectors: NDArray[Any] = _model().embed(list(sentences))
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    # Divide by the lengths, except where they are 0.
    numpy.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors


@cache
def _model() -> Any:
    try:
        import wordllama  # type: ignore[import-untyped]
        from wordllama import WordLlama
    except ImportError as error:
        raise UserError("policy router: wordllama is not installed; pip install 'maestro-eval[embedded]'") from error
    # load() looks for the tokenizer in a cache folder only, so we pass the wheel's own folder, which contains it.
    return WordLlama.load(
        config="l2_supercat", dim=256, cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )


class Bm25:
    """Okapi BM25: scores of a text's words against a few short documents.

        score(q, d) = Σ over words w of q: idf(w) · f(w, d) (k₁ + 1) / (f(w, d) + k₁ (1 − b + b |d| / mean |d|))
        idf(w) = ln(1 + (N − n(w) + ½) / (n(w) + ½))

    with f the count in the document, n the number of documents that have the word, N that of all, k₁ = 1.5, b = 0.75.
    S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond", Foundations and Trends in
    Information Retrieval 3 (2009); the idf with 1 + is Lucene's, which is never negative: otherwise a word in
    three of four documents would count against them. Words are folded by case, and plurals by Harman's S-stemmer (D.
    Harman, "How effective is suffixing?", JASIS 42 (1991)); Lucene's English stop words are omitted, since among a few
    documents even "there" can be rare.
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
        # Documents without a word cause no division by 0; their score is 0.
        fill = 1 - _B + _B * lengths / max(lengths.mean(), 1.0) if len(documents) else lengths
        having = (frequency > 0).sum(axis=0)
        idf = numpy.log1p((len(documents) - having + 0.5) / (having + 0.5))
        self._weights = idf * frequency * (_K1 + 1) / (frequency + _K1 * fill)

    def scores(self, text: str) -> NDArray[Any]:
        """Return the score of each document; 0 if it shares no word with ``text``."""
        places = [self._places[word] for word in words(text) if word in self._places]
        total: NDArray[Any] = self._weights[:, places].sum(axis=1)
        return total


def words(text: str) -> list[str]:
    """Return the words of ``text`` without stop words, folded by case and plural."""
    return [_singular(word) for word in _WORD.findall(text.casefold()) if word not in _STOP_WORDS]


def _singular(word: str) -> str:
    """Apply the first of Harman's three rules that fits."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")) and len(word) > 3:
        return f"{word[:-3]}y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1]
    return word
