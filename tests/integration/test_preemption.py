"""SIGTERM to a run on a real Ray, as a batch system sends it: what is in flight is committed, and resume goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest
from integration.conftest import (
    ROOT,
    Cli,
    answered,
    command,
    environment,
    wait_for_records,
    write_chartqa,
    write_registry,
)
from patience import PATIENCE_S

from maestro_eval import open_run
from maestro_eval.testing import Latency, simulated_in_thread

pytest.importorskip("ray")
SAMPLES = 40
SLURM = ROOT / "scripts" / "slurm.sh"


def test_a_run_on_a_ray_of_its_own_ends_in_order_and_is_resumed(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=0.5)) as server:
        arguments, out = _arguments(tmp_path, server.url)
        run = command("run", *arguments, "--executor", "ray", "--workers", "1")
        with _started(run, {**environment(), "HOME": str(tmp_path)}, tmp_path) as driver:
            wait_for_records(out, driver)
            assert _listening(driver.pid) <= {"127.0.0.1", "::ffff:127.0.0.1"}
            assert not (tmp_path / ".ray").exists()
            driver.send_signal(signal.SIGTERM)
            _, said = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == 4, said
        assert said.splitlines()[-1] == f"maestro-eval: interrupted; maestro-eval resume {out} continues"
        # Every request that was begun ended as a record.
        assert 0 < answered(out) == len(server.requests) < SAMPLES
        assert cli("resume", out, "--executor", "local", "--quiet").returncode == 0
        assert len(server.requests) == SAMPLES
    assert open_run(out).counts().answered == SAMPLES


@pytest.mark.slow
def test_a_preempted_slurm_job_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    """The script, Ray and the command are the real ones; stand-ins are Slurm's own two programs."""
    for name, text in {
        "scontrol": '#!/bin/sh\ncase $1 in show) echo n1 ;; *) echo "$@" >> "$HERE/requeued" ;; esac\n',
        "srun": '#!/bin/sh\nwhile :; do case "$1" in --*) shift ;; *) break ;; esac; done\n'
        'case "$1" in hostname) echo 127.0.0.1 ;; *) exec "$@" ;; esac\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {
        **environment(),
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "HERE": str(tmp_path),
        "MAESTRO_VENV": sys.prefix,
        "SLURM_JOB_NODELIST": "n1",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_JOB_ID": "77",
        "RAY_PORT": "26379",
    }
    with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=0.5)) as server:
        arguments, out = _arguments(tmp_path, server.url)
        job = ["bash", str(SLURM), *map(str, arguments), "--workers", "1"]
        with _started(job, slurm, tmp_path) as first:
            wait_for_records(out, first)
            first.send_signal(signal.SIGTERM)
            first.communicate(timeout=PATIENCE_S)
        assert first.returncode == 4
        assert (tmp_path / "requeued").read_text() == "requeue 77\n"
        assert 0 < answered(out) < SAMPLES
        assert subprocess.run(job, env=slurm, cwd=tmp_path, timeout=600, check=False).returncode == 0
        assert len(server.requests) == SAMPLES
    value = json.loads((out / "report/results.json").read_text())["systems"][0]["tasks"]["maestro_chartqa"]["value"]
    assert value == 1.0


@contextlib.contextmanager
def _started(arguments: Sequence[str], variables: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, of which nothing is left after the block."""
    process = subprocess.Popen(
        arguments, cwd=folder, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _arguments(folder: Path, url: str) -> tuple[list[str | Path], Path]:
    """What ``run`` is given, and the run folder: two rollouts at once."""
    data = write_chartqa(folder / "d", [{"question": f"Item {number}?", "answer": "4"} for number in range(SAMPLES)])
    registry, out = write_registry(folder / "r.yaml", url), folder / "out"
    return [
        "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa",
        "--data", f"maestro_chartqa={data}", "--out", out, "--concurrency", "2", "--quiet",
    ], out  # fmt: skip


def _listening(pid: int) -> set[str]:
    """The addresses at which a process and all that it started can be reached."""
    process = psutil.Process(pid)
    found = []
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [one.laddr.ip for one in each.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert len(found) >= 3  # Ray's head, its node and the driver
    return set(found)
