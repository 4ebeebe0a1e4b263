"""A service that is down, before a run and during one: what is said, marked and run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.conftest import Cli, write_chartqa, write_registry

from maestro_eval import open_run
from maestro_eval.journal import Journal
from maestro_eval.records import Answered
from maestro_eval.testing import Fault, SimulatedServer, simulated_in_thread

SAMPLES = [{"question": f"What is the value of item {n} here?", "answer": "4"} for n in range(4)]
SERVICES = """
  Read: {description: Read first., prompt: prompts/plain.j2, evidence: [ocr]}
services:
  ocr: {model: reader, endpoint: %s, request: Read.}
"""


@contextmanager
def reading(*, up: list[bool]) -> Iterator[SimulatedServer]:
    """A server that plays the service; while ``up`` is false it answers 503."""
    fault = Fault("status", 503)
    with simulated_in_thread(reply="a bar of 4", faults=lambda number: None if up[0] else fault) as server:
        yield server


@pytest.fixture
def expert() -> Iterator[SimulatedServer]:
    with simulated_in_thread(reply="Answer: 4") as server:
        yield server


def arguments(tmp_path: Path, expert: SimulatedServer, service: str, *more: str, skill: str = "Read") -> list[str]:
    registry = write_registry(tmp_path / "r.yaml", expert.url, extra=SERVICES % "reading")
    text = registry.read_text().replace("endpoints:\n", f"endpoints:\n  reading: {service}\n")
    registry.write_text(text)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    return [
        *("run", "--policy", f"fixed:oracle@@{skill}", "--registry", str(registry), "--tasks", "maestro_chartqa"),
        *("--data", f"maestro_chartqa={data}", "--out", "out", "--quiet", *more),
    ]


def dead(url: str) -> str:
    return f"{{url: {url}, max_tries: 1}}"


NOBODY = dead("http://127.0.0.1:9/v1")


def test_an_optional_service_that_is_down_is_said_marked_counted_and_run_again(
    cli: Cli, expert: SimulatedServer, tmp_path: Path
) -> None:
    up = [False]
    with reading(up=up) as service:
        ran = cli(*arguments(tmp_path, expert, dead(service.url)))
        assert ran.returncode == 3, ran.stderr
        assert "4 rollouts went without evidence that a service failed to give" in ran.stderr
        assert "100.0‡4" in ran.stdout
        counts = open_run(tmp_path / "out").counts()
        assert (counts.answered, counts.failed) == (4, 0)
        system = json.loads((tmp_path / "out/report/results.json").read_text())["systems"][0]
        assert system["missing_evidence"] == {"ocr": 4}
        assert system["tasks"]["maestro_chartqa"]["n_lacking"] == 4

        # Nothing failed: a plain resume runs nothing, and does not call it complete.
        asked = len(expert.requests)
        idle = cli("resume", "out", "--quiet")
        assert (idle.returncode, len(expert.requests)) == (3, asked)

        up[0] = True
        again = cli("resume", "out", "--missing-evidence", "--quiet")
        assert again.returncode == 0, again.stderr
        assert "‡" not in again.stdout
        assert len(service.requests) == 8
        with Journal.open(tmp_path / "out", read_only=True) as journal:
            rollouts = [rollout for rollout, _ in journal.rollouts()]
        assert all(isinstance(rollout.outcome, Answered) and not rollout.missing_evidence for rollout in rollouts)

        done = cli("resume", "out", "--missing-evidence", "--quiet")
        assert (done.returncode, len(service.requests)) == (0, 8)


def test_evidence_that_is_still_missing_replaces_no_answer_by_a_failure(
    cli: Cli, expert: SimulatedServer, tmp_path: Path
) -> None:
    assert cli(*arguments(tmp_path, expert, NOBODY)).returncode == 3
    required = tmp_path / "r.yaml"
    required.write_text(required.read_text().replace("request: Read.", "request: Read., optional: false"))
    refused = cli("resume", "out", "--missing-evidence", "--accept", "registry", "--quiet")
    assert refused.returncode == 2
    assert open_run(tmp_path / "out").counts().answered == 4


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (NOBODY, "endpoints.reading.url: http://127.0.0.1:9/v1 refused the connection"),
        ("{url: http://127.0.0.1:9/v1, api_key_env: NO_SUCH_KEY}", "$NO_SUCH_KEY is not set"),
    ],
)
def test_what_is_down_is_a_line_at_the_start_and_the_end_of_a_run_that_requires_it(
    cli: Cli, expert: SimulatedServer, tmp_path: Path, service: str, said: str
) -> None:
    run = [*arguments(tmp_path, expert, service), "--allow-key-env", "NO_SUCH_KEY"]
    stopped = cli(*run, "--require-services", "ocr")
    assert stopped.returncode == 2
    (line,) = stopped.stderr.splitlines()
    assert said in line
    assert not (tmp_path / "out/manifest.json").exists()
    assert cli(*run, "--require-services").returncode == 2
    assert expert.requests == []
    ran = cli(*run)
    assert ran.returncode == 3
    first = ran.stderr.splitlines()[0]
    assert first.startswith("maestro-eval: service ocr is down")
    assert said in first


def test_services_that_are_not_wanted_are_left_out(cli: Cli, expert: SimulatedServer, tmp_path: Path) -> None:
    ran = cli(*arguments(tmp_path, expert, NOBODY, "--without-services", "ocr"))
    assert (ran.returncode, ran.stderr) == (0, "")
    unknown = cli(*arguments(tmp_path, expert, NOBODY, "--without-services", "oct", "--out", "other"))
    assert unknown.returncode == 2
    assert "services.oct" in unknown.stderr


def test_a_service_that_the_policy_never_reaches_is_not_asked_for(
    cli: Cli, expert: SimulatedServer, tmp_path: Path
) -> None:
    ran = cli(*arguments(tmp_path, expert, NOBODY, skill="Ask"))
    assert (ran.returncode, ran.stderr) == (0, "")


def test_wrong_models_and_unset_keys_are_found_before_the_first_rollout(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread(reply="Answer: 4", models=["else"]) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        run = arguments(tmp_path, server, NOBODY, skill="Ask")
        unknown = cli(*run)
        assert unknown.returncode == 2
        assert "experts.oracle.model: " in unknown.stderr
        assert "serves no 'oracle', it serves else" in unknown.stderr
        registry.write_text(registry.read_text().replace("model: oracle", "model: else"))
        run = [*run[:1], "--policy", f"openai:{server.url}#nobody", *run[3:]]
        assert "serves no 'nobody'" in cli(*run).stderr
        run[2] = f"openai:{server.url}#else"
        assert "--policy-key-env UNSET_KEY: $UNSET_KEY is not set" in cli(*run, "--policy-key-env", "UNSET_KEY").stderr
        assert not (tmp_path / "out/manifest.json").exists()
