"""One server and one undisturbed run for all kills of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from integration.conftest import ROOT, process  # noqa: F401  a fixture here too
from kill import harness


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """The process that drivers are forked from finds this checkout and these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Bench]:
    with harness.bench(tmp_path_factory.mktemp("bench")) as made:
        yield made
