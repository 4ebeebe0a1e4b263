"""Each benchmark runs, small, and says what it counted: it cannot rot unseen. Its numbers: docs/performance.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import ROOT, environment


def measured(name: str, *arguments: str, timeout: float = 300) -> Any:
    """The JSON object of ``benchmarks/NAME.py``; whether targets are met is not for so small a run to tell."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *arguments, "--json"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["machine"]["load"]) == 3
    return said


def test_memory() -> None:
    said = measured(
        "memory", "--samples", "400", "--share", "0.05", "--pictures", "4", "--picture-kb", "20", "--latency", "0.01"
    )
    small, large = said["rows"]
    assert (small["samples"], large["samples"]) == (4, 400)
    # It was ended after a twentieth: what was begun by then ended too.
    assert 20 <= large["rollouts"] < 400
    assert large["pictures_sent"] >= 3 * large["rollouts"]
    assert 0 < large["growth_mb"] == pytest.approx(large["peak_mb"] - large["imported_mb"])
    assert large["peak_mb"] >= large["planned_mb"]


def test_overhead() -> None:
    (row,) = measured("overhead", "--asked", "8", "--rounds", "2", "--latency", "0.1")["rows"]
    assert row["calls"] == 8 * 2 * 5
    assert row["cpu_ms"] > 0
    assert 0 < row["whole_share"] <= 1
    assert 0 < row["share"] <= 1.25


def test_efficiency() -> None:
    (row,) = measured("efficiency", "--rollouts", "12", "--concurrency", "12")["rows"]
    assert row["calls"] == 12 * 5
    assert row["makespan_s"] >= row["bound_s"] > 0
    assert row["over_bound"] == pytest.approx(row["makespan_s"] / row["bound_s"])


def test_resume() -> None:
    (row,) = measured("resume", "--done", "60", "--pending", "5", "--repeats", "1")["rows"]
    assert (row["done"], row["pending"]) == (60, 5)
    assert 0 < row["resumed_s"] < row["pending_known_s"]
    assert row["first_call_s"] > 0


@pytest.mark.slow
def test_scaling() -> None:
    pytest.importorskip("ray")
    (row,) = measured("scaling", "--workers", "1", "--concurrency", "4", "--rounds", "2", "--latency", "0.1")["rows"]
    assert row["rollouts"] == 8
    assert row["rate"] > 0


def test_peers_tells_ours_and_no_number_of_one_that_cannot_be_had(tmp_path: Any) -> None:
    nowhere = tmp_path / "a file, no folder"
    nowhere.touch()
    said = measured(
        "peers",
        "--peers",
        "evalscope",
        "--samples",
        "8",
        "--asked",
        "4",
        "--latency",
        "0.05",
        "--environments",
        nowhere,
    )
    ours, peer = said["rows"]
    assert ours["samples_per_s"] > 0
    assert ours["peak"] <= 4
    assert peer["problem"].startswith("not installed")
    assert peer["samples_per_s"] is None
    assert {target["met"] for target in said["targets"]} == {None}


@pytest.mark.slow
def test_peers_measures_every_peer_or_says_why_not() -> None:
    said = measured("peers", "--samples", "32", "--asked", "8", timeout=3600)
    assert len(said["rows"]) == 4
    for row in said["rows"]:
        assert bool(row["problem"]) != bool(row["samples_per_s"]), row


def test_stopping(tmp_path: Path) -> None:
    out = tmp_path / "stopping.json"
    done = subprocess.run(
        [sys.executable, "benchmarks/stopping.py", "--games", "3", "--case", "390 + one of 10", "--json", str(out)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert len(done.stdout.splitlines()) == 2 + len(rows)
    # A plain difference is found in every one of so few games, and long before the end.
    for row in rows:
        if row["only_new"] == 0.3 and row["rule"] != "precise":
            assert row["decided"] == 1
            assert row["asked"] < row["n"] / 1.5


def test_pictures() -> None:
    rows = measured("pictures", "--kb", "200", "--asked", "4", "--rounds", "2", "--latency", "0.1")["rows"]
    by = {row["form"]: row for row in rows}
    # UUIDs are tried after files, so some calls are made twice.
    assert by["bytes"]["calls"] == 4 * 2 * 5 <= by["uuid"]["calls"]
    # One request an engine finds out whether it reads files.
    assert by["file"]["calls"] == 4 * 2 * 5 + 3
    # Until one call has found out that an engine reads files, the others beside it send bytes.
    assert by["file"]["by_bytes"] < by["bytes"]["by_bytes"] == 4 * 2 * 5
    assert 0 < by["uuid"]["by_bytes"] < by["bytes"]["by_bytes"]


def test_view() -> None:
    rows = measured("view", "--rollouts", "200", "--runs", "2", "--megabytes", "2")["rows"]
    assert [row["what"] for row in rows if row["goal"]] == [
        "index",
        "first page",
        "filters, p95",
        "list of runs",
        "huge transcript",
    ]
    assert all(row["seconds"] > 0 and row["peak_mb"] > 0 for row in rows)
