"""``serve`` with vLLM itself: up, asked, killed, up again, down, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from integration.conftest import command, environment
from patience import free_ports
from serve_processes import Served

from maestro_eval.records import Answered, Rollout
from tests.vllm.engine_worlds import CONTEXT, DTYPE, START_S, rollouts_of


@pytest.fixture
def served(tiny_model: Path, world: Path, tmp_path: Path) -> Iterator[tuple[Served, int]]:
    (port,) = free_ports(1)
    (tmp_path / "registry.yaml").write_text(f"""
schema: 1
name: real
endpoints:
  there: {{url: http://127.0.0.1:{port}/v1, timeout_s: 300}}
experts:
  oracle:
    model: tiny
    endpoint: there
    description: Says noise.
    sampling: {{temperature: 0, max_tokens: 16}}
    serve:
      model: {tiny_model}
      gpus: 0
      needs: {{vllm: "0.17", transformers: "5.1"}}
      args:
        dtype: {DTYPE}
        max_model_len: {CONTEXT}
        max_num_seqs: 4
        enforce_eager: true
        reasoning_parser: qwen3
        limit_mm_per_prompt: '{{"image": 8, "video": 0}}'
skills:
  Ask: {{description: Ask plainly., prompt: prompts/plain.j2}}
""")
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    running = Served("registry.yaml", "--write-registry", "real.yaml", folder=tmp_path, environment=quiet)
    try:
        yield running, port
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


def asked(world: Path, folder: Path, out: str) -> list[Rollout]:
    """What the served expert says of three samples."""
    arguments = command(
        "run", "--policy", "direct:oracle", "--registry", folder / "real.yaml", "--tasks", "maestro_chartqa",
        "--data", f"maestro_chartqa={world / 'data' / 'chartqa.jsonl'}", "--limit", "3", "--out", folder / out,
    )  # fmt: skip
    done = subprocess.run(arguments, cwd=folder, env=environment(), capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 0, done.stderr
    return rollouts_of(folder / out)


def test_an_engine_comes_up_is_asked_comes_up_again_and_leaves_nothing(
    served: tuple[Served, int], world: Path, tmp_path: Path
) -> None:
    running, port = served
    running.wait_for("all ready", seconds=START_S)
    first = asked(world, tmp_path, "first")
    assert [type(rollout.outcome) for rollout in first] == [Answered] * 3
    calls = [call for rollout in first for turn in rollout.turns for call in turn.calls]
    # Noise never ends a thought: with a reasoning parser all of it is one, and none of it is lost.
    assert all(call.reply or call.reasoning for call in calls)
    assert any(call.reasoning for call in calls)

    # The watcher's only child is the server; the model is in a child of that one.
    (watcher,) = psutil.Process(running.process.pid).children()
    (server,) = watcher.children()
    family = [server, *server.children(recursive=True)]
    assert len(family) > 1
    os.kill(server.pid, signal.SIGKILL)
    assert "ended with SIGKILL; starting again" in running.wait_for("died", seconds=60)
    running.wait_for("ready", times=2, seconds=START_S)
    _, alive = psutil.wait_procs(family, 20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    again = asked(world, tmp_path, "again")
    assert [type(rollout.outcome) for rollout in again] == [Answered] * 3

    family = psutil.Process(running.process.pid).children(recursive=True)
    running.process.terminate()
    assert running.exit_code(60) == 0, running.said()
    assert not listens(port)
    _, alive = psutil.wait_procs(family, 20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
