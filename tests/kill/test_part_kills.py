"""An expert, a Ray worker, the raylet or a driver under Ray is killed in the middle of a run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil
import pytest
from integration.conftest import Cli, command, environment, wait_for_records, write_chartqa, write_registry
from kill.harness import SCORES, committed
from patience import PATIENCE_S, free_ports

from maestro_eval.journal import Journal

MANY = 60
ON_RAY = ("--executor", "ray", "--workers", "2", "--concurrency", "2")


class Expert:
    """The simulated server in a process of its own, on one port for all its lives; its log outlives it."""

    def __init__(self, folder: Path, latency_s: float) -> None:
        self._log = folder / "asked.jsonl"
        self._latency_s = latency_s
        (self.port,) = free_ports(1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, *more: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "maestro_eval.testing", "--port", str(self.port), "--reply"),
                *("Answer: 4", "--latency", str(self._latency_s), "--log", str(self._log), "--exit-with-parent"),
                *more,
            ],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("listening")

    def kill(self) -> None:
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL == -9
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def asked(self) -> Counter[str]:
        """How often each question came, in all lives."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return Counter(json.loads(line)["text"] for line in lines)


@pytest.fixture
def expert(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Expert]:
    """An expert of 0.15 s a reply, or of the test's own latency."""
    with Expert(tmp_path, latency_s=getattr(request, "param", 0.15)) as one:
        yield one


@pytest.fixture
def arguments(tmp_path: Path, expert: Expert) -> list[str | Path]:
    """The command line of a run, but for its folder."""
    questions = [{"question": f"What is the value of item {n} here?", "answer": "4"} for n in range(MANY)]
    data = write_chartqa(tmp_path / "d", questions)
    registry = write_registry(tmp_path / "r.yaml", expert.url)
    return [
        *("run", "--policy", "fixed:oracle@@Ask", "--registry", registry, "--tasks", "maestro_chartqa"),
        *("--data", f"maestro_chartqa={data}", "--quiet"),
    ]


def test_an_expert_that_dies_and_comes_back_costs_no_answer(
    process: Cli, tmp_path: Path, expert: Expert, arguments: list[str | Path]
) -> None:
    out = tmp_path / "out"
    with driving([*arguments, "--out", out, "--concurrency", "4"]) as driver:
        wait_for_records(out, driver, at_least=8)
        expert.kill()
        time.sleep(0.3)
        expert.start()
        assert driver.wait(PATIENCE_S) in (0, 3)
    finish(process, out, expert)
    same_scores_as_undisturbed(process, arguments, out)


@pytest.mark.slow
class TestUnderRay:
    def test_a_killed_worker_costs_the_run_nothing(
        self, process: Cli, tmp_path: Path, expert: Expert, arguments: list[str | Path]
    ) -> None:
        out = tmp_path / "out"
        with driving([*arguments, "--out", out, *ON_RAY]) as driver:
            wait_for_records(out, driver, at_least=8)
            before = committed(out)
            asked = expert.asked()
            (worker, *_) = children(driver, lambda name: name.startswith("ray::Host"))
            worker.kill()
            assert driver.wait(PATIENCE_S) == 0
        assert not (expert.asked() - asked).keys() & before
        # What the dead worker was at is asked once more, and nothing else.
        assert sum(expert.asked().values()) <= MANY + 2
        finish(process, out, expert)
        same_scores_as_undisturbed(process, arguments, out)

    # Slow replies, so that there is much to do when Ray has understood that it is dead, on a busy machine too.
    @pytest.mark.parametrize("expert", [3.0], indirect=True)
    def test_a_killed_raylet_ends_the_driver_and_loses_nothing(
        self, process: Cli, tmp_path: Path, expert: Expert, arguments: list[str | Path]
    ) -> None:
        out = tmp_path / "out"
        with driving([*arguments, "--out", out, *ON_RAY]) as driver:
            wait_for_records(out, driver, at_least=1)
            (raylet,) = children(driver, lambda name: name == "raylet")
            raylet.kill()
            # Ray does not start again by itself, and its workers end with it.
            assert driver.wait(PATIENCE_S) == 2
        assert len(committed(out)) < MANY
        finish(process, out, expert, "--executor", "local", "--workers", "3", "--concurrency", "8", cut_off=True)
        same_scores_as_undisturbed(process, arguments, out)

    def test_a_killed_driver_leaves_no_worker_behind_and_the_run_goes_on_with_one(
        self, process: Cli, tmp_path: Path, expert: Expert, arguments: list[str | Path]
    ) -> None:
        out = tmp_path / "out"
        with driving([*arguments, "--out", out, *ON_RAY]) as driver:
            wait_for_records(out, driver, at_least=8)
            # Ray's agents take their time, but nothing may be left that asks experts or starts what does.
            of_ray = children(driver, lambda name: name == "raylet" or name.startswith("ray::Host"))
            assert of_ray
            driver.kill()
            assert driver.wait() == -signal.SIGKILL == -9
        _, left = psutil.wait_procs(of_ray, timeout=30)
        assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
        finish(process, out, expert, "--workers", "1", "--concurrency", "16", cut_off=True)
        same_scores_as_undisturbed(process, arguments, out)


@contextmanager
def driving(arguments: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A driver in a process of its own; whatever happens, it does not outlive the test, but what it said does."""
    with subprocess.Popen(command(*arguments), env=environment(), stdout=subprocess.DEVNULL) as driver:
        try:
            yield driver
        finally:
            if driver.poll() is None:
                driver.kill()


def children(driver: subprocess.Popen[bytes], named: Callable[[str], bool]) -> list[psutil.Process]:
    """The processes below the driver whose command begins with such a name."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if named(os.path.basename((process.cmdline() or [process.name()])[0])):
                found.append(process)
    return found


def finish(process: Cli, out: Path, expert: Expert, *more: str, cut_off: bool = False) -> None:
    """Go on with the run, and check that nothing was lost or repeated.

    ``cut_off``: the driver or Ray was killed, and the run's cache may have replies whose rollouts are not committed.
    """
    before, asked = committed(out), expert.asked()
    resumed = process("resume", out, "--quiet", *more)
    assert resumed.returncode == 0, resumed.stderr
    again = expert.asked() - asked
    assert not again.keys() & before, "a committed rollout was run again"
    missing = MANY - len(before)
    assert sum(again.values()) <= missing if cut_off else sum(again.values()) == missing
    assert len(expert.asked()) == MANY
    with Journal.open(out, read_only=True) as journal:
        counts = journal.counts()
        assert counts.answered == counts.planned == MANY
        assert len({rollout.key for rollout, _ in journal.rollouts()}) == MANY


def same_scores_as_undisturbed(process: Cli, arguments: list[str | Path], out: Path) -> None:
    undisturbed = out.parent / "undisturbed"
    assert process(*arguments, "--out", undisturbed).returncode == 0
    assert (out / SCORES).read_bytes() == (undisturbed / SCORES).read_bytes()
