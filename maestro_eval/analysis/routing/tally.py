"""Counting what others wrote, without keeping all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from maestro_eval.analysis.routing.records import Named

REST = "(others)"
# A policy that babbles writes a new name every time: past so many different ones the rest are counted as one.
_MOST_NAMES = 1000
_LONGEST = 160


class Tally:
    """Counts of texts: at most 1,000 different ones, each at most 160 characters; further ones are ``REST``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        shown = " ".join(text[: 4 * _LONGEST].split())
        name = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
        self._counts[name if name in self._counts or len(self._counts) < _MOST_NAMES else REST] += 1

    def most(self, number: int) -> tuple[Named, ...]:
        """The most frequent ones, ties by name; what is beyond ``number`` is summed up last."""
        ranked = sorted(self._counts.items(), key=lambda item: (item[0] == REST, -item[1], item[0]))
        shown = [Named(*item) for item in ranked[:number] if item[0] != REST]
        rest = self._counts.total() - sum(named.count for named in shown)
        return (*shown, Named(REST, rest)) if rest else tuple(shown)


def normalised(text: str) -> Hashable:
    """What two texts share that differ only in case, spacing and a full stop at the end; small, whatever its length."""
    folded = " ".join(text.casefold().split()).rstrip(" .?!")
    return folded if len(folded) <= _LONGEST else (len(folded), hash(folded))
