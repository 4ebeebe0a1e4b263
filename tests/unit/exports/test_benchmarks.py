"""Task files and images, found again from what a manifest says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs
from PIL import Image

from maestro_eval.exports.benchmarks import hub_definitions, image_reader
from maestro_eval.exports.source import Source, open_source
from maestro_eval.files import bundled
from maestro_eval.records import Answered, LoadedSample, RolloutKey, UserError
from maestro_eval.tasks import TaskSpec, open_task
from tests.unit.exports.export_worlds import CHARTQA, HOSTILE, manifest_of, write_run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One row of ChartQA with its picture."""
    Image.new("RGB", (32, 32), (7, 90, 200)).save(tmp_path / "0.png")
    path = tmp_path / "chartqa.jsonl"
    path.write_text(json.dumps({"type": "human_test", "image": "0.png", "question": "How many?", "answer": "7"}) + "\n")
    return path


@pytest.fixture
def loaded(data: Path) -> LoadedSample:
    return open_task(TaskSpec("maestro_chartqa", str(bundled("tasks")), str(data))).load("0")


@pytest.fixture
def source(data: Path, loaded: LoadedSample, tmp_path: Path) -> Source:
    manifest = manifest_of([structs.replace(CHARTQA, data=str(data), planned=1)])
    outcomes = {RolloutKey("maestro_chartqa", "0"): Answered("7")}
    return open_source(write_run(tmp_path / "run", manifest, outcomes, {"0": loaded.sample}), "official")


def test_a_bundled_task_is_found_by_its_name(whole: Path) -> None:
    found = hub_definitions(open_source(whole, "official"))
    assert {name: each.dataset_path for name, each in found.items()} == {
        "maestro_chartqa": "lmms-lab-encoder/ChartQA",
    }  # fmt: skip


def test_an_image_is_read_again_by_its_hash(source: Source, loaded: LoadedSample) -> None:
    (image,) = loaded.images
    assert image_reader(source)(loaded.sample) == {image.ref.sha256: image}


def test_an_image_that_is_gone_is_left_out(source: Source, loaded: LoadedSample, data: Path) -> None:
    (data.parent / "0.png").unlink()
    assert image_reader(source)(loaded.sample) == {}


def test_data_that_is_gone_is_told(source: Source, loaded: LoadedSample, data: Path) -> None:
    data.unlink()
    with pytest.raises(UserError, match="no such file"):
        image_reader(source)(loaded.sample)


def test_a_task_without_a_file_is_told(whole: Path) -> None:
    source = open_source(whole, "official")
    row = next(source.rows(HOSTILE.name))
    assert row.sample is not None
    with pytest.raises(UserError, match="--with-images"):
        image_reader(source)(row.sample)
