"""A run that can come to nothing ends early and resumably; a request that is refused is not made for ever."""

from __future__ import annotations

import json
from pathlib import Path

from integration.conftest import Cli, write_chartqa, write_registry

from maestro_eval import open_run
from maestro_eval.testing import Fault, simulated_in_thread

SAMPLES = [{"question": f"What is the value of item {n} here?", "answer": "4"} for n in range(150)]
TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."


def test_a_run_whose_every_rollout_is_refused_ends_resumably_with_cause_and_fix(cli: Cli, tmp_path: Path) -> None:
    down = [True]
    gone = Fault("status", 404, body=json.dumps({"error": {"message": "The model `m` does not exist."}}))
    with simulated_in_thread(reply="Answer: 4", faults=lambda number: gone if down[0] else None) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", SAMPLES)
        ran = cli(
            *("run", "--policy", "direct:oracle", "--registry", registry, "--tasks", "maestro_chartqa", "--data"),
            *(f"maestro_chartqa={data}", "--out", "out", "--concurrency", "2", "--quiet"),
        )
        assert ran.returncode == 4, ran.stderr
        assert "rollouts in a row failed for one cause (expert: http 404)" in ran.stderr
        assert "check the model's name" in ran.stderr
        assert "maestro-eval resume out" in ran.stderr
        # A batch of results is judged at once.
        assert len(server.requests) < len(SAMPLES)
        assert "× expert: http 404 (for instance chartqa " in " ".join(ran.stdout.split())
        down[0] = False
        assert cli("resume", "out", "--quiet").returncode == 0
        assert open_run(tmp_path / "out").counts().answered == len(SAMPLES)


def test_a_first_prompt_that_does_not_fit_is_named_and_not_asked_again(cli: Cli, tmp_path: Path) -> None:
    refused = Fault("status", 400, body=json.dumps({"object": "error", "message": TOO_LONG, "code": 400}))
    short = [True]
    faults = lambda number: refused if short[0] and number % 2 else None  # noqa: E731
    with simulated_in_thread(reply="<answer> 4 </answer>", faults=faults) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", SAMPLES[:4])
        ran = cli(
            *("run", "--policy", f"openai:{server.url}#m", "--registry", registry, "--tasks", "maestro_chartqa"),
            *("--data", f"maestro_chartqa={data}", "--out", "out", "--concurrency", "1", "--quiet"),
        )
        assert ran.returncode == 3, ran.stderr
        first = ran.stderr.splitlines()[0]
        assert "failed, and will again with these settings" in first
        assert "raise the server's max_model_len" in first
        assert open_run(tmp_path / "out").counts().failed == 2
        asked = len(server.requests)
        again = cli("resume", "out", "--quiet")
        assert (again.returncode, len(server.requests)) == (3, asked)
        assert "2 rollouts are not run again" in again.stderr
        short[0] = False
        assert cli("resume", "out", "--refused", "--quiet").returncode == 0
        assert len(server.requests) == asked + 2
