"""An endpoint's ``concurrency`` on a real Ray and a real server: it holds for all workers of a run together."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.conftest import Cli, write_chartqa, write_registry

from maestro_eval import open_run
from maestro_eval.testing import Latency, simulated_in_thread

SAMPLES = [{"question": f"Item {number}?", "answer": "4"} for number in range(60)]


def test_two_calls_at_once_for_three_workers_are_two_at_the_server(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=0.15)) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        registry.write_text(registry.read_text().replace("{url:", "{concurrency: 2, url:"))
        said = cli(
            *("run", "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa", "--data"),
            *(f"maestro_chartqa={write_chartqa(tmp_path / 'd', SAMPLES)}", "--out", tmp_path / "out", "--quiet"),
            *("--executor", "ray", "--workers", "3", "--concurrency", "4"),
            timeout=300,
        )
        assert said.returncode == 0, said.stderr
        assert "concurrency: 2 at once for 3 workers, which take turns" in said.stderr
        assert max(request.in_flight for request in server.requests) == 2
    assert open_run(tmp_path / "out").counts().answered == len(SAMPLES)
