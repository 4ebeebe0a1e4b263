"""One writer a folder, as long as it lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_eval.journal.database import FolderLock
from maestro_eval.records import UserError

PROJECT = Path(__file__).parents[3]


def test_a_second_writer_is_told_who_is_there(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(UserError, match=rf"another maestro-eval \(process {os.getpid()}\)"):
        FolderLock(tmp_path)
    lock.close()


def test_closing_lets_the_next_one_in_and_may_be_repeated(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    first.close()
    first.close()
    FolderLock(tmp_path).close()


def test_a_subprocess_that_outlives_the_holder_does_not_keep_it(tmp_path: Path) -> None:
    holder = """
import subprocess, sys
from pathlib import Path
from maestro_eval.journal.database import FolderLock

lock = FolderLock(Path(sys.argv[1]))
script = "import sys; print('up', flush=True); sys.stdin.read()"
subprocess.Popen([sys.executable, "-c", script], close_fds=False, stdout=subprocess.PIPE).stdout.readline()
sys.stdout.write("started")
sys.stdout.flush()
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(7) == b"started"
        with pytest.raises(UserError, match="another maestro-eval"):
            FolderLock(tmp_path)
        process.kill()
        process.wait()
        # The grandchild still reads the pipe that is open here, so it lives.
        FolderLock(tmp_path).close()


def test_a_folder_that_is_gone_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.lock: cannot be opened"):
        FolderLock(tmp_path / "gone")
