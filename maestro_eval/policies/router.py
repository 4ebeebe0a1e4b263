"""Route a question by its similarity to the registry's descriptions.

The embeddings are WordLlama's static vectors (256 dimensions, 16 MB, in its wheel): a sentence is the mean of its
tokens' vectors. Nothing is trained on the registry, so an entry added to it is taken up by its description alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maestro_eval.policies.callers import Pair
from maestro_eval.registry import Registry
from maestro_eval.types import UserError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# One miss may be bad luck with words; three experts that cannot tell say something about the question.
_CHOICES = 3
_MODEL = "wordllama l2_supercat_256"


class RouterChooser:
    """Ranks experts by how near the question is to their description; asks each through its nearest skill."""

    def __init__(self, registry: Registry) -> None:
        self._experts = list(registry.experts)
        self._skills = list(registry.skills)
        self._expert_vectors = _embed([entry.description for entry in registry.experts.values()])
        self._skill_vectors = _embed([entry.description for entry in registry.skills.values()])
        # A skill made for an expert reads like it. This may not rank experts: the pair that reads most alike would
        # win every question.
        self._fit = self._expert_vectors @ self._skill_vectors.T

    @property
    def model(self) -> str:
        return f"router({_MODEL})"

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        vector = _embed([question])[0]
        nearness = self._expert_vectors @ vector
        skills = (self._fit + self._skill_vectors @ vector).argmax(axis=1)
        ranked = (-nearness).argsort(kind="stable")[:_CHOICES]
        return tuple(Pair(self._experts[index], self._skills[skills[index]]) for index in ranked)


def _embed(sentences: Sequence[str]) -> NDArray[numpy.float32]:
    """Unit vectors, one row a sentence; a sentence without a word is near to nothing."""
    import numpy

    vectors: NDArray[numpy.float32] = _model().embed(list(sentences))
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
