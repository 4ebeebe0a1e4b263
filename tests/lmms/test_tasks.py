"""``lmms:NAME``: lmms-eval's tasks over local data, and what is refused before any data is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("lmms_eval")

from lmms.lmms_worlds import SPLIT, write_charts

from maestro_eval.lmms.config import check_judge, lmms_rules
from maestro_eval.lmms.task import content_of, open_lmms_task, targets_of
from maestro_eval.records import SampleError, UserError
from maestro_eval.tasks import TaskSpec, open_task
from maestro_eval.tasks.rows import row_as_json

ANSWERS = ["4", "5", "blue"]


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_charts(tmp_path_factory.mktemp("charts"), ANSWERS)


def test_a_sample_is_asked_as_lmms_eval_asks_with_its_row_and_its_images(charts: Path) -> None:
    task = open_task(TaskSpec("lmms:chartqa", "", str(charts)))
    assert (task.name, task.record.metric, task.ids(2), len(task.ids())) == ("lmms:chartqa", "lmms", ["0", "1"], 3)
    loaded = task.load("2")
    assert loaded.sample.question == "What is value 2?\nAnswer the question with a single word."
    assert loaded.sample.targets == ("blue",)
    doc = json.loads(loaded.sample.fields["doc"])
    assert doc == {"type": "augmented_test", "question": "What is value 2?", "answer": "blue"}
    assert [(image.ref.media_type, image.ref.width) for image in loaded.images] == [("image/png", 32)]
    assert loaded.sample.content_hash


def test_opened_twice_it_is_the_same(charts: Path) -> None:
    first, second = (open_lmms_task("lmms:chartqa", str(charts)) for _ in range(2))
    assert (first.record.hash, first.data_hash) == (second.record.hash, second.data_hash)
    assert first.load("1") == second.load("1")


def test_other_rows_have_another_hash(charts: Path, tmp_path: Path) -> None:
    other = open_lmms_task("lmms:chartqa", str(write_charts(tmp_path / "other", ["4", "6", "blue"])))
    assert other.data_hash != open_lmms_task("lmms:chartqa", str(charts)).data_hash


def test_a_file_a_saved_dataset_and_a_saved_split_open_alike(charts: Path, tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    split = Dataset.from_parquet(str(charts / SPLIT), cache_dir=str(tmp_path / "cache"))
    split.save_to_disk(tmp_path / "split")
    DatasetDict({"test": split}).save_to_disk(tmp_path / "both")
    folder = open_lmms_task("lmms:chartqa", str(charts))
    for path in (charts / SPLIT, tmp_path / "split", tmp_path / "both"):
        assert open_lmms_task("lmms:chartqa", str(path)).data_hash == folder.data_hash


def test_a_sample_that_is_not_there_and_a_row_that_cannot_be_shown(charts: Path, tmp_path: Path) -> None:
    task = open_lmms_task("lmms:chartqa", str(charts))
    with pytest.raises(UserError, match="no sample '7'"):
        task.load("7")
    from datasets import Dataset

    (tmp_path / "broken").mkdir()
    rows = Dataset.from_parquet(str(charts / SPLIT), cache_dir=str(tmp_path / "cache")).to_list()
    rows[1]["image"]["bytes"] = b"no picture"
    Dataset.from_list(rows).to_parquet(tmp_path / "broken" / SPLIT)
    broken = open_lmms_task("lmms:chartqa", str(tmp_path / "broken"))
    with pytest.raises(SampleError, match="lmms:chartqa 1") as caught:
        broken.load("1")
    assert caught.value.sample.sample_id == "1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ai2dd", "did you mean lmms:ai2d"),
        ("mathvista_testmini", "a group; name its tasks: lmms:mathvista_testmini_cot"),
        ("videomme", "shows video"),
        ("hrbench4k", "judge model .* set OPENAI_API_KEY"),
        ("charxiv_val_reasoning", "judge model .* set OPENAI_API_KEY"),
    ],
)
def test_what_cannot_be_run_here_is_refused_in_one_line(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=said) as refused:
        open_lmms_task(f"lmms:{name}", "no/such/data")
    assert "\n" not in str(refused.value)


def test_a_judge_is_let_through_while_its_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_TYPE", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    check_judge(lmms_rules("lmms:hrbench4k"))
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        check_judge(lmms_rules("lmms:hrbench4k"))


def test_data_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no data")
    with pytest.raises(UserError, match="no data files"):
        open_lmms_task("lmms:chartqa", str(tmp_path))


def test_video_among_the_messages_is_refused() -> None:
    with pytest.raises(ValueError, match="video"):
        content_of([{"role": "user", "content": [{"type": "video", "url": "a.mp4"}, {"type": "text", "text": "?"}]}])


def test_texts_and_images_keep_their_order() -> None:
    parts = [{"type": "image", "url": "1.png"}, {"type": "text", "text": "and"}, {"type": "image", "url": "2.png"}]
    assert content_of([{"role": "system", "content": "Look."}, {"role": "user", "content": parts}]) == (
        "Look.\nand",
        ["1.png", "2.png"],
    )


def test_rows_lose_only_what_a_scorer_cannot_want() -> None:
    row = {"a": 1, "b": b"bytes", "long": "x" * 200_000, "list": ["y", b"z"], "deep": {"c": 0.5, "d": object()}}
    assert json.loads(row_as_json(row)) == {"a": 1, "list": ["y", None], "deep": {"c": 0.5}}


def test_targets_are_texts() -> None:
    assert targets_of(["a", 2, None, ""]) == ("a", "2")
    assert targets_of(0) == ("0",)
