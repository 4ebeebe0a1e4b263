"""A file is written whole or not at all."""

import errno
import os
import stat

import pytest

from maestro_eval.files import write_atomic
from maestro_eval.records import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_text_and_bytes_into_folders_that_it_makes(tmp_path):
    write_atomic(tmp_path / "a" / "b" / "text.json", "ü")
    write_atomic(tmp_path / "a" / "bytes", b"\x00")
    assert (tmp_path / "a" / "b" / "text.json").read_text(encoding="utf-8") == "ü"
    assert (tmp_path / "a" / "bytes").read_bytes() == b"\x00"


def test_replaces_and_leaves_nothing_else_behind(tmp_path):
    for text in ("old", "new"):
        write_atomic(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_others_may_read_it(tmp_path):
    write_atomic(tmp_path / "file", "x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_the_old_file_stays_whole_when_writing_fails(tmp_path, monkeypatch, call, code):
    target = tmp_path / "file"
    write_atomic(target, "old")

    def fails(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(UserError) as caught:
        write_atomic(target, "new")
    message = str(caught.value)
    assert message.startswith(f"{target}: cannot be written ({os.strerror(code)})")
    assert "\n" not in message
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_the_first_failure_is_told_when_tidying_up_fails_too(tmp_path, monkeypatch):
    def fails(code: int):
        def fail(*args: object) -> None:
            raise OSError(code, os.strerror(code))

        return fail

    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    monkeypatch.setattr(os, "unlink", fails(errno.EROFS))
    with pytest.raises(UserError, match="No space left"):
        write_atomic(tmp_path / "file", "new")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/below: cannot be written"):
        write_atomic(tmp_path / "file" / "below", "x")


def test_a_target_that_is_a_folder_is_a_user_error(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="target: cannot be written"):
        write_atomic(tmp_path / "target", "x")
    assert names(tmp_path) == ["target"]
