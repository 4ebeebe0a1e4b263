"""What the integration tests share: the command line as a user calls it, and small tasks to run it on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from patience import wait_until
from PIL import Image

from maestro_eval.cli.main import main
from maestro_eval.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], process: Cli) -> Cli:
    """``cli("run", …)``: ``maestro-eval run …`` in an empty folder; with Ray in a process of its own, else in this."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        if "ray" in arguments:
            return process(*arguments, **more)
        capsys.readouterr()
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return call


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """``process("run", …)``: ``maestro-eval run …`` in a process of its own, in an empty folder."""

    def call(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``maestro-eval`` with these arguments."""
    return [sys.executable, "-m", "maestro_eval", *map(str, arguments)]


def environment() -> dict[str, str]:
    """The test's environment with this checkout first on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}


def answered(out: Path) -> int:
    """How many rollouts of the run in ``out`` are committed as answered; none where there is no run yet."""
    if not (out / "manifest.json").exists():
        return 0
    with Journal.open(out, read_only=True) as journal:
        return journal.counts().answered


def wait_for_records(out: Path, driver: subprocess.Popen[Any], at_least: int = 1) -> None:
    """Return once so many rollouts are committed; the run's driver must not end before."""

    def are_there() -> bool:
        assert driver.poll() is None, "the driver ended too soon"
        return answered(out) >= at_least

    wait_until(are_there)


def report_of(folder: Path, *arguments: str) -> str:
    """What ``maestro-eval report`` says of the run in ``folder``, as Markdown."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["report", str(folder), *arguments]) == 0
    return (folder / "report" / Path(*arguments[1:]) / "report.md").read_text()


def write_chartqa(folder: Path, samples: Sequence[Mapping[str, str]], *, pictures: bool = True) -> Path:
    """A ChartQA-schema JSONL of ``samples`` (question, answer), each with a picture of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, sample in enumerate(samples):
        name = f"{number}.png"
        if pictures:
            Image.new("RGB", (32, 32), (number * 7 % 256, 90, 200)).save(folder / name)
        lines.append(json.dumps({"type": "human_test", "image": name, **sample}))
    path = folder / "chartqa.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_registry(path: Path, url: str, name: str = "small", extra: str = "") -> Path:
    """A registry of one expert, ``oracle``, behind ``url``."""
    path.write_text(
        f"""schema: 1
name: {name}
endpoints:
  there: {{url: "{url}", max_tries: 2, timeout_s: 20}}
experts:
  oracle: {{model: oracle, endpoint: there, description: Knows what is in a picture.}}
skills:
  Ask: {{description: Ask plainly., prompt: prompts/plain.j2}}
{extra}"""
    )
    return path
