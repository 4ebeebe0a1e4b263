"""CONTRIBUTING's recipes: each diff applies in an empty folder, and its command works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_eval.testing import simulated_in_thread

PAGE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
_RECIPE = re.compile(r"^### (Add .*?)$.*?```diff\n(.*?)```\n```\n(.*?)\n```", re.MULTILINE | re.DOTALL)
_MOST_LINES = 30


@pytest.mark.skipif(not PAGE.exists(), reason="CONTRIBUTING.md is not in this checkout")
def test_each_recipe_is_a_short_diff_and_a_command_that_work(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    registry = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert registry is not None
    recipes = _RECIPE.findall(page)
    assert [name for name, _, _ in recipes] == [
        "Add a benchmark", "Add a metric", "Add a policy", "Add a skill", "Add an exporter"
    ]  # fmt: skip
    with simulated_in_thread(reply="Answer: 4") as server:
        (tmp_path / "registry.yaml").write_text(registry[1].replace("http://127.0.0.1:8378/v1", server.url))
        for number, (name, diff, command) in enumerate(recipes):
            assert sum(line.startswith("+") and not line.startswith("+++") for line in diff.splitlines()) <= _MOST_LINES
            subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True)
            done = run(command, tmp_path, f"out{number}")
            assert done.returncode == 0, f"{name}: {done.stderr}"
            if number == 0:
                (tmp_path / "out").symlink_to("out0")
    assert [accuracy(tmp_path / f"out{number}") for number in range(4)] == [0.5, 1.0, 0.5, 0.5]
    assert (tmp_path / "answers" / "answers.csv").read_text() == "0,1.0\n1,0.0\n"


def run(command: str, folder: Path, out: str) -> subprocess.CompletedProcess[str]:
    words = [word if word != "out" or "export" in command else out for word in shlex.split(command)]
    paths = [word.partition("=")[2] for word in words if word.startswith("PYTHONPATH=")]
    words = [word for word in words if not word.startswith("PYTHONPATH=")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*(str(folder / path) for path in paths), *sys.path])}
    return subprocess.run(
        [sys.executable, "-m", *("maestro_eval.cli.main", *words[1:])],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def accuracy(out: Path) -> float:
    (task,) = json.loads((out / "report" / "results.json").read_text())["systems"][0]["tasks"].values()
    return float(task["value"])
