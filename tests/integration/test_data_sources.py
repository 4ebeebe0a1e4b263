"""One task over every form of data: the same samples, the same pixels, the same choice among them."""

import base64
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_eval.records import Sample, SampleError, Selection
from maestro_eval.tasks import Task, choose, localise, open_task, read_data_file, select_tasks
from tests.unit.tasks.parquet_rows import png, write_rows, write_saved, write_stream

COUNT = 40
TASK = """\
task: mine
dataset_path: someone/something
dataset_name: small
test_split: test
doc_to_visual: !function rows.visual
doc_to_text: question
doc_to_target: answer
metadata:
  maestro:
    metric: integer
    id: id
    keep: !function rows.english
    category: kind
    images_in: imgs
    columns: {id: id, question: string, answer: integer, lang: string, kind: string, image: IMAGE}
"""
ROWS = """\
def visual(doc):
    return [doc["image"]]


def english(doc):
    return doc["lang"] == "en"
"""
Rows = dict[str, tuple[str, list[Any]]]


def rows_with(kind: str, images: list[Any]) -> Rows:
    return {
        "id": ("integer", list(range(700, 700 + COUNT))),
        "question": ("string", [f"How many, {number}?" for number in range(COUNT)]),
        "answer": ("integer", list(range(COUNT))),
        "lang": ("string", ["zh" if number % 4 == 3 else "en" for number in range(COUNT)]),
        "kind": ("string", ["rare" if number % 13 == 0 else "common" for number in range(COUNT)]),
        "image": (kind, images),
    }


def as_json(rows: Rows) -> list[dict[str, Any]]:
    return [{name: values[number] for name, (_, values) in rows.items()} for number in range(COUNT)]


PICTURES = [png(width=8 + number) for number in range(COUNT)]
EMBEDDED = rows_with("image", PICTURES)
NAMED = rows_with("string", [f"x/{number}.png" for number in range(COUNT)])
ENCODED = rows_with("string", [base64.b64encode(picture).decode() for picture in PICTURES])


def parquet(folder: Path) -> Path:
    return write_rows(folder / "a.parquet", EMBEDDED, group=7)


def hub_layout(folder: Path) -> Path:
    half = COUNT // 2
    for number, part in enumerate((slice(0, half), slice(half, COUNT))):
        columns = {name: (kind, values[part]) for name, (kind, values) in EMBEDDED.items()}
        write_rows(folder / "small" / f"test-0000{number}-of-00002.parquet", columns)
    write_rows(folder / "small" / "train-00000-of-00001.parquet", EMBEDDED)
    return folder


def arrow(folder: Path) -> Path:
    return write_stream(folder / "something-test.arrow", EMBEDDED)


def saved(folder: Path) -> Path:
    return write_saved(folder / "saved", EMBEDDED, files=3)


def saved_splits(folder: Path) -> Path:
    write_saved(folder / "test", EMBEDDED)
    write_saved(folder / "train", NAMED)
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return folder


def lines_with_folder(folder: Path) -> Path:
    for number, picture in enumerate(PICTURES):
        file = folder / "imgs" / "x" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in as_json(NAMED)))
    return folder / "test.jsonl"


def list_with_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "imgs.zip", "w") as archive:
        for number, picture in enumerate(PICTURES):
            archive.writestr(f"imgs/x/{number}.png", picture)
    (folder / "train.json").write_text("[]")
    (folder / "test.json").write_text(json.dumps(as_json(NAMED), indent=1))
    return folder


def list_with_base64(folder: Path) -> Path:
    (folder / "imgs").mkdir()
    (folder / "a.json").write_text(json.dumps(as_json(ENCODED)))
    return folder / "a.json"


def parquet_with_base64(folder: Path) -> Path:
    return write_rows(folder / "a.parquet", ENCODED)


FORMS: list[tuple[Callable[[Path], Path], str]] = [
    (parquet, "image"),
    (hub_layout, "image"),
    (arrow, "image"),
    (saved, "image"),
    (saved_splits, "image"),
    (lines_with_folder, "image"),
    (list_with_zip, "image"),
    (list_with_base64, "image_base64"),
    (parquet_with_base64, "image_base64"),
]
IDS = [form.__name__ for form, _ in FORMS]


def opened(tmp_path: Path, form: Callable[[Path], Path], kind: str) -> Task:
    tasks, data = tmp_path / "tasks", tmp_path / "data"
    tasks.mkdir()
    data.mkdir()
    (tasks / "mine.yaml").write_text(TASK.replace("IMAGE", kind))
    (tasks / "rows.py").write_text(ROWS)
    (tmp_path / "data.yaml").write_text(f"mine: {form(data).relative_to(tmp_path)}\nmaestro_vstar: nowhere\n")
    (spec,) = select_tasks(["mine"], data=read_data_file(tmp_path / "data.yaml"), include=[tasks])
    assert localise(spec) == spec
    return open_task(spec)


@pytest.mark.parametrize(("form", "kind"), FORMS, ids=IDS)
def test_every_form_of_the_data_gives_the_same_samples(tmp_path: Path, form: Callable[[Path], Path], kind: str) -> None:
    task = opened(tmp_path, form, kind)
    kept = [number for number in range(COUNT) if number % 4 != 3]
    assert task.ids() == [str(700 + number) for number in kept]
    for number in reversed(kept):
        loaded = task.load(str(700 + number))
        sample = loaded.sample
        assert (sample.question, sample.targets) == (f"How many, {number}?", (str(number),))
        assert [image.data for image in loaded.images] == [PICTURES[number]]
    chosen = choose(task, Selection(offset=2, limit=0.5, subset=5), seed=3)
    assert len(chosen) == 5
    assert chosen == sorted(chosen)
    assert {task.categories()[one] for one in chosen} == {"rare", "common"}


def test_the_samples_of_two_forms_pair(tmp_path: Path) -> None:
    def samples(name: str, form: Callable[[Path], Path], kind: str) -> list[Sample]:
        (tmp_path / name).mkdir()
        task = opened(tmp_path / name, form, kind)
        return [task.load(one).sample for one in task.ids()]

    assert samples("a", list_with_zip, "image") == samples("b", saved, "image")


def test_the_data_hash_covers_every_file(tmp_path: Path) -> None:
    task = opened(tmp_path, list_with_zip, "image")
    before = task.data_hash
    with zipfile.ZipFile(tmp_path / "data" / "imgs.zip", "a") as archive:
        archive.writestr("more.png", b"")
    assert task.data_hash != before


def test_an_image_that_the_zip_has_not_is_that_samples_failure(tmp_path: Path) -> None:
    task = opened(tmp_path, list_with_zip, "image")
    with zipfile.ZipFile(tmp_path / "data" / "imgs.zip", "w") as archive:
        archive.writestr("imgs/x/1.png", PICTURES[1])
    (spec,) = select_tasks(["mine"], data={"mine": task.record.data}, include=[tmp_path / "tasks"])
    again = open_task(spec)
    assert again.load("701").images
    with pytest.raises(SampleError, match=r"mine 700: image 1: x/0\.png: imgs\.zip has no such member"):
        again.load("700")
