"""Finds the YAML that ships with the package: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled(kind: Literal["tasks", "registries", "presets", "references"]) -> Path:
    """Return the folder of bundled task files, registries, presets or published numbers."""
    installed = _PACKAGE / "_bundled" / kind
    if installed.is_dir():
        return installed
    if kind == "presets":
        return _PACKAGE / "runtime" / "presets"
    if kind == "references":
        return _PACKAGE.parent / "results" / "reference"
    return _PACKAGE.parent / kind
