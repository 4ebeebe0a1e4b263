"""The input of a generator: a sample's position in its benchmark, and a random stream that depends only on that.

Every sample has its own random stream, seeded by (seed, task, index, attempt). So sample 7 is the same in a
benchmark of ten and of a thousand, and two machines make the same rows. What must be balanced, above all the
answers, is *dealt* like cards instead of drawn: each run of n successive samples has each of the n options
once, in a random order.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL import Image

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image and the file name it would have."""

    data: bytes
    path: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Sample ``index`` of ``task`` under ``seed``; ``attempt`` counts the tries that repeated an earlier row."""

    seed: int
    task: str
    index: int
    attempt: int = 0

    def rng(self, purpose: str = "") -> Generator:
        """Return the sample's random stream; the same purpose gives the same stream."""
        from numpy.random import default_rng

        return default_rng([self.seed, _number(self.task), self.index, self.attempt, _number(purpose)])

    def deal(self, what: str, options: Sequence[T]) -> T:
        """Return one of ``options``, each equally often over successive samples; the attempt does not matter."""
        from numpy.random import default_rng

        block, place = divmod(self.index, len(options))
        order = default_rng([self.seed, _number(self.task), _number(what), block]).permutation(len(options))
        return options[int(order[place])]

    def retry(self) -> Stage:
        return replace(self, attempt=self.attempt + 1)

    def picture(self, image: Image.Image, *, jpeg: int = 0) -> Picture:
        """Return ``image`` encoded as PNG, or as JPEG of quality ``jpeg`` if that is not 0."""
        encoded = io.BytesIO()
        if jpeg:
            image.save(encoded, "JPEG", quality=jpeg)
        else:
            image.save(encoded, "PNG", compress_level=3)
        return Picture(encoded.getvalue(), f"{self.task}_{self.index}.{'jpg' if jpeg else 'png'}")


def pick(rng: Generator, options: Sequence[T]) -> T:
    """Return one of ``options`` unchanged (``Generator.choice`` would convert it into a numpy scalar)."""
    return options[int(rng.integers(len(options)))]


def some(rng: Generator, options: Sequence[T], count: int) -> list[T]:
    """Return ``count`` different ones of ``options``, in random order."""
    return [options[int(place)] for place in rng.permutation(len(options))[:count]]


def _number(name: str) -> int:
    return zlib.crc32(name.encode())
