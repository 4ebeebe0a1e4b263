"""Packages of somebody else on Python's path, with the entry points that pip would have installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from maestro_eval import plugins


@contextmanager
def installed(folder: Path, files: dict[str, str], entry_points: str = "") -> Iterator[None]:
    """``files`` are on the path within, as of a distribution with these entry points."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if entry_points:
        info = folder / "stranger-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        plugins.forget()
        try:
            yield
        finally:
            for name in {path.partition("/")[0].removesuffix(".py") for path in files}:
                for module in [each for each in set(sys.modules) - before if each.partition(".")[0] == name]:
                    del sys.modules[module]
    plugins.forget()
