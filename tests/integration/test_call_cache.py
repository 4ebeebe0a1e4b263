"""Runs that share a call cache pay for each call once, whoever makes it; and a bad cache costs them nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from integration.conftest import Cli, report_of, write_chartqa, write_registry

from maestro_eval import open_run
from maestro_eval.journal import Journal
from maestro_eval.testing import Fault, SimulatedServer, on_requests, simulated_in_thread

SAMPLES = 12


def run_of(
    cli: Cli,
    folder: Path,
    registry: Path,
    out: str,
    *arguments: str,
    policy: str = "fixed:oracle@@Ask",
    shared: bool = True,
) -> str:
    """The report of a run of 12 questions, with the cache ``kept`` where that is ``shared``; it must end well."""
    data = folder / "d" / "chartqa.jsonl"
    if not data.exists():
        samples = [{"question": f"What is value {number}?", "answer": "4"} for number in range(SAMPLES)]
        write_chartqa(data.parent, samples)
    result = cli(
        "run", "--policy", policy, "--registry", registry, "--tasks", "maestro_chartqa",
        "--data", f"maestro_chartqa={data}", "--out", out, *(("--cache", "kept") if shared else ()), *arguments,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return report_of(folder / out)


def said(folder: Path) -> list[Any]:
    """Every rollout of a run but for what its calls cost."""
    costs = {"timing", "worker", "tries", "cached"}

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key not in costs}
        return [bare(item) for item in value] if isinstance(value, list | tuple) else value

    with Journal.open(folder, read_only=True) as journal:
        return [bare(msgspec.to_builtins(rollout)) for rollout, _ in journal.rollouts()]


def asked(server: SimulatedServer) -> int:
    return len(server.requests)


@pytest.mark.parametrize("executor", [(), ("--executor", "ray", "--workers", "2")], ids=["local", "ray"])
def test_what_any_workers_have_asked_a_second_run_need_not_pay_for(
    cli: Cli, tmp_path: Path, executor: tuple[str, ...]
) -> None:
    with simulated_in_thread(reply=lambda body: f"Answer: {len(str(body)) % 7}") as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        first = run_of(cli, tmp_path, registry, "one", *executor)
        paid = asked(server)
        second = run_of(cli, tmp_path, registry, "two")
        assert (paid, asked(server)) == (SAMPLES, SAMPLES)
    assert f"| {SAMPLES} | 0 |\n" in first
    assert f"| {SAMPLES} | {SAMPLES} |\n" in second
    assert said(tmp_path / "one") == said(tmp_path / "two")
    (counts,) = open_run(tmp_path / "two").calls()
    assert (counts.kind, counts.name, counts.calls, counts.cached_share, counts.failed) == (
        "expert", "oracle", SAMPLES, 1.0, 0,
    )  # fmt: skip


def test_a_registry_swap_pays_for_the_new_experts_calls_only(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread() as server:
        small = write_registry(tmp_path / "small.yaml", server.url)
        run_of(cli, tmp_path, small, "one")
        large = write_registry(tmp_path / "large.yaml", server.url.replace("127.0.0.1", "localhost"), name="large")
        text = large.read_text().replace(
            "skills:", "  rival: {model: rival, endpoint: there, description: Knows other things.}\nskills:"
        )
        large.write_text(text)
        printed = run_of(cli, tmp_path, large, "two", policy="random")
        models = [request.model for request in server.requests[SAMPLES:]]
    new = len(models)
    assert set(models) == {"rival"}
    assert 0 < new < SAMPLES
    assert f"| {SAMPLES} | {SAMPLES - new} |\n" in printed


def test_a_resumed_run_goes_on_with_its_cache_and_asks_again_only_what_failed(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread(faults=on_requests({3: Fault("status", 400)})) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", [{"question": f"{number}?", "answer": "4"} for number in range(SAMPLES)])
        broken = cli(
            "run", "--policy", "fixed:oracle@@Ask", "--registry", registry, "--tasks", "maestro_chartqa",
            "--data", f"maestro_chartqa={data}", "--out", "one", "--cache", "kept",
        )  # fmt: skip
        assert broken.returncode == 3
        resumed = cli("resume", "one")
        assert resumed.returncode == 0, resumed.stderr
        assert asked(server) == SAMPLES + 1
        run_of(cli, tmp_path, registry, "two")
        assert asked(server) == SAMPLES + 1
    report = report_of(tmp_path / "one")
    assert f"| {SAMPLES} | 0 |\n" in report
    assert open_run(tmp_path / "one").manifest.settings["cache"] == str(tmp_path / "kept")


def test_a_run_keeps_its_calls_in_its_own_folder_so_that_repeats_share_them(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread() as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        first = run_of(cli, tmp_path, registry, "one", "--repeats", "3", shared=False)
        assert asked(server) == SAMPLES
        run_of(cli, tmp_path, registry, "two", shared=False)
        assert asked(server) == 2 * SAMPLES
        last = run_of(cli, tmp_path, registry, "three", "--repeats", "3", "--no-cache", shared=False)
        assert asked(server) == 5 * SAMPLES
    assert f"| {3 * SAMPLES} | {2 * SAMPLES} |\n" in first
    assert f"| {3 * SAMPLES} | 0 |\n" in last
    assert [(tmp_path / run / "cache" / "calls.db").is_file() for run in ("one", "two", "three")] == [True, True, False]


def test_a_resumed_run_goes_on_with_the_calls_in_its_folder(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread(faults=on_requests({1: Fault("status", 400)})) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", [{"question": "The same each time?", "answer": "4"}])
        cli(
            "run", "--policy", "fixed:oracle@@Ask", "--registry", registry, "--tasks", "maestro_chartqa",
            "--data", f"maestro_chartqa={data}", "--out", "one", "--repeats", "2", "--concurrency", "1",
        )  # fmt: skip
        assert asked(server) == 2
        assert cli("resume", "one").returncode == 0
        # The first repeat failed; what the second one was told is kept.
        assert asked(server) == 2


def test_captions_of_a_service_that_says_so_are_asked_once_a_picture(cli: Cli, tmp_path: Path) -> None:
    extra = """  Look: {description: Look., prompt: prompts/ask.j2, evidence: [caption]}
