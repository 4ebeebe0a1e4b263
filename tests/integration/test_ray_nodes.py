"""Sick nodes of a real Ray cluster, a node in each network namespace: what is lost is named, and no sample is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration import ray_nodes
from integration.conftest import ROOT, command, write_chartqa, write_registry
from integration.ray_nodes import Cluster

from maestro_eval import open_run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(ray_nodes.lack()), reason=ray_nodes.lack() or "…")]
SAMPLES = [{"question": f"What is the value of item {n} here?", "answer": "4"} for n in range(300)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("ray")
    with ray_nodes.cluster(tmp_path) as made:
        yield made


def arguments(cluster: Cluster, tmp_path: Path, *more: str, workers: int = 2) -> list[str | Path]:
    registry = write_registry(tmp_path / "r.yaml", cluster.experts.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    return [
        *("run", "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa", "--data"),
        *(f"maestro_chartqa={data}", "--out", tmp_path / "out", "--executor", "ray", "--ray-address", cluster.address),
        *(("--workers", str(workers)) if workers else ()),
        *("--concurrency", "4", "--quiet", *more),
    ]


def driver(arguments: list[str | Path]) -> subprocess.Popen[str]:
    environment = {**ray_nodes.node_environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command(*arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(arguments: list[str | Path]) -> tuple[int, str]:
    process = driver(arguments)
    try:
        _, said = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, said


def by_node(cluster: Cluster) -> list[int]:
    return [cluster.experts.asked[node.address] for node in cluster.nodes]


def test_a_node_that_cannot_reach_the_experts_is_given_no_work(cluster: Cluster, tmp_path: Path) -> None:
    _, sick = cluster.nodes
    sick.lose_experts()
    for node in cluster.nodes:
        node.start(cluster.address, tmp_path / f"{node.name}.log")
    cluster.wait_for_nodes(3)
    code, said = run(arguments(cluster, tmp_path))
    assert code == 0, said
    assert f"node {sick.address}" in said
    assert re.search(r"endpoints\.\w+\.url: http", said)
    assert "the run had 1 of 2 workers" in said
    assert by_node(cluster) == [len(SAMPLES), 0]


def test_a_node_that_loses_the_experts_in_mid_run_costs_no_sample(cluster: Cluster, tmp_path: Path) -> None:
    _, sick = cluster.nodes
    for node in cluster.nodes:
        node.start(cluster.address, tmp_path / f"{node.name}.log")
    cluster.wait_for_nodes(3)
    process = driver(arguments(cluster, tmp_path))
    deadline = time.monotonic() + 180
    while by_node(cluster)[1] < 20 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    sick.lose_experts()
    # So that the run lasts longer than the sick worker rests.
    cluster.experts.delay_s = 1.0
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    (retired,) = [line for line in said.splitlines() if "is given no more work" in line]
    assert f"node {sick.address}" in retired
    assert "expert: oracle: connection" in retired
    counts = open_run(tmp_path / "out").counts()
    assert (counts.answered, counts.failed) == (len(SAMPLES), 0)
    # It failed at once and asked for more all the time: before, it drew nearly all of what was left to itself.
    assert by_node(cluster)[0] > len(SAMPLES) // 2


def test_a_node_without_the_data_is_named_and_one_without_the_code_works(cluster: Cluster, tmp_path: Path) -> None:
    without_data, without_code = cluster.nodes
    run_arguments = arguments(cluster, tmp_path)
    without_data.start(cluster.address, tmp_path / "data.log", hidden=[tmp_path / "d"])
    without_code.start(cluster.address, tmp_path / "code.log", hidden=[ROOT / "maestro_eval"])
    cluster.wait_for_nodes(3)
    code, said = run(run_arguments)
    assert code == 0, said
    assert f"node {without_data.address}" in said
    assert "chartqa.jsonl is not there" in said
    assert by_node(cluster) == [0, len(SAMPLES)]


def test_workers_follow_gpus_that_join_late(cluster: Cluster, tmp_path: Path) -> None:
    first, late = cluster.nodes
    first.start(cluster.address, tmp_path / "first.log", gpus=1)
    cluster.wait_for_nodes(2)
    cluster.experts.delay_s = 1.0
    process = driver(arguments(cluster, tmp_path, "--gpus-per-worker", "1", workers=0))
    deadline = time.monotonic() + 180
    while by_node(cluster)[0] < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    late.start(cluster.address, tmp_path / "late.log", gpus=1)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert by_node(cluster)[1] > 0
    assert "idle" not in said
    assert sum(by_node(cluster)) == len(SAMPLES)


def test_gpus_that_no_worker_uses_are_named_at_the_start_and_those_that_joined_at_the_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    first, late = cluster.nodes
    first.start(cluster.address, tmp_path / "first.log", gpus=2)
    cluster.wait_for_nodes(2)
    cluster.experts.delay_s = 0.5
    process = driver(arguments(cluster, tmp_path, "--gpus-per-worker", "1", workers=1))
    deadline = time.monotonic() + 180
    while by_node(cluster)[0] < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    late.start(cluster.address, tmp_path / "late.log", gpus=2)
    cluster.wait_for_nodes(3)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    idle = [line.partition(": ")[2] for line in said.splitlines() if "idle" in line]
    assert idle == [
        "1 of 2 GPUs stay idle: --workers 2 would use 2",
        "3 of 4 GPUs stay idle: --workers 4 would use 4",
    ]


def test_a_cluster_that_asks_for_a_token_says_so(tmp_path: Path) -> None:
    """Its own Ray, on loopback; no namespaces are needed, but a second user of the machine is played."""
    pytest.importorskip("ray")
    token = {**ray_nodes.node_environment(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    port = 26_391
    head = subprocess.Popen(
        [
            *("python", "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=1", f"--port={port}"),
            *("--node-ip-address=127.0.0.1", "--include-dashboard=false", f"--object-store-memory={100 * 2**20}"),
        ],
        env=token,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        from maestro_eval.testing import simulated_in_thread

        with simulated_in_thread(reply="Answer: 4") as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            data = write_chartqa(tmp_path / "d", SAMPLES[:4])
            asked = [
                *("run", "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa", "--data"),
                *(f"maestro_chartqa={data}", "--out", tmp_path / "out", "--executor", "ray"),
                *("--ray-address", f"127.0.0.1:{port}", "--quiet"),
            ]
            environment = {**token, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
            wrong = {**environment, "RAY_AUTH_TOKEN": "b" * 64}
            deadline = time.monotonic() + 240
            joined = subprocess.run(command(*asked), env=environment, capture_output=True, text=True, check=False)
            while joined.returncode == 2 and time.monotonic() < deadline:
                joined = subprocess.run(command(*asked), env=environment, capture_output=True, text=True, check=False)
            assert joined.returncode == 0, joined.stderr
            asked[asked.index(tmp_path / "out")] = tmp_path / "other"
            refused = subprocess.run(command(*asked), env=wrong, capture_output=True, text=True, check=False)
            assert refused.returncode == 2
            assert "refuses the connection" in refused.stderr
            assert "RAY_AUTH_TOKEN" in refused.stderr
            assert not (tmp_path / ".ray").exists()
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
