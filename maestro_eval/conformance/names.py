"""Names as a policy wrote them, and what the released system made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from maestro_eval.conformance.kinds import read_lines
from maestro_eval.conformance.records import Case
from maestro_eval.registry import released_expert, released_skill


class _Line(Struct, frozen=True):
    what: Literal["expert", "skill"]
    written: str
    becomes: str | None = field(name="is")


def cases(file: Path) -> Iterator[Case]:
    """A case for each written name: what it is found as, or ``name error``."""
    for number, line in read_lines(file, _Line):
        found = released_expert(line.written) if line.what == "expert" else released_skill(line.written)
        yield Case(f"{number} ({line.what} {line.written!r})", line.becomes or "name error", found or "name error")
