"""A program of ours has another revision once anything that computes in it has changed."""

import pytest

from maestro_eval.embedded import start
from maestro_eval.registry import load_registry
from maestro_eval.runtime.endpoints import program_revisions


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A stand-in for the embedded experts' folder."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "deep" / "b.json").write_text("{}")
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    return tmp_path


def revision_now() -> str:
    return program_revisions(load_registry("embedded"))["embedded"]


@pytest.mark.parametrize("change", ["source", "data", "new file", "name"])
def test_a_change_of_any_file_is_a_new_revision(folder, change):
    before = revision_now()
    match change:
        case "source":
            (folder / "a.py").write_text("two")
        case "data":
            (folder / "deep" / "b.json").write_text("[]")
        case "new file":
            (folder / "c.py").write_text("")
        case "name":
            (folder / "a.py").rename(folder / "z.py")
    assert revision_now() != before


def test_what_the_interpreter_writes_is_none(folder):
    before = revision_now()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("compiled")
    assert revision_now() == before


def test_another_version_of_a_library_is_a_new_revision(folder, monkeypatch):
    before = revision_now()
    monkeypatch.setattr(start.metadata, "version", lambda name: "99")
    assert revision_now() != before


def test_the_embedded_experts_have_one():
    assert len(revision_now()) == 64
