"""lmms-eval runs us: its own command line, its evaluator, a task file of ours over local data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from lmms.lmms_worlds import write_charts, write_registry

from maestro_eval import open_run
from maestro_eval.files import bundled
from maestro_eval.journal import Journal
from maestro_eval.records import Answered, UserError
from maestro_eval.tasks import TaskSpec, open_task
from maestro_eval.testing import Fault, simulated_in_thread

ANSWERS = ["4", "5", "4", "4.1"]


def local_tasks(folder: Path, data: Path) -> Path:
    """The bundled task files, with ChartQA's reading ``data`` in place of the hub."""
    shutil.copytree(bundled("tasks"), folder)
    file = folder / "maestro_chartqa.yaml"
    file.write_text(file.read_text().replace("lmms-lab-encoder/ChartQA", str(data)))
    return folder


def lmms_eval(tmp_path: Path, tasks: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "lmms_eval", "--model", "maestro", "--model_args", arguments,
        "--tasks", "maestro_chartqa", "--include_path", str(tasks), "--output_path", str(tmp_path / "results"),
        "--log_samples",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


def results(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((tmp_path / "results").rglob("*_results.json"))]


@pytest.fixture(scope="module")
def ran_twice(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same command twice: at first one of the expert's replies is an error."""
    tmp_path = tmp_path_factory.mktemp("lmms")
    tasks = local_tasks(tmp_path / "tasks", write_charts(tmp_path / "data", ANSWERS))
    asked: list[int] = []

    def third_fails(number: int) -> Fault | None:
        asked.append(number)
        return Fault("status", status=400) if number == 3 else None

    with simulated_in_thread(reply="I read it. Answer: 4", models=["oracle"], faults=third_fails) as server:
        registry = write_registry(tmp_path / "small.yaml", server.url)
        arguments = f"registry={registry},policy=random,concurrency=1"
        first = lmms_eval(tmp_path, tasks, arguments)
        after_first = (results(tmp_path), len(asked))
        second = lmms_eval(tmp_path, tasks, arguments)
    return {"path": tmp_path, "first": first, "after_first": after_first, "second": second, "asked": len(asked)}


def test_a_failed_rollout_ends_the_evaluation_with_the_way_on_and_no_results(ran_twice: dict[str, Any]) -> None:
    said = ran_twice["first"].stdout + ran_twice["first"].stderr
    assert "1 of 4 rollouts failed" in said
    assert str(Path("maestro_journal") / "maestro_chartqa") in said
    assert "run the same command again" in said
    assert ran_twice["after_first"][0] == []


def test_the_same_command_asks_only_what_is_lacking_and_then_scores_all(ran_twice: dict[str, Any]) -> None:
    assert ran_twice["asked"] == ran_twice["after_first"][1] + 1
    (result,) = results(ran_twice["path"])
    values = result["results"]["maestro_chartqa"]
    # 4, 5, 4 and 4.1, all answered with 4: the last is within five percent.
    assert values["official,none"] == pytest.approx(3 / 4)
    assert values["strict,none"] == pytest.approx(3 / 4)


def test_the_journal_beside_the_results_holds_every_rollout(ran_twice: dict[str, Any]) -> None:
    with Journal.open(ran_twice["path"] / "results" / "maestro_journal" / "maestro_chartqa", read_only=True) as journal:
        kept = list(journal.rollouts())
        assert journal.counts().failed == 0
    assert [rollout.key.sample_id for rollout, _ in kept] == ["0", "1", "2", "3"]
    assert {rollout.outcome for rollout, _ in kept} == {Answered("4")}
    assert all(len(sample.images) == 1 and sample.content_hash for _, sample in kept)
    assert kept[1][1].question == "What is value 1?"


def test_samples_are_those_of_a_run_that_we_start_on_the_same_data(ran_twice: dict[str, Any]) -> None:
    path = ran_twice["path"]
    ours = open_task(TaskSpec("maestro_chartqa", str(path / "tasks"), str(path / "data")))
    with Journal.open(path / "results" / "maestro_journal" / "maestro_chartqa", read_only=True) as journal:
        assert [sample for _, sample in journal.rollouts()] == [ours.load(sample_id).sample for sample_id in ours.ids()]
        (record,) = journal.manifest.tasks
    assert (record.hash, record.metric) == (ours.record.hash, "relaxed_accuracy")


def test_the_journal_is_scored_like_any_other(ran_twice: dict[str, Any]) -> None:
    run = open_run(ran_twice["path"] / "results" / "maestro_journal" / "maestro_chartqa")
    assert [score.value for score in run.scores("official").scores] == [1.0, 0.0, 1.0, 1.0]


def test_answers_stand_beside_their_own_rows_in_the_samples_file(ran_twice: dict[str, Any]) -> None:
    (path,) = sorted((ran_twice["path"] / "results").rglob("*_samples_maestro_chartqa.jsonl"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((row["doc_id"], row["target"]) for row in rows) == list(enumerate(ANSWERS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "registry"),
        ({"registry": "embedded"}, "policy"),
        ({"registry": "embedded", "policy": "random", "polcy": "x"}, "polcy"),
    ],
)
def test_wrong_model_arguments_are_named(arguments: dict[str, str], message: str) -> None:
    from maestro_eval.lmms.model import Maestro

    with pytest.raises(UserError, match=message):
        Maestro(**arguments)


def test_likelihoods_and_rounds_are_refused() -> None:
    from maestro_eval.lmms.model import Maestro

    model = Maestro(registry="embedded", policy="random")
    with pytest.raises(UserError, match="likelihood"):
        model.loglikelihood([])
    with pytest.raises(UserError, match="rounds"):
        model.generate_until_multi_round([])
