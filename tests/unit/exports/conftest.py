"""The two run folders, made once for all tests that only read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_eval.exports import Options
from maestro_eval.exports.privacy import Scrubber
from tests.unit.exports.export_worlds import HOME, KEY, broken_run, whole_run

NOW = 1_790_000_500.0


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return broken_run(tmp_path_factory.mktemp("broken") / "run")


@pytest.fixture(scope="session")
def options() -> Options:
    return Options(now=NOW, scrubber=Scrubber.of_environment({"OPENAI_API_KEY": KEY, "HOME": HOME}))


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy that a test may change."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "copy", symlinks=True))
