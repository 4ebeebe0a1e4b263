"""A driver killed with SIGKILL loses nothing that it committed, and resuming runs nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path

from integration.conftest import Cli, command, environment, wait_for_records, write_chartqa, write_registry
from patience import PATIENCE_S

from maestro_eval import open_run
from maestro_eval.journal import Journal
from maestro_eval.testing import Fault, Latency, simulated_in_thread

SAMPLES = 60
ANSWERED = 30


def test_after_kill_9_resume_ends_with_one_record_a_sample_and_reruns_no_committed_rollout(
    cli: Cli, tmp_path: Path
) -> None:
    asked: Counter[str] = Counter()
    killed = False
    questions = [{"question": f"What is the value of item {number} here?", "answer": "4"} for number in range(SAMPLES)]
    data = write_chartqa(tmp_path / "d", questions)
    with simulated_in_thread(
        reply="Answer: 4",
        faults=lambda number: None if killed or number <= ANSWERED else Fault("hang"),
        on_request=lambda request: asked.update([request.text]),
    ) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        out = tmp_path / "out"
        driver = _start("fixed:oracle@@Ask", registry, data, out)
        wait_for_records(out, driver, ANSWERED)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL == -9
        killed = True

        committed = _committed(out)
        assert len(committed) == ANSWERED
        before = Counter(asked)

        assert cli("resume", out, "--quiet").returncode == 0
        after = asked - before
        assert not set(after) & committed
        # What was in flight when the driver died is asked once more, everything else just once.
        assert sum(after.values()) == SAMPLES - len(committed)

    frame = open_run(out).rollouts()
    assert len(frame) == SAMPLES
    assert frame.index.is_unique
    assert set(frame["outcome"]) == {"answered"}
    value = json.loads((out / "report/results.json").read_text())["systems"][0]["tasks"]["maestro_chartqa"]["value"]
    assert value == 1.0


def test_ctrl_c_finishes_what_is_in_flight_and_leaves_a_run_that_resume_ends(cli: Cli, tmp_path: Path) -> None:
    data = write_chartqa(tmp_path / "d", [{"question": f"Item {number}?", "answer": "4"} for number in range(SAMPLES)])
    with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=0.5)) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        out = tmp_path / "out"
        driver = _start("direct:oracle", registry, data, out)
        wait_for_records(out, driver, at_least=5)
        driver.send_signal(signal.SIGINT)
        table, said = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == 4
        assert said.splitlines()[-1] == f"maestro-eval: interrupted; maestro-eval resume {out} continues"
        # The table of what is there says how much is not.
        assert "†" in table
        # Every request that was begun ended as a record.
        assert len(_committed(out)) == len(server.requests) < SAMPLES
        assert cli("resume", out, "--quiet", "--concurrency", "32").returncode == 0
        assert len(server.requests) == SAMPLES
    assert open_run(out).counts().answered == SAMPLES


def _start(policy: str, registry: Path, data: Path, out: Path) -> subprocess.Popen[str]:
    """A driver in a process of its own, three rollouts at once."""
    return subprocess.Popen(
        command(
            "run", "--policy", policy, "--registry", registry, "--tasks", "maestro_chartqa",
            "--data", f"maestro_chartqa={data}", "--out", out, "--concurrency", "3", "--quiet", "--no-cache",
        ),
        cwd=out.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def _committed(out: Path) -> set[str]:
    """The questions of the rollouts in the journal."""
    with Journal.open(out, read_only=True) as journal:
        return {sample.question for _, sample in journal.rollouts()}
