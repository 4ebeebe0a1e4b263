"""The n-th write, fsync, rename or removal fails, for every n: a folder is a run that goes on, or no run at all.

Twice: in this process, where the calls of Python's ``os`` are refused; and under ``strace``, which makes the kernel
refuse those of SQLite too.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from small_worlds import small_manifest

from maestro_eval.journal import Finished, Journal, read_manifest
from maestro_eval.records import (
    Accepted,
    Answered,
    Rollout,
    RolloutKey,
    Sample,
    UserError,
)

PROJECT = Path(__file__).parents[2]
MANIFEST = small_manifest()
AMENDED = replace(MANIFEST, accepted=(Accepted("registry", "h", "i", 1.0),))
KEYS = [RolloutKey("task", f"{number:03}") for number in range(24)]
BATCHES = [KEYS[:8], KEYS[8:16], KEYS[16:]]


def finished(key: RolloutKey) -> Finished:
    # Characters that do not compress, so that a batch needs several pages.
    prompt = "".join(chr(0x4E00 + (int(key.sample_id) * 7919 + i * i * 31) % 20000) for i in range(600))
    return Finished(
        Rollout(key, Answered("4"), (), prompt, "c", seed=1),
        Sample(key.task, key.sample_id, "?", ("4",), content_hash="c"),
    )


def live(folder: Path, step: Callable[[str], None]) -> None:
    """A short run: created, three batches, amended, closed; ``step`` is told after each what is done."""
    with Journal.create(folder, MANIFEST, KEYS) as journal:
        step("created")
        for batch in BATCHES:
            journal.commit([finished(key) for key in batch])
            step("committed")
        journal.amend(AMENDED)
        step("amended")
    step("closed")


def go_on(folder: Path, step: Callable[[str], None]) -> None:
    """The second half of a run that was killed: opened, what is left committed, amended, closed."""
    with Journal.open(folder) as journal:
        step("opened")
        journal.commit([finished(key) for key in journal.pending()])
        step("committed")
        journal.amend(AMENDED)
        step("amended")
    step("closed")


def check(folder: Path, steps: list[str]) -> None:
    """Nothing that was done is lost, no batch is there in part, and the folder takes the rest."""
    if not (folder / "manifest.json").exists():
        assert steps == []
        Journal.create(folder, MANIFEST, KEYS).close()
    assert ("amended" not in steps) or read_manifest(folder) == AMENDED
    assert read_manifest(folder) in (MANIFEST, AMENDED)
    with Journal.open(folder) as journal:
        assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = [rollout.key for rollout, _ in journal.rollouts()]
        # A batch whose commit failed may be there all the same, as a whole.
        assert found in [KEYS[:8] * (n > 0) + KEYS[8:16] * (n > 1) + KEYS[16:] * (n > 2) for n in range(4)]
        assert len(found) >= 8 * steps.count("committed")
        assert [*found, *journal.pending()] == KEYS
        journal.commit([finished(key) for key in journal.pending()])
        assert journal.counts().answered == len(KEYS)


class Refusing:
    """Lets ``os`` and ``tempfile`` do what changes a disk until the n-th time, and refuses that one."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.calls = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for module, name in (
            (os, "fsync"), (os, "replace"), (os, "chmod"), (os, "mkdir"), (os, "unlink"), (os, "open"),
            (os, "ftruncate"), (tempfile, "mkstemp"), (os, "fdopen"),
        ):  # fmt: skip
            patch.setattr(module, name, self._refusing(getattr(module, name)))

    def _refusing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def refusing(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.n:
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*arguments, **options)

        return refusing


def test_any_call_that_python_makes_may_fail(tmp_path: Path) -> None:
    n, told = 0, []
    while True:
        n += 1
        folder = tmp_path / str(n)
        steps: list[str] = []
        refusing = Refusing(n)
        with pytest.MonkeyPatch.context() as patch:
            refusing.install(patch)
            try:
                live(folder, steps.append)
            except UserError as error:
                told.append(str(error))
        check(folder, steps)
        if refusing.calls < n:
            break
    assert steps == ["created", "committed", "committed", "committed", "amended", "closed"]
    assert len(told) >= 12
    for message in told:
        assert "\n" not in message
        assert message.startswith(str(tmp_path))


