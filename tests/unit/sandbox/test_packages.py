import importlib.util
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from maestro_eval.sandbox import PACKAGES_FOLDER, Limits, available, bubblewrap, lacking, run_python

NUMPY = available() or lacking("numpy")
with_numpy = pytest.mark.skipif(NUMPY is not None, reason=str(NUMPY))
WANTING = f"import sys; sys.path.insert(0, {PACKAGES_FOLDER!r}); "


@with_numpy
def test_a_lent_package_is_imported_and_others_are_not() -> None:
    code = WANTING + "import numpy; print(numpy.arange(3).sum())\nimport msgspec"
    result = run_python(code, packages=("numpy", "no-such-package"), limits=Limits(memory_mb=1024))
    assert result.stdout == "3\n"
    assert result.stderr.endswith("ModuleNotFoundError: No module named 'msgspec'\n")


@with_numpy
def test_without_being_named_no_package_is_lent() -> None:
    assert run_python(f"import os; print(os.path.exists({PACKAGES_FOLDER!r}))").stdout == "False\n"


@with_numpy
def test_a_lent_package_cannot_be_changed() -> None:
    origin = importlib.util.find_spec("numpy")
    assert origin is not None
    assert origin.origin is not None
    before = Path(origin.origin).read_bytes()
    code = f"for path in ('{PACKAGES_FOLDER}/numpy/__init__.py', '{PACKAGES_FOLDER}/mine.py'):\n"
    code += "    try: open(path, 'w')\n    except OSError as error: print(error.errno)"
    assert run_python(code, packages=("numpy",)).stdout == "30\n30\n"
    assert Path(origin.origin).read_bytes() == before


def test_a_package_that_is_not_installed_is_named() -> None:
    assert lacking("no-such-package") == "the sandbox has no no-such-package: install it beside maestro-eval"
    assert bubblewrap.mounts_of("no-such-package") == {}


def test_a_compiled_package_fits_its_own_python_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "_system_version", lambda: (3, 99))
    assert lacking.__wrapped__("packaging") is None
    reason = lacking.__wrapped__("msgspec")
    assert reason is not None
    assert "is 3.99; install maestro-eval for that Python" in reason


def test_an_installation_that_does_not_list_its_files_cannot_be_lent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "METADATA").write_text("Name: own\nVersion: 1\n")
    monkeypatch.setattr(bubblewrap, "distribution", lambda _: Distribution.at(tmp_path))
    assert lacking.__wrapped__("own") == (
        "the sandbox has no own: its installation does not list its files; install it with pip"
    )


def test_a_folder_closed_to_others_cannot_be_lent_by_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "closed" / "own-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: own\nVersion: 1\n")
    (metadata / "RECORD").write_text("own.py,,\n")
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(bubblewrap, "distribution", lambda _: Distribution.at(metadata))
    monkeypatch.setattr(bubblewrap, "ordinary_user", lambda: 61184)
    reason = lacking.__wrapped__("own")
    assert reason is not None
    assert "closed to other users" in reason


def test_metadata_and_start_up_hooks_are_not_lent() -> None:
    names = bubblewrap.mounts_of("pytest").keys()
    assert "pytest" in names
    assert not any(name.endswith((".dist-info", ".pth")) for name in names)
    assert distribution("pytest").files
