"""Ordinary code, under both isolations; the hostile kind is in ``tests/integration/test_sandbox_escape.py``."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_eval.records import RolloutFailure, UserError
from maestro_eval.sandbox import Isolation, Limits, available, run_python

BUBBLEWRAP_MISSING = available()
ISOLATIONS = [
    pytest.param("bubblewrap", marks=pytest.mark.skipif(bool(BUBBLEWRAP_MISSING), reason=str(BUBBLEWRAP_MISSING))),
    "process",
]
both = pytest.mark.parametrize("isolation", ISOLATIONS)


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """First on the PATH, and open to the user that we drop to where we are root, as pytest's folders are not."""
    with tempfile.TemporaryDirectory(prefix="fake-bwrap-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{name}:/usr/bin:/bin")
        yield Path(name)


def fake_bwrap(folder: Path, script: str) -> None:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@both
def test_what_it_prints_comes_back(isolation: Isolation) -> None:
    result = run_python("print('Grüße, 世界')", isolation=isolation)
    assert (result.reason, result.exit_code, result.stdout, result.stderr) == ("ok", 0, "Grüße, 世界\n", "")
    assert result.elapsed_s > 0


@both
def test_it_reads_its_input(isolation: Isolation) -> None:
    text = "a\n" * 200_000
    result = run_python("import sys; print(len(sys.stdin.read()))", stdin=text, isolation=isolation)
    assert result.stdout == f"{len(text)}\n"


@both
def test_an_unread_input_does_not_hang(isolation: Isolation) -> None:
    assert run_python("pass", stdin="x" * (1 << 20), isolation=isolation).reason == "ok"


@both
def test_an_exception_is_an_error_with_its_traceback(isolation: Isolation) -> None:
    result = run_python("def f(x):\n    return 1 / x\nf(0)", isolation=isolation)
    assert (result.reason, result.exit_code) == ("error", 1)
    assert "line 2, in f" in result.stderr
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


@both
@pytest.mark.parametrize(
    ("code", "exit_code"), [("raise SystemExit(7)", 7), ("import ctypes; ctypes.string_at(0)", 139)]
)
def test_the_exit_code_is_kept(isolation: Isolation, code: str, exit_code: int) -> None:
    result = run_python(code, isolation=isolation)
    assert (result.reason, result.exit_code) == ("error", exit_code)


@both
def test_child_processes_threads_and_files_work(isolation: Isolation) -> None:
    code = """
import subprocess, threading, tempfile
threading.Thread(target=lambda: print("thread", flush=True)).start()
print(subprocess.run(["uname"], capture_output=True, text=True).stdout.strip())
with open("here.txt", "w") as file: file.write("file")
print(open("here.txt").read())
"""
    assert sorted(run_python(code, isolation=isolation).stdout.split()) == ["Linux", "file", "thread"]


@both
def test_nothing_is_left_from_one_run_to_the_next(isolation: Isolation) -> None:
    code = "import os; print(os.path.exists('mark')); open('mark', 'w').close()"
    assert [run_python(code, isolation=isolation).stdout for _ in range(2)] == ["False\n", "False\n"]


@both
def test_output_before_a_timeout_is_kept(isolation: Isolation) -> None:
    result = run_python(
        "print('so far', flush=True)\nimport time; time.sleep(600)", limits=Limits(wall_s=3), isolation=isolation
    )
    assert (result.reason, result.exit_code, result.stdout) == ("timeout", None, "so far\n")
    assert 3 <= result.elapsed_s < 60


@both
def test_closed_outputs_are_not_taken_for_the_end(isolation: Isolation) -> None:
    result = run_python("import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(3)", isolation=isolation)
    assert (result.reason, result.exit_code) == ("error", 3)


@both
@pytest.mark.parametrize("code", ["'\ud800'", "a\0b", "def"])
def test_text_that_is_no_program_is_an_error(isolation: Isolation, code: str) -> None:
    assert run_python(code, isolation=isolation).reason == "error"


@both
def test_bytes_that_are_no_text_are_replaced(isolation: Isolation) -> None:
    result = run_python("import sys; sys.stdout.buffer.write(b'\\xff!')", isolation=isolation)
    assert (result.reason, result.stdout) == ("ok", "\ufffd!")


@both
def test_code_without_bound_is_refused(isolation: Isolation) -> None:
    result = run_python("#" * (1 << 20) + "\n", isolation=isolation)
    assert (result.reason, result.exit_code) == ("refused", None)


@both
def test_no_descriptor_of_ours_is_inherited(isolation: Isolation) -> None:
    code = """
import os
for number in range(3, 64):
    try:
        os.fstat(number)
        print(number)
    except OSError:
        pass
"""
    assert run_python(code, isolation=isolation).stdout == ""


@both
def test_runs_leave_no_descriptor_open(isolation: Isolation) -> None:
    run_python("pass", isolation=isolation)
    before = len(os.listdir("/proc/self/fd"))
    run_python("pass", isolation=isolation)
    run_python("while True: pass", limits=Limits(wall_s=0.2), isolation=isolation)
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_bwrap_the_package_and_the_alternative_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"'bubblewrap'.*--sandbox=process") as raised:
        run_python("pass")
    assert available() == str(raised.value)
    assert "\n" not in str(raised.value)
    assert available("process") is None


def test_a_machine_without_namespaces_is_the_users_to_mend(open_folder: Path) -> None:
    fake_bwrap(open_folder, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    with pytest.raises(UserError, match=r"uid map: Permission denied.*--sandbox=process"):
        run_python("pass")


@pytest.mark.skipif(bool(BUBBLEWRAP_MISSING), reason=str(BUBBLEWRAP_MISSING))
def test_a_sandbox_that_fails_later_is_no_fault_of_the_code(open_folder: Path) -> None:
    real, switch = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin"), open_folder / "broken"
    fake_bwrap(open_folder, f"[ -e {switch} ] && {{ echo 'bwrap: no space' >&2; exit 1; }}; exec {real} \"$@\"")
    assert run_python("print(1)").reason == "ok"
    switch.touch()
    with pytest.raises(RolloutFailure, match="harness: sandbox: bwrap: no space"):
        run_python("print(1)")