def test_a_disk_may_be_full_at_any_page(tmp_path: Path) -> None:
    room = 0
    while True:
        folder = tmp_path / str(room)
        with Journal.create(folder, MANIFEST, KEYS) as journal:
            journal.commit([finished(key) for key in BATCHES[0]])
            pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
            journal._connection.execute(f"PRAGMA max_page_count = {pages + room}")
            steps, refusal = ["created", "committed"], ""
            try:
                journal.commit([finished(key) for key in BATCHES[1]])
                steps.append("committed")
            except UserError as error:
                refusal = str(error)
        assert refusal.startswith(f"{folder}: the disk is full; what was committed is safe") == (len(steps) == 2)
        check(folder, steps)
        if len(steps) == 3:
            break
        room += 1
    assert room >= 3


WRITES = "write,pwrite64,writev,pwritev"
REFUSALS = [
    pytest.param(WRITES, "ENOSPC", "", marks=pytest.mark.slow),
    pytest.param(WRITES, "ENOSPC", "+", marks=pytest.mark.slow),
    pytest.param(WRITES, "EIO", "", marks=pytest.mark.slow),
    pytest.param("fsync,fdatasync", "EIO", ""),
    pytest.param("fsync,fdatasync", "ENOSPC", "+", marks=pytest.mark.slow),
    pytest.param("rename,renameat,renameat2", "ENOSPC", ""),
    pytest.param("ftruncate", "ENOSPC", ""),
    pytest.param("ftruncate", "ENOSPC", "+", marks=pytest.mark.slow),
    pytest.param("unlink,unlinkat", "EACCES", "", marks=pytest.mark.slow),
]
"""System calls, how they are refused, and whether only the n-th of them or (+) all from that one on."""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("what", ["live", "go_on"])
@pytest.mark.parametrize(("calls", "error", "on"), REFUSALS)
def test_any_call_to_the_kernel_may_fail(tmp_path: Path, what: str, calls: str, error: str, on: str) -> None:
    killed = killed_run(tmp_path / "killed")
    n, refused = 0, 0
    while True:
        n += 1
        folder = tmp_path / str(n)
        if what == "go_on":
            shutil.copytree(killed, folder)
        steps, told, injected = under_strace(folder, what, f"{calls}:error={error}:when={n}{on}")
        assert "\n" not in told, told
        assert told == "" or told.startswith(str(tmp_path)), told
        assert told or steps[-1:] == ["closed"]
        check(folder, (["created", "committed"] if what == "go_on" else []) + steps)
        if not injected:
            break
        refused += bool(told)
    assert told == ""
    assert n > 1
    print(f"{what} {calls} {error}{on}: {n - 1} calls, {refused} told")


def killed_run(folder: Path) -> Path:
    """A run folder as a killed driver leaves it: the first batch is in the write-ahead log only."""
    child = f"import os, signal; from test_write_failures import *; journal = Journal.create(Path({str(folder)!r}), "
    child += "MANIFEST, KEYS); journal.commit([finished(key) for key in BATCHES[0]]); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", child], env=environment(), check=False).returncode == -9
    assert (folder / "journal.db-wal").stat().st_size > 0
    return folder


def under_strace(folder: Path, what: str, inject: str) -> tuple[list[str], str, bool]:
    """Live a run in a process whose kernel refuses: the steps it made, the error it told, whether any was refused."""
    # What it says goes through shared memory, where no system call is needed.
    said = folder.with_suffix(".said")
    said.write_bytes(bytes(4096))
    trace = folder.with_suffix(".strace")
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", f"inject={inject}", "-e", "trace=none"]
    command[-1] = f"trace={inject.partition(':')[0]}"
    child = f"from test_write_failures import *; told({str(folder)!r}, {str(said)!r}, {what})"
    done = subprocess.run([*command, sys.executable, "-c", child], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    steps, _, error = said.read_bytes().rstrip(b"\0").decode().partition("|")
    return steps.split(), error, "(INJECTED)" in trace.read_text()


def told(folder: str, said: str, what: Callable[[Path, Callable[[str], None]], None]) -> None:
    """In the child: do it, and leave the steps and the error of it in ``said``."""
    with open(said, "r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:

        def step(name: str) -> None:
            memory.write(f"{name} ".encode())

        error = ""
        try:
            what(Path(folder), step)
        except UserError as refusal:
            error = str(refusal)
        memory.write(f"|{error}".encode())


def environment() -> dict[str, str]:
    here = os.pathsep.join([str(PROJECT), str(PROJECT / "tests"), str(Path(__file__).parent)])
    return {**os.environ, "PYTHONPATH": here, "PYTHONDONTWRITEBYTECODE": "1"}
