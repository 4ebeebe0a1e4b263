"""lmms-eval's own readers of results and samples read what we export."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from lmms_eval.baselines.loader import load_baseline
from lmms_eval.loggers.evaluation_tracker import EvaluationTracker
from lmms_eval.utils import make_table, sanitize_model_name

from maestro_eval.exports import Options, export_run
from maestro_eval.exports.privacy import Scrubber
from tests.unit.exports.export_worlds import HOME, KEY, broken_run, whole_run

OPTIONS = Options(now=1.0, scrubber=Scrubber.of_environment({"OPENAI_API_KEY": KEY, "HOME": HOME}))


def exported(run: Path, out: Path) -> tuple[Path, dict[str, Path]]:
    """The results file, and the samples file of each task."""
    results, *samples = export_run(run, "lmms-eval", out, options=OPTIONS)
    return results, {path.stem.partition("_samples_")[2]: path for path in samples}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def of_whole(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    return exported(whole_run(tmp_path / "run"), tmp_path / "out")


@pytest.fixture
def of_broken(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    return exported(broken_run(tmp_path / "run"), tmp_path / "out")


def test_its_table_shows_our_numbers(of_whole: tuple[Path, dict[str, Path]]) -> None:
    table = make_table(json.loads(of_whole[0].read_text()))
    (line,) = (line for line in table.splitlines() if "relaxed_accuracy" in line)
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[1] == "maestro_chartqa"
    assert "0.3333" in cells
    assert cells[4] == "relaxed_accuracy"
    means = make_table(json.loads(of_whole[0].read_text()), "groups")
    assert "0.3333" in means


def test_its_baseline_loader_reads_the_score_of_every_sample(of_whole: tuple[Path, dict[str, Path]]) -> None:
    scores, aggregate = load_baseline(str(of_whole[1]["maestro_chartqa"]), "maestro_chartqa")
    assert scores == {0: 1.0, 1: 0.0, 2: 0.0}
    assert aggregate is not None
    assert aggregate["results"]["maestro_chartqa"]["relaxed_accuracy,none"] == pytest.approx(1 / 3)


def test_its_baseline_loader_passes_a_failed_sample_by(of_broken: tuple[Path, dict[str, Path]]) -> None:
    results, samples = of_broken
    scores, _ = load_baseline(str(samples["maestro_chartqa"]), "maestro_chartqa")
    assert scores == {0: 0.5}
    written = json.loads(results.read_text())
    assert written["maestro"]["n_failed"] == {"maestro_chartqa": 2}
    assert len(written["maestro"]["shortcomings"]) == 2


def test_the_folder_and_the_files_are_named_as_it_names_them(of_whole: tuple[Path, dict[str, Path]]) -> None:
    results, samples = of_whole
    model = json.loads(results.read_text())["model_name"]
    assert results.parent.name == sanitize_model_name(model) == "Jinyang23__Maestro-4B"
    assert results.name == "20260921_141320_results.json"
    assert samples["maestro_chartqa"].name == "20260921_141320_samples_maestro_chartqa.jsonl"


def test_a_sample_has_every_field_that_it_writes_itself(of_whole: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    tracker = EvaluationTracker(output_path=str(tmp_path / "its"))
    tracker.date_id = "stamp"
    tracker.general_config_tracker.model_name_sanitized = "model"
    sample = {
        "doc_id": 0, "doc": {}, "target": "7", "arguments": ["question", {}], "resps": [["said"]],
        "filtered_resps": ["answer"], "token_counts": [{"output_tokens": 3}], "doc_hash": "h", "relaxed_accuracy": 1.0,
    }  # fmt: skip
    tracker.save_results_samples("task", [sample])
    (its,) = rows(tmp_path / "its" / "model" / "stamp_samples_task.jsonl")
    ours = rows(of_whole[1]["maestro_chartqa"])[0]
    assert its.keys() <= ours.keys()
    assert {name: type(value) for name, value in its.items()} == {name: type(ours[name]) for name in its}


def test_datasets_loads_the_samples(of_broken: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    from datasets import load_dataset

    path = str(of_broken[1]["maestro_chartqa"])
    table = load_dataset("json", data_files=path, cache_dir=str(tmp_path / "cache"))["train"]
    assert table["doc_id"] == [0, 1, 2]
    assert table["score"] == [0.5, None, None]


def test_its_viewer_lists_the_run_and_its_samples(of_whole: tuple[Path, dict[str, Path]]) -> None:
    server = pytest.importorskip("lmms_eval.tui.server", reason="its viewer wants fastapi")
    root = str(of_whole[0].parent.parent)
    (run,) = asyncio.run(server.list_log_runs(root))
    assert run.model_name == "Jinyang23/Maestro-4B"
    assert run.metrics["maestro_chartqa"]["relaxed_accuracy,none"] == pytest.approx(1 / 3)
    for task in run.tasks:
        page = asyncio.run(server.get_log_run_samples(run.run_id, task, root, offset=0, limit=50))
        assert page.total == run.n_samples[task]["effective"]


def test_nothing_private_is_in_it(of_broken: tuple[Path, dict[str, Path]]) -> None:
    results, samples = of_broken
    text = results.read_text() + "".join(path.read_text() for path in samples.values())
    assert not [private for private in ("alice", "sesame", KEY) if private in text]
