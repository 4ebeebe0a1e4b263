"""A run made of somebody else's parts: tasks, metric, registry, pipeline, policy, hook, export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maestro_eval.cli.main import main
from maestro_eval.testing import simulated_in_thread
from tests.plugin_worlds import installed
from tests.unit.tasks.parquet_rows import png, write_rows

PARTS = """
from maestro_eval import Hook, Metric
from maestro_eval.policies import Pair


async def twice(context):
    first = await context.ask(context.prompt(()), context.shown(()))
    return first + first


class First:
    model = "first"

    def choose(self, question, seed):
        return [Pair("reader", "Twice")]


SAME_END = Metric(rule=lambda sample, answer: answer[-1:] == sample.targets[0][-1:])


class Noting(Hook):
    def on_rollout(self, rollout, sample):
        with open("NOTES", "a") as file:
            print(sample.sample_id, rollout.key.repeat, file=file)


def names(source, out, options):
    out.mkdir(parents=True)
    path = out / "names.txt"
    path.write_text(" ".join(task.name for task in source.manifest.tasks))
    return [path]
"""
POINTS = """
[maestro_eval.metrics]
same_end = stranger.parts:SAME_END
[maestro_eval.policies]
first = stranger.parts:First
[maestro_eval.pipelines]
twice = stranger.parts:twice
[maestro_eval.hooks]
noting = stranger.parts:Noting
[maestro_eval.exporters]
names = stranger.parts:names
[maestro_eval.tasks]
theirs = stranger.tasks
[maestro_eval.registries]
theirs = stranger.registries
"""
TASK = """
task: theirs_letters
dataset_path: local:letters
test_split: test
doc_to_visual: image
doc_to_text: question
doc_to_target: answer
metadata:
  maestro:
    metric: same_end
    columns: {question: string, answer: string, image: image}
"""
REGISTRY = """
schema: 1
name: theirs
endpoints: {here: {url: URL}}
experts: {reader: {model: m, endpoint: here, description: Reads.}}
skills: {Twice: {description: Asks once and says it twice., pipeline: twice}}
"""


def test_every_part_of_a_run_may_come_from_another_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, out, rows = tmp_path / "notes", tmp_path / "run", tmp_path / "rows.parquet"
    texts = {"question": ["Which?", "And now?"], "answer": ["b", "c"]}
    columns = {name: ("string", values) for name, values in texts.items()}
    write_rows(rows, {**columns, "image": ("image", [png(), png(width=9)])})
    with simulated_in_thread(models=["m"], reply="Answer: b\n") as server:
        files = {
            "stranger/__init__.py": "",
            "stranger/parts.py": PARTS.replace("NOTES", str(notes)),
            "stranger/tasks/__init__.py": "",
            "stranger/tasks/letters.yaml": TASK,
            "stranger/registries/__init__.py": "",
            "stranger/registries/theirs.yaml": REGISTRY.replace("URL", server.url),
        }
        with installed(tmp_path / "path", files, POINTS):
            run = ["run", "--policy", "first", "--registry", "theirs", "--tasks", "theirs_letters", "--quiet"]
            assert main([*run, "--data", f"theirs_letters={rows}", "--out", str(out), "--hook", "noting"]) == 0
            assert main(["export", str(out), "--format", "names"]) == 0
    assert sorted(notes.read_text().split("\n")[:2]) == ["0 0", "1 0"]
    assert (out / "exports" / "names" / "names.txt").read_text() == "theirs_letters"
    (task,) = json.loads((out / "manifest.json").read_text())["tasks"]
    assert task["metric_hash"]
    assert "50.0" in capsys.readouterr().out
