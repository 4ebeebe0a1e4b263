"""The recordings of the real release in ``../shared/release``, which are not part of the product."""

from __future__ import annotations

from pathlib import Path

import pytest


def recording(name: str) -> Path:
    """The recording called ``name``; the test is skipped where it is not there."""
    for parent in Path(__file__).resolve().parents:
        found = parent / "shared" / "release" / name
        if found.is_file():
            return found
    pytest.skip(f"no recording of the release: ../shared/release/{name}")
