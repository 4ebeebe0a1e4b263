"""Nothing stands still in silence: what is stuck is named, the run ends, and its folder is gone on with.

Every run is a child process, and its exit code is what a script or a scheduler sees of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.conftest import Cli, answered, command, environment, write_chartqa, write_registry
from patience import PATIENCE_S, catches, wait_until

from maestro_eval import open_run
from maestro_eval.testing import Fault, Latency, simulated_in_thread

SAMPLES = 12
PIPELINES = Path(__file__).parent / "stuck_pipelines.py"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_chartqa(tmp_path / "d", [{"question": f"Item {n}?", "answer": "4"} for n in range(SAMPLES)])


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file for as long as which the pipelines of ``stuck_pipelines`` do not come back."""
    path = tmp_path / "stuck"
    path.touch()
    monkeypatch.setenv("STUCK", str(path))
    # A pipeline in the working folder is run only where its folder is named.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return path


class TestALocalRun:
    def test_calls_without_a_reply_are_named_with_their_rollouts_and_endpoint(
        self, process: Cli, tmp_path: Path, data: Path
    ) -> None:
        hanging = True
        with simulated_in_thread(
            reply="Answer: 4", faults=lambda number: Fault("hang") if hanging and number > 3 else None
        ) as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            stalled = process(*arguments(registry, data), "--stall-after", "1.5", "--quiet")
            assert stalled.returncode == 4, stalled.stderr
            # A busy machine may be warned of before.
            *_, warning, verdict = [line for line in stalled.stderr.splitlines() if "was committed" in line]
            for line in (warning, verdict):
                assert "3 rollouts are in flight: maestro_chartqa/" in line
                assert "on local" in line
                assert f"endpoint there ({server.url}): 3 calls without a reply, 0 waiting" in line
            assert "if that lasts as long again, the run is ended" in warning
            assert verdict.startswith("maestro-eval: the run stalled: ")
            assert "maestro-eval resume out" in verdict
            told = json.loads((tmp_path / "out/logs/stall.json").read_text())
            assert len(told["state"]["executor"]["out"]) == 3
            assert f"{SAMPLES - 3} × never ran" in " ".join(stalled.stdout.split())

            hanging = False
            resumed = process("resume", "out", "--quiet")
            assert resumed.returncode == 0, resumed.stderr
        assert open_run(tmp_path / "out").counts().answered == SAMPLES

    def test_a_blocked_event_loop_is_named_with_the_line_it_stands_at(
        self, process: Cli, tmp_path: Path, data: Path, stuck: Path
    ) -> None:
        with stuck_registry(tmp_path, "blocks_the_loop") as registry:
            stalled = process(*arguments(registry, data, skill="Stuck"), "--stall-after", "1.5")
            assert stalled.returncode == 4, stalled.stderr
            *_, warning, verdict = [line for line in stalled.stderr.splitlines() if "has been blocked" in line]
            assert "stuck_pipelines.py" in warning
            assert "(_wait)" in warning
            assert "the process ends here, resume the run" in verdict

            stuck.unlink()
            assert process("resume", "out", "--quiet").returncode == 0
        assert open_run(tmp_path / "out").counts().answered == SAMPLES

    def test_threads_that_never_come_back_hold_neither_the_run_nor_the_process(
        self, process: Cli, tmp_path: Path, data: Path, stuck: Path
    ) -> None:
        with stuck_registry(tmp_path, "blocks_a_thread") as registry:
            short = ("--regime-set", "rollout_deadline_s=1")
            ended = process(*arguments(registry, data, skill="Stuck"), *short, "--quiet", "--limit", "3")
            assert ended.returncode == 3, ended.stderr
            said = " ".join(ended.stdout.split())
            assert "3 × deadline" in said
            assert "not done within 1 s" in said
            assert stuck.exists()

    def test_a_run_that_only_takes_long_is_left_alone(self, process: Cli, tmp_path: Path, data: Path) -> None:
        with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=1.2)) as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            ended = process(*arguments(registry, data), "--stall-after", "4", "--quiet")
        assert (ended.returncode, ended.stderr) == (0, "")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_first_signal_lets_end_what_is_in_flight(self, tmp_path: Path, data: Path, number: int) -> None:
        with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=3.0)) as server:
            with driving(*arguments(write_registry(tmp_path / "r.yaml", server.url), data)) as driver:
                wait_until(lambda: len(server.requests) >= 3)
                driver.send_signal(number)
                assert driver.wait(PATIENCE_S) == 4
            assert answered(tmp_path / "out") == len(server.requests) == 3

    def test_ctrl_c_twice_stops_at_once(self, process: Cli, tmp_path: Path, data: Path) -> None:
        slow = Latency(base_s=60)
        with simulated_in_thread(reply="Answer: 4", latency=slow) as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            with driving(*arguments(registry, data)) as driver:
                wait_until(lambda: len(server.requests) >= 3)
                interrupt_twice(driver)
                assert driver.wait(50) == 4
            assert answered(tmp_path / "out") == 0
        with simulated_in_thread(reply="Answer: 4") as server:
            write_registry(registry, server.url)
            assert process("resume", "out", "--quiet", "--accept", "registry").returncode == 0
        assert open_run(tmp_path / "out").counts().answered == SAMPLES

    def test_ctrl_c_twice_stops_even_a_blocked_event_loop(self, tmp_path: Path, data: Path, stuck: Path) -> None:
        with stuck_registry(tmp_path, "blocks_the_loop") as registry:
            with driving(*arguments(registry, data, skill="Stuck")) as driver:
                wait_until(lambda: stuck.read_text() == "in")
                interrupt_twice(driver)
                assert driver.wait(PATIENCE_S) == 4
            assert stuck.exists()

    def test_a_defect_of_ours_ends_with_1(self, tmp_path: Path, data: Path) -> None:
        program = (
            "import maestro_eval.runtime.driver as conduct, maestro_eval.cli.main as main\n"
            "def broken(*_, **__): raise ZeroDivisionError('ours')\n"
            "conduct.RunStatus.publish = broken\n"
            "main.entry()\n"
        )
        with simulated_in_thread(reply="Answer: 4") as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            ended = subprocess.run(
                [sys.executable, "-c", program, *arguments(registry, data)],
                cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            )  # fmt: skip
        assert ended.returncode == 1, ended.stderr
        assert "this is a defect of maestro-eval: ZeroDivisionError: ours" in ended.stderr


