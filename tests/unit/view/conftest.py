"""A site over two systems, made once for the modules here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from view_worlds import two_systems

from maestro_eval.view import Library, Pictures, Site


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_systems(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def library(world: Path) -> Iterator[Library]:
    library = Library([world], patience=20)
    yield library
    library.close()


@pytest.fixture
def site(library: Library) -> Site:
    return Site(library, Pictures())


@pytest.fixture
def ids(library: Library) -> dict[str, str]:
    """The ids of the runs by name."""
    return {run.name: run.id for run in library.runs()}
