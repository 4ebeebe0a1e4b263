"""The one note in a rollout's record that is counted afterwards: written and read in one place."""

from __future__ import annotations

import re

_MISSING = re.compile(r"service (?P<service>[^\s]+) missing for image \d+: ")


def missing_note(service: str, image: int, why: str) -> str:
    """That ``service`` gave nothing for image number ``image``."""
    return f"service {service} missing for image {image}: {why}"


def missing_service(note: str) -> str | None:
    """The service that a note says is missing; None for every other note."""
    found = _MISSING.match(note)
    return found["service"] if found else None
