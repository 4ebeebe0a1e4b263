"""The kinds of recording by name, each with a function that yields its cases, imported on use."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from maestro_eval.records import UserError

KINDS: dict[str, str] = {
    "cases": "replies with their right values under fair, official or strict",
    "names": "names as a policy wrote them, and the expert or skill that each became",
    "scores": "transcripts with the score that the released scorer gave them",
    "parity": "replies of models with the verdicts that a benchmark's authors published",
    "skills": "uses of skills: each model call, what it is sent and in which order",
    "trajectories": "the texts of a policy turn by turn, its calls, and the prompts that it was shown",
}
"""Maps the name of a kind to one line about the content of such a recording."""

_Line = TypeVar("_Line")


class Case(Struct, frozen=True):
    """One recorded case: ``expected`` is recorded, ``got`` is ours; ``id`` locates it in its file."""

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
    """The tally of a recording; ``disagreements`` contains the first ``keep`` of them."""

    keep: int = 10
    cases: int = 0
    agreeing: int = 0
    disagreements: list[Case] = field(default_factory=list)

    @classmethod
    def of(cls, cases: Iterable[Case], keep: int = 10) -> Conformance:
        """Count ``cases`` and store the first ``keep`` disagreements."""
        tally = cls(keep)
        for case in cases:
            tally.cases += 1
            tally.agreeing += case.agrees
            if not case.agrees and len(tally.disagreements) < keep:
                tally.disagreements.append(case)
        return tally

    @property
    def complete(self) -> bool:
        """True if there is at least one case and all agree."""
        return 0 < self.cases == self.agreeing


def cases_of(kind: str, file: Path) -> Iterator[Case]:
    """Return the cases of ``file``, a recording of ``kind``. Raise UserError for an unknown kind or unreadable file."""
    if kind not in KINDS:
        raise UserError(f"conformance {kind}: unknown; there are {', '.join(KINDS)}")
    # These two run rollouts and skills, which needs more imports than judging a text.
    module = kind if kind in ("skills", "trajectories") else "cases"
    check: Check = getattr(importlib.import_module(f"maestro_eval.conformance.{module}"), kind)
    return check(file)


def read_lines(file: Path, form: type[_Line]) -> Iterator[tuple[str, _Line]]:
    """Yield the lines of a JSONL file (gzipped if its name ends in .gz), each with its number as an id.

    UserError names the file, line and field that does not fit ``form``.
    """
    decoder = msgspec.json.Decoder(form)
    number = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield str(number), decoder.decode(line)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: cannot be read: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: line {number}: {error}") from None
