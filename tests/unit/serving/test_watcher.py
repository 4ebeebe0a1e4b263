"""The watcher lets nothing outlive its pipe, whatever the command does to hide. Real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S, wait_for_end

from maestro_eval.serving import watcher

SCRIPT = watcher.__file__
Start = Callable[..., subprocess.Popen[bytes]]

# Starts a sleeper in a session of its own, says both process ids, and then does what it is told.
FAMILY = """
import os, signal, subprocess, sys, time
sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), sleeper.pid, flush=True)
if "leave" in sys.argv:
    sys.exit(7)
time.sleep(600)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, grace_s: float = PATIENCE_S) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", SCRIPT, str(grace_s), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.stdin and not process.stdin.closed:
            process.stdin.close()
        process.wait(timeout=PATIENCE_S)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def family(
    start: Start, tmp_path: Path, *how: str, grace_s: float = PATIENCE_S
) -> tuple[subprocess.Popen[bytes], list[int]]:
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    process = start(sys.executable, str(script), *how, grace_s=grace_s)
    assert process.stdout
    return process, [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("how", ["the pipe closes", "SIGTERM"])
def test_all_descendants_end(start: Start, tmp_path: Path, how: str) -> None:
    process, pids = family(start, tmp_path)
    if how == "SIGTERM":
        process.terminate()
    else:
        assert process.stdin
        process.stdin.close()
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
    wait_for_end(pids)


def test_what_a_command_leaves_behind_ends_with_it(start: Start, tmp_path: Path) -> None:
    process, pids = family(start, tmp_path, "leave")
    assert process.wait(timeout=PATIENCE_S) == 7
    wait_for_end(pids)


def test_what_does_not_listen_is_killed_after_the_grace(start: Start, tmp_path: Path) -> None:
    process, pids = family(start, tmp_path, "deaf", grace_s=0.5)
    began = time.monotonic()
    process.terminate()
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGKILL
    assert time.monotonic() - began > 0.4
    wait_for_end(pids)


def test_a_second_sigterm_does_without_grace(start: Start, tmp_path: Path) -> None:
    process, pids = family(start, tmp_path, "deaf", grace_s=60)
    process.terminate()
    # It has had the first once the one that is not deaf is gone; two that come together would be one.
    wait_for_end(pids[1:])
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGKILL
    wait_for_end(pids)


def test_a_killed_watcher_takes_the_command_with_it(start: Start, tmp_path: Path) -> None:
    process, (command, sleeper) = family(start, tmp_path)
    process.kill()
    process.wait(timeout=PATIENCE_S)
    wait_for_end([command])
    psutil.Process(sleeper).kill()


@pytest.mark.parametrize(
    ("command", "code"), [(["true"], 0), (["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], 137)]
)
def test_the_exit_code_is_the_commands(start: Start, command: list[str], code: int) -> None:
    assert start(*command).wait(timeout=PATIENCE_S) == code


def test_a_command_that_is_not_there_is_one_line(start: Start) -> None:
    process = start("/no/such/program")
    assert process.wait(timeout=PATIENCE_S) == 127
    assert process.stderr
    assert process.stderr.read() == b"/no/such/program: cannot be run (No such file or directory)\n"
