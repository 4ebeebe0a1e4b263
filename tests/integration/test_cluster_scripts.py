"""The Slurm script with stand-ins for Slurm, Ray and the command: what is started, and what becomes of a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S, wait_until

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.sh"
ADDRESS = "10.1.2.3:6379"
# Says what it was called with; ends with the code in the file `code`, or with 4 at SIGTERM where there is none.
COMMAND = f"""#!{sys.executable}
import pathlib, signal, sys, time
here = pathlib.Path({{here!r}})
def ended(*_):
    time.sleep(0.3)
    sys.exit(4)
signal.signal(signal.SIGTERM, ended)
(here / "called").write_text("\\n".join(sys.argv[1:]))
if (here / "code").exists():
    sys.exit(int((here / "code").read_text()))
time.sleep(600)
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job of two nodes."""
    parts = {
        "bin/scontrol": '#!/bin/sh\ncase $1 in show) printf "n1\\nn2\\n" ;; *) echo "$@" >> "$HERE/requeued" ;; esac\n',
        # The head's address, or a Ray that stays: no longer than the job does.
        "bin/srun": '#!/bin/sh\necho "$@" >> "$HERE/started"\ncase "$*" in *hostname*) echo 10.1.2.3 ;; esac\n',
        # It has both nodes, or those that the test says.
        "venv/bin/ray": '#!/bin/sh\n[ "$1" = status ] && cat "$HERE/status"\nexit 0\n',
        "status": "Active:\n 1 node_a1\n 1 node_b2\nPending:\n",
        "venv/bin/maestro-eval": COMMAND.format(here=str(tmp_path)),
    }
    for name, text in parts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HERE": str(tmp_path),
        "MAESTRO_VENV": str(tmp_path / "venv"),
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_JOB_ID": "77",
    }


def job(slurm: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", str(SCRIPT), *arguments], env=slurm, cwd=slurm["HERE"])


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_new_run_is_begun_on_the_jobs_nodes_and_its_code_is_the_jobs(
    slurm: dict[str, str], tmp_path: Path, code: int
) -> None:
    (tmp_path / "code").write_text(str(code))
    assert job(slurm, "--tasks", "maestro main", "--out", "run").wait(PATIENCE_S) == code
    called = (tmp_path / "called").read_text().split("\n")
    assert called == ["run", "--tasks", "maestro main", "--out", "run", "--executor", "ray", "--ray-address", ADDRESS]
    started = (tmp_path / "started").read_text()
    assert "--cpus-per-task=32 --nodelist=n1 --overlap" in started
    assert "--cpus-per-task=32 --nodelist=n2 --overlap" in started
    assert f"--address={ADDRESS} --num-cpus=32" in started
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize("given", [("--out", "run"), ("--out=run",), ("--output_path", "run")])
def test_a_run_that_is_there_is_gone_on_with(slurm: dict[str, str], tmp_path: Path, given: tuple[str, ...]) -> None:
    (tmp_path / "code").write_text("0")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    assert job(slurm, "--tasks", "main", *given).wait(PATIENCE_S) == 0
    called = (tmp_path / "called").read_text().split("\n")
    assert called == ["resume", "run", "--executor", "ray", "--ray-address", ADDRESS]


def test_before_its_time_limit_the_run_is_let_end_and_the_job_queued_again(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    with job(slurm, "--out", "run") as running:
        wait_until((tmp_path / "called").exists)
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 4
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"


def test_the_run_waits_for_all_nodes(slurm: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "code").write_text("0")
    (tmp_path / "status").write_text("Active:\n 1 node_a1\n")
    with job(slurm, "--out", "run") as running:
        started = tmp_path / "started"
        wait_until(lambda: started.exists() and "n2" in started.read_text())
        time.sleep(1)
        assert not (tmp_path / "called").exists()
        (tmp_path / "status").write_text("Active:\n 1 node_a1\n 1 node_b2\n")
        assert running.wait(PATIENCE_S) == 0


def test_without_a_run_folder_nothing_is_started(slurm: dict[str, str], tmp_path: Path) -> None:
    assert job(slurm, "--tasks", "main").wait(PATIENCE_S) == 2
    assert not (tmp_path / "started").exists()
