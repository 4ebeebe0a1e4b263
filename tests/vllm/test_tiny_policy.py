"""The main job with a trained policy: it routes and answers through the same code path as MAESTRO-4B, three ways.

``MAESTRO_TINY_POLICY`` names a checkpoint that ``scripts/train-tiny-policy`` made; without it one is trained here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from integration.conftest import command, environment

from maestro_eval.analysis import difference_interval, independent
from maestro_eval.embedded.mini import MINI_TASKS, make_mini
from maestro_eval.journal import Journal
from maestro_eval.records import Answered, Rollout, SearchAction
from scripts.tiny_policy.routing import rollouts_of, routing_of
from tests.vllm.engine_worlds import DTYPE, START_S, flips

pytestmark = pytest.mark.slow

# Of each mini benchmark: a seed that no training looks at.
SEED, PER_TASK = 0, 5
# Three programs add the same numbers up in different orders; what was learnt is seldom a close call.
MOST_FLIPS = 0.1
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained policy."""
    if "MAESTRO_TINY_POLICY" in os.environ:
        return Path(os.environ["MAESTRO_TINY_POLICY"]).resolve()
    folder = tmp_path_factory.mktemp("tiny-policy") / "model"
    script = [_ROOT / "scripts" / "train-tiny-policy", "--out", folder, "--no-evaluation"]
    made = {**os.environ, "PYTHON": sys.executable}
    made.pop("OMP_NUM_THREADS", None)
    subprocess.run(script, env=made, check=True, timeout=3600)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mini benchmarks."""
    folder = tmp_path_factory.mktemp("world")
    # Seven rows are made of each sample of VLMsAreBlind.
    counts = {task: 1 if task.endswith("vlmsareblind") else PER_TASK for task in MINI_TASKS}
    made = make_mini(folder / "data", seed=SEED, per_task=counts)
    (folder / "data.json").write_text(json.dumps({task: str(path) for task, path in made.items()}))
    return folder


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The policy behind vLLM's own server, as ``openai:URL`` takes it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "server.log"
    arguments = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port),
        "--model", str(checkpoint), "--served-model-name", "tiny-policy", "--dtype", DTYPE, "--enforce-eager",
        "--max-model-len", "2048", "--max-num-seqs", "8", "--limit-mm-per-prompt", '{"image":4,"video":0}',
    ]  # fmt: skip
    cpu = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=cpu, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # It ends its engine, which is a process of its own, by itself.
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def reference(world: Path, checkpoint: Path) -> list[Rollout]:
    """The run by transformers, which the others are compared with."""
    return run(world, f"transformers:{checkpoint}", "transformers")


def test_its_routing_is_clearly_above_chance(world: Path, reference: list[Rollout]) -> None:
    found = routing_of(reference)
    baseline = routing_of(run(world, "random", "random"))
    difference = difference_interval(independent([found.experts]), independent([baseline.experts]))
    print(f"the right expert in {sum(found.experts)} of {len(found.experts)}, random in {sum(baseline.experts)}; "
          f"difference {difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]")  # fmt: skip
    assert difference.low > 0
    print(f"the right pair in {sum(found.pairs)}; {sum(found.repeated)} of {len(found.repeated)} answers as told")
    assert difference_interval(independent([found.pairs]), independent([baseline.pairs])).low > 0


def test_it_thinks_asks_and_answers(reference: list[Rollout]) -> None:
    answered = [rollout for rollout in reference if isinstance(rollout.outcome, Answered)]
    assert len(answered) > len(reference) / 2
    for rollout in answered:
        first, *_between, last = rollout.turns
        assert first.text.startswith("<think>")
        assert isinstance(first.action, SearchAction)
        assert [call.kind for call in first.calls] == ["expert"]
        assert last.text.endswith("</answer>")


def test_a_served_engine_makes_the_same_records(world: Path, server: str, reference: list[Rollout]) -> None:
    rollouts = run(world, f"openai:{server}", "endpoint", "--executor", "ray", "--workers", "2")
    share = flips(without_calls(reference), without_calls(rollouts))
    print(f"flips between transformers and a served engine: {share:.1%} of {len(rollouts)} rollouts")
    assert share <= MOST_FLIPS


def test_an_engine_inside_the_worker_makes_the_same_records(
    world: Path, checkpoint: Path, reference: list[Rollout]
) -> None:
    rollouts = run(world, f"vllm:{checkpoint}?dtype={DTYPE}&max_model_len=2048", "inside")
    share = flips(without_calls(reference), without_calls(rollouts))
    print(f"flips between transformers and an engine inside: {share:.1%} of {len(rollouts)} rollouts")
    assert share <= MOST_FLIPS


def run(world: Path, policy: str, name: str, *more: str) -> list[Rollout]:
    """A whole run over the mini benchmarks; none of its rollouts may fail."""
    data = json.loads((world / "data.json").read_text())
    pairs = [word for task, path in data.items() for word in ("--data", f"{task}={path}")]
    arguments = command(
        "run", "--policy", policy, "--registry", "embedded_short", "--tasks", "maestro_mini", *pairs,
        "--temperature", "0", "--max_tokens", "64", "--concurrency", "4", "--cache", world / "cache",
        "--out", world / name, "--quiet", *more,
    )  # fmt: skip
    result = subprocess.run(
        arguments, cwd=world, env=environment(), capture_output=True, text=True, timeout=START_S, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    with Journal.open(world / name, read_only=True) as journal:
        assert not journal.pending()
    return rollouts_of(world / name)


def without_calls(rollouts: list[Rollout]) -> list[Rollout]:
    """The records without what a call cost: only the first run pays, the others find the replies in the cache."""
    return [
        msgspec.structs.replace(rollout, turns=tuple(msgspec.structs.replace(turn, calls=()) for turn in rollout.turns))
        for rollout in rollouts
    ]


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")
