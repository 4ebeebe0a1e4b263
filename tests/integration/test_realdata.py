"""Real questions and pictures through the embedded default, from the benchmarks' schemas to the printed table.

The embedded experts were made for drawn diagrams: what is checked here is that every sample loads, runs, is judged by
every protocol and reported, not how many are right.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from integration.conftest import Cli

from maestro_eval.journal import Journal
from maestro_eval.records import Failed
from maestro_eval.tasks import open_task, select_tasks
from tests import realdata

pytestmark = pytest.mark.skipif(not realdata.available(), reason="../shared/realdata is not there")

COUNTS = {
    "maestro_chartqa": 24,
    "maestro_erqa": 16,
    "maestro_geometry3k": 16,
    "maestro_mathvista": 16,
    "maestro_slake": 20,
    "maestro_vlmsareblind": 42,
}
ASKED = 2


@pytest.mark.parametrize("name", COUNTS)
def test_every_real_sample_loads_with_its_pictures(tmp_path: Path, name: str) -> None:
    path = realdata.WRITERS[name](tmp_path)
    task = open_task(select_tasks([name], data={name: str(path)})[0])
    loaded = [task.load(sample_id) for sample_id in task.ids()]
    assert len(loaded) == COUNTS[name]
    assert all(each.images and each.sample.targets and each.sample.question for each in loaded)
    assert all("<image>" not in each.sample.question for each in loaded)


def test_options_of_real_erqa_questions_are_read_or_left(tmp_path: Path) -> None:
    path = realdata.WRITERS["maestro_erqa"](tmp_path)
    task = open_task(select_tasks(["maestro_erqa"], data={"maestro_erqa": str(path)})[0])
    samples = [task.load(sample_id).sample for sample_id in task.ids()]
    # One of the sixteen lists coordinates behind "A:", which are options as well.
    assert all(2 <= len(sample.choices) <= 4 for sample in samples)
    assert any(len(sample.images) > 1 for sample in samples)


def test_real_samples_run_from_data_to_table(cli: Cli, tmp_path: Path) -> None:
    mapping = {name: str(write(tmp_path / "data")) for name, write in realdata.WRITERS.items()}
    (tmp_path / "data.yaml").write_text("".join(f"{name}: {path}\n" for name, path in mapping.items()))
    result = cli(
        "run", "--policy", "router", "--registry", "embedded_augmented", "--tasks", ",".join(COUNTS),
        "--data", "data.yaml", "--limit", str(ASKED), "--out", "out", "--quiet", timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with Journal.open(tmp_path / "out", read_only=True) as journal:
        records = list(journal.rollouts())
    assert len(records) == ASKED * len(COUNTS)
    failed = [rollout.outcome for rollout, _ in records if isinstance(rollout.outcome, Failed)]
    assert failed == []
    for protocol in ("released", "official", "fair", "strict"):
        scored = cli("score", "out", "--protocol", protocol)
        assert scored.returncode == 0, scored.stderr
        lines = (tmp_path / "out" / "exports" / f"scores.{protocol}.jsonl").read_text().splitlines()[1:]
        scores = [json.loads(line) for line in lines]
        assert [score["task"] for score in scores] == [name for name in sorted(COUNTS) for _ in range(ASKED)]
        assert all(score["value"] in (0.0, 1.0) for score in scores)
        for name in COUNTS:
            assert name.removeprefix("maestro_") in scored.stdout.lower()
