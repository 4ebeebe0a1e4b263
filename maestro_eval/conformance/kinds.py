"""The kinds of recording by name; each is a module here with a function ``cases``, imported when it is asked for."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from maestro_eval.conformance.records import Case, Check
from maestro_eval.records import UserError

KINDS: dict[str, str] = {
    "cases": "replies and what they are worth under fair, official or strict",
    "names": "names as a policy wrote them, and the expert or skill that each became",
    "scores": "transcripts with the score that the released scorer gave them",
    "parity": "replies of models with the verdicts that a benchmark's authors published",
    "skills": "uses of skills: each model call, what it is sent and in which order",
    "trajectories": "what a policy said turn by turn, what was called, and the prompts that it was shown",
}
"""Name → one line on what a recording of that kind holds."""

_Line = TypeVar("_Line")


def cases_of(kind: str, file: Path) -> Iterator[Case]:
    """The cases of ``file``, a recording of ``kind``. UserError for an unknown kind or an unreadable file."""
    if kind not in KINDS:
        raise UserError(f"conformance {kind}: unknown; there are {', '.join(KINDS)}")
    check: Check = importlib.import_module(f"maestro_eval.conformance.{kind}").cases
    return check(file)


def read_lines(file: Path, form: type[_Line]) -> Iterator[tuple[str, _Line]]:
    """The lines of a JSONL file (gzipped where its name ends so), each with its number as an id.

    UserError names the file, the line and the field of what does not fit ``form``.
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
