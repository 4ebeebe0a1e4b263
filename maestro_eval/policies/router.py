"""Route a question by its similarity to the registry's descriptions.

By embeddings, WordLlama's static vectors (256 dimensions, 16 MB, in its wheel): a sentence is the mean of its
tokens' vectors. Or by BM25, which needs nothing but the words. Nothing is trained on the registry either way, so an
entry added to it is taken up by its description alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from maestro_eval.policies.baselines import Pair
from maestro_eval.policies.bm25 import Bm25
from maestro_eval.records import UserError
from maestro_eval.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

Similarity = Literal["embeddings", "bm25"]

# One miss may be bad luck with words; three experts that cannot tell say something about the question.
_CHOICES = 3
_MODEL = "wordllama l2_supercat_256"


class _Index(Protocol):
    """Documents, and how near a text is to each of them."""

    def scores(self, text: str) -> NDArray[Any]: ...


class RouterStrategy:
    """Ranks experts by how near the question is to their description; asks each through its nearest skill."""

    def __init__(self, registry: Registry, by: Similarity = "embeddings") -> None:
        import numpy

        self._experts = list(registry.experts)
        self._skills = list(registry.skills)
        self._model = "bm25" if by == "bm25" else _MODEL
        index: type[Bm25] | type[_Embedded] = Bm25 if by == "bm25" else _Embedded
        descriptions = [entry.description for entry in registry.experts.values()]
        self._near_experts: _Index = index(descriptions)
        self._near_skills: _Index = index([entry.description for entry in registry.skills.values()])
        # A skill made for an expert reads like it. This may not rank experts: the pair that reads most alike would
        # win every question.
        self._fit = numpy.stack([self._near_skills.scores(description) for description in descriptions])

    @property
    def model(self) -> str:
        return f"router({self._model})"

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
