"""CONTRIBUTING's recipes: in one folder, in their order, each diff applies and its command works as it is written."""

from __future__ import annotations

import json
import os
import re
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
    folder, programs = tmp_path / "folder", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    # The code under test, whatever `maestro-eval` is installed.
    program = programs / "maestro-eval"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m maestro_eval.cli.main "$@"\n')
    program.chmod(0o755)
    with simulated_in_thread(reply="Answer: 4") as server:
        # The port alone is not the page's: tests run beside each other.
        (folder / "registry.yaml").write_text(registry[1].replace("http://127.0.0.1:8378/v1", server.url))
        for name, diff, command in recipes:
            assert sum(line.startswith("+") and not line.startswith("+++") for line in diff.splitlines()) <= _MOST_LINES
            subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=folder, check=True)
            done = run(command, folder, programs)
            assert done.returncode == 0, f"{name}: {done.stderr}"
    outs = ("out-sums", "out-near", "out-first", "out-twice")
    assert [accuracy(folder / out) for out in outs] == [0.5, 1.0, 0.5, 0.5]
    assert (folder / "answers" / "answers.csv").read_text() == "0,1.0\n1,0.0\n"


def run(command: str, folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def accuracy(out: Path) -> float:
    (task,) = json.loads((out / "report" / "results.json").read_text())["systems"][0]["tasks"].values()
    return float(task["value"])