@pytest.mark.slow
class TestOnRay:
    def test_a_worker_whose_event_loop_is_blocked_is_named_and_the_run_ends(
        self, process: Cli, tmp_path: Path, data: Path, stuck: Path
    ) -> None:
        with stuck_registry(tmp_path, "blocks_the_loop") as registry:
            on_ray = ("--executor", "ray", "--workers", "2")
            stalled = process(*arguments(registry, data, skill="Stuck"), *on_ray, "--stall-after", "8")
            assert stalled.returncode == 4, stalled.stderr
            warning, verdict = [line for line in stalled.stderr.splitlines() if "was committed" in line]
            for line in (warning, verdict):
                assert "worker ray-1 has not answered for" in line
                assert "worker ray-2 has not answered for" in line
                assert "6 rollouts are in flight: maestro_chartqa/" in line
            stuck.unlink()
            resumed = process("resume", "out", "--quiet", "--executor", "local")
            assert resumed.returncode == 0, resumed.stderr
        assert open_run(tmp_path / "out").counts().answered == SAMPLES

    def test_an_expert_that_hangs_is_named_through_the_workers(self, process: Cli, tmp_path: Path, data: Path) -> None:
        with simulated_in_thread(reply="Answer: 4", faults=lambda number: Fault("hang")) as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            on_ray = ("--executor", "ray", "--workers", "2", "--quiet")
            stalled = process(*arguments(registry, data), *on_ray, "--stall-after", "6")
            url = server.url
        assert stalled.returncode == 4, stalled.stderr
        verdict = stalled.stderr.splitlines()[-1]
        assert f"endpoint there ({url}): 6 calls without a reply" in verdict
        assert "has not answered" not in verdict

    def test_ctrl_c_from_the_terminal_lets_the_workers_finish(self, tmp_path: Path, data: Path) -> None:
        with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=2.0)) as server:
            registry = write_registry(tmp_path / "r.yaml", server.url)
            on_ray = ("--executor", "ray", "--workers", "2")
            with driving(*arguments(registry, data), *on_ray, start_new_session=True) as driver:
                wait_until(lambda: len(server.requests) >= 6)
                # As a terminal does it: to the driver, and to all that it started.
                os.killpg(driver.pid, signal.SIGINT)
                assert driver.wait(PATIENCE_S) == 4
            assert answered(tmp_path / "out") == len(server.requests) < SAMPLES


def arguments(registry: Path, data: Path, *, skill: str = "Ask") -> list[str]:
    """The command line of a run, three rollouts at once."""
    return [
        *("run", "--policy", f"fixed:oracle@@{skill}", "--registry", str(registry), "--tasks", "maestro_chartqa"),
        *("--data", f"maestro_chartqa={data}", "--out", "out", "--concurrency", "3"),
    ]


@contextmanager
def stuck_registry(folder: Path, pipeline: str) -> Iterator[Path]:
    """A registry with a skill ``Stuck`` that runs a pipeline of ``stuck_pipelines``."""
    skill = f"  Stuck: {{description: Does not come back., pipeline: 'stuck_pipelines:{pipeline}'}}\n"
    # Where the command is called, modules are found.
    shutil.copy(PIPELINES, folder)
    with simulated_in_thread(reply="Answer: 4") as server:
        yield write_registry(folder / "r.yaml", server.url, extra=skill)


@contextmanager
def driving(*given: str, start_new_session: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A driver in a process of its own, which does not outlive the test."""
    home = Path(given[given.index("--registry") + 1]).parent
    with subprocess.Popen(
        command(*given, "--quiet"),
        cwd=home,
        env=environment(),
        stdout=subprocess.DEVNULL,
        start_new_session=start_new_session,
    ) as driver:
        try:
            yield driver
        finally:
            if driver.poll() is None:
                driver.kill()


def interrupt_twice(driver: subprocess.Popen[bytes]) -> None:
    driver.send_signal(signal.SIGINT)
    # Two that come together are one to the process, which leaves SIGTERM to the system once it has had the first.
    wait_until(lambda: not catches(driver.pid, signal.SIGTERM))
    assert driver.poll() is None
    driver.send_signal(signal.SIGINT)