services:
  caption: {model: captioner, endpoint: there, request: Describe it., reuse: per_image, sampling: {temperature: null}}
"""
    with simulated_in_thread() as server:
        registry = write_registry(tmp_path / "r.yaml", server.url, extra=extra)
        run_of(cli, tmp_path, registry, "one", "--repeats", "3", policy="fixed:oracle@@Look", shared=False)
        captions = [request for request in server.requests if request.model == "captioner"]
        # Each question has a picture of its own.
        assert len(captions) == SAMPLES


def test_a_damaged_cache_is_noted_and_costs_no_rollout(process: Cli, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "calls.db").write_bytes(b"not a database" * 999)
    with simulated_in_thread() as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", [{"question": f"{number}?", "answer": "4"} for number in range(SAMPLES)])
        result = process(
            "run", "--policy", "fixed:oracle@@Ask", "--registry", registry, "--tasks", "maestro_chartqa",
            "--data", f"maestro_chartqa={data}", "--out", "one", "--cache", "kept",
        )  # fmt: skip
        assert asked(server) == SAMPLES
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("calls go on without it") == 1
    assert open_run(tmp_path / "one").counts().answered == SAMPLES


def test_a_cache_that_cannot_be_made_is_an_error_before_anything_runs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with simulated_in_thread() as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", [{"question": "?", "answer": "4"}])
        result = cli(
            "run", "--policy", "fixed:oracle@@Ask", "--registry", registry, "--tasks", "maestro_chartqa",
            "--data", f"maestro_chartqa={data}", "--out", "one", "--cache", "file/kept",
        )  # fmt: skip
        assert asked(server) == 0
    assert result.returncode == 2
    assert "--cache file/kept: cannot be made" in result.stderr
    assert not (tmp_path / "one").exists()
