"""One recorded case held against ours, and the tally of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct


class Case(Struct, frozen=True):
    """One recorded case: ``expected`` is the recording's, ``got`` is ours; ``id`` finds it in its file."""

    id: str
    expected: str
    got: str

    @property
    def agrees(self) -> bool:
        return self.expected == self.got


Check = Callable[[Path], Iterator[Case]]
"""Yields the cases of a recording. UserError for a file that is not such a recording."""


@dataclass
class Conformance:
    """The tally of a recording; ``disagreements`` are the first ``keep`` of them."""

    keep: int = 10
    cases: int = 0
    agreeing: int = 0
    disagreements: list[Case] = field(default_factory=list)

    @classmethod
    def of(cls, cases: Iterable[Case], keep: int = 10) -> Conformance:
        """Count ``cases``, holding no more than ``keep`` of them."""
        tally = cls(keep)
        for case in cases:
            tally.cases += 1
            tally.agreeing += case.agrees
            if not case.agrees and len(tally.disagreements) < keep:
                tally.disagreements.append(case)
        return tally

    @property
    def complete(self) -> bool:
        """True when all agree, and there is at least one."""
        return 0 < self.cases == self.agreeing
