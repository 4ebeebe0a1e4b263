"""The same task files in lmms-eval itself: the same questions, targets and images, and verdicts by our protocols.

It needs lmms-eval and ``datasets`` in the environment. Nothing is fetched: each task's dataset is a local folder in
the shape of a hub repository.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("lmms_eval")
pytest.importorskip("datasets")

from maestro_eval.files import bundled
from maestro_eval.records import Sample, ScoringProtocol
from maestro_eval.sandbox import available
from maestro_eval.tasks import Task, define, open_task, select_tasks
from tests.benchmarks import rows
from tests.benchmarks.rows import SCHEMAS

Tasks = dict[str, Any]

RIGHT = {
    "chartqa": "337.8",
    "geometry3k": "C",
    "microvqa": "B",
    "msearthmcq": "B",
    "slake": "Liver",
    "tallyqa": "4",
    "hrbench4k": "B",
    "hrbench8k": "B",
    "vstar": "B",
    "mathvision": "B",
    "mathvision_testmini": "B",
    "erqa": "B",
    "ocrbench": "centre",
    "vlmsareblind": "{2}",
    "mathvista": "B",
}
"""What answers the first row."""


@pytest.fixture(scope="module")
def lmms_tasks(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    """All our tasks as lmms-eval makes them of our files, with the dataset of each a folder of rows."""
    from lmms_eval.tasks import TaskManager, get_task_dict

    folder = tmp_path_factory.mktemp("lmms")
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HOME", str(folder / "hf"))
    patch.setenv("HF_HUB_OFFLINE", "1")
    try:
        shutil.copytree(bundled("tasks"), folder / "tasks")
        for name in SCHEMAS:
            data = rows.write_for_datasets(name, folder / "data" / name)
            file = folder / "tasks" / f"maestro_{name}.yaml"
            lines = file.read_text().splitlines()
            local = [f"dataset_path: {data}" if line.startswith("dataset_path:") else line for line in lines]
            file.write_text("\n".join(local) + "\n")
        manager = TaskManager(include_path=str(folder / "tasks"), include_defaults=False)
        made = get_task_dict([f"maestro_{name}" for name in SCHEMAS], manager, task_type="chat")
    finally:
        patch.undo()
    return {name.removeprefix("maestro_"): task for name, task in made.items()}


@pytest.fixture(scope="module")
def our_tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    folder = tmp_path_factory.mktemp("ours")
    paths = {f"maestro_{name}": str(rows.write(name, folder / name)) for name in SCHEMAS}
    return {spec.name.removeprefix("maestro_"): open_task(spec) for spec in select_tasks(list(paths), data=paths)}


def our_samples(task: Task) -> list[Sample]:
    return [task.load(sample_id).sample for sample_id in task.ids()]


def test_lmms_eval_lists_our_tasks_under_our_tags(tmp_path: Path) -> None:
    from lmms_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(bundled("tasks")), include_defaults=False)
    assert {f"maestro_{name}" for name in SCHEMAS} <= set(manager.all_subtasks)
    assert {"maestro_main", "maestro_seen", "maestro_unseen", "maestro_ood"} <= set(manager.all_tags)


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_loaders_ask_the_same(lmms_tasks: Tasks, our_tasks: dict[str, Task], name: str) -> None:
    task = lmms_tasks[name]
    docs = list(task.eval_docs)
    ours = our_samples(our_tasks[name])
    assert [task.doc_to_text(doc) for doc in docs] == [sample.question for sample in ours]
    for doc, sample in zip(docs, ours, strict=True):
        target = task.doc_to_target(doc)
        assert tuple(map(str, target if isinstance(target, list) else [target])) == sample.targets


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_loaders_show_the_same_pictures(lmms_tasks: Tasks, our_tasks: dict[str, Task], name: str) -> None:
    import io

    from PIL import Image

    task, ours = lmms_tasks[name], our_tasks[name]
    for doc, sample_id in zip(task.eval_docs, ours.ids(), strict=True):
        shown = [Image.open(io.BytesIO(image.data)).convert("RGB") for image in ours.load(sample_id).images]
        given = task.doc_to_visual(doc)
        assert [image.mode for image in given] == ["RGB"] * len(shown)
        assert [image.tobytes() for image in given] == [image.tobytes() for image in shown]


def verdicts(task: Any, answer: str) -> dict[str, float]:
    """What becomes of an answer to the first row, aggregated by lmms-eval's task over that row alone."""
    doc = next(iter(task.eval_docs))
    result = task.process_results(doc, [answer])
    json.dumps(result)  # lmms-eval logs it
    return {metric: task.aggregation()[metric]([value]) for metric, value in result.items()}


@pytest.mark.parametrize("name", RIGHT)
def test_a_reply_is_judged_by_our_protocols(lmms_tasks: Tasks, name: str) -> None:
    for reply, value in ((RIGHT[name], 1.0), ("", 0.0), ("I cannot tell what is shown here.", 0.0)):
        found = verdicts(lmms_tasks[name], reply)
        assert found.keys() == set(get_args(ScoringProtocol))
        # The released rules want a form that the plain answer need not have.
        assert {found[protocol] for protocol in ("official", "fair", "strict")} == {value}


def test_a_reply_with_tags_is_read_as_a_transcript_and_one_without_as_an_answer(lmms_tasks: Tasks) -> None:
    task = lmms_tasks["chartqa"]
    assert verdicts(task, "<think>No.</think><answer>337.8</answer>")["released"] == 1.0
    assert verdicts(task, "It was <answer>12</answer>")["released"] == 0.0
    assert verdicts(task, "<think>337</think>337.8")["released"] == 1.0


@pytest.mark.skipif(available() is not None, reason="no sandbox here")
def test_a_program_is_judged(lmms_tasks: Tasks) -> None:
    pytest.importorskip("pylint")
    solution = SCHEMAS["humanevalv"].rows[0]["ground_truth_solution"]
    assert verdicts(lmms_tasks["humanevalv"], f"Here:\n```python\n{solution}```\nDone.") == {
        "official": 1.0, "fair": 1.0, "strict": 0.0, "released": 1.0,
    }  # fmt: skip
    wrong = solution.replace("2 * n", "3 * n")
    assert verdicts(lmms_tasks["humanevalv"], f"```python\n{wrong}```")["official"] == 0.0


@pytest.mark.parametrize(("name", "answers", "mean"), [
    # Rotations: (1 + 0) / 2 of the first and 1 of the second.
    ("hrbench4k", ["B", "A", "A"], 0.75),
    # Three of the seven tasks are there, one of them right.
    ("vlmsareblind", ["2", "yes", "5,4"], 1 / 3),
])  # fmt: skip
def test_means_of_means(lmms_tasks: Tasks, name: str, answers: list[str], mean: float) -> None:
    task = lmms_tasks[name]
    results = [task.process_results(doc, [answer]) for doc, answer in zip(task.eval_docs, answers, strict=True)]
    for metric in ("official", "fair"):
        assert task.aggregation()[metric]([result[metric] for result in results]) == pytest.approx(mean)


def test_replies_are_not_cut_at_their_first_empty_line(lmms_tasks: Tasks) -> None:
    assert all(task.config.generation_kwargs["until"] == [] for task in lmms_tasks.values())


def test_slake_is_english_there_too(lmms_tasks: Tasks) -> None:
    assert [doc["q_lang"] for doc in lmms_tasks["slake"].eval_docs] == ["en", "en"]
    assert define(select_tasks(["maestro_slake"], data={})[0]).keep is not None
