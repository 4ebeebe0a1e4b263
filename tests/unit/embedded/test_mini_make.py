import io
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from maestro_eval.embedded.mini import _MAKERS, MINI_TASKS, make_mini
from maestro_eval.embedded.mini.stage import Stage
from maestro_eval.records import UserError

IMAGE = "struct<bytes: binary, path: string>"
SCHEMAS = {
    "maestro_mini_chartqa": {"type": "string", "question": "string", "answer": "string", "image": IMAGE},
    "maestro_mini_tallyqa": {
        "image": IMAGE,
        "question": "string",
        "answer": "int64",
        "issimple": "bool",
        "image_id": "int64",
        "question_id": "int64",
    },
    "maestro_mini_geometry3k": {
        "id": "string",
        "images": f"list<item: {IMAGE}>",
        "problem": "string",
        "choices": "list<item: string>",
        "ground_truth": "string",
    },
    "maestro_mini_vstar": {
        "image": IMAGE,
        "text": "string",
        "category": "string",
        "label": "string",
        "question_id": "string",
    },
    "maestro_mini_vlmsareblind": {
        "image": IMAGE,
        "task": "string",
        "prompt": "string",
        "groundtruth": "string",
        "metadata": "string",
    },
    "maestro_mini_ocrbench": {
        "dataset": "string",
        "question": "string",
        "question_type": "string",
        "answer": "list<item: string>",
        "image": IMAGE,
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_mini(tmp_path_factory.mktemp("mini"), seed=1007, per_task=2)


def rows_of(path: Path) -> list[dict[str, object]]:
    from arro3.io import read_parquet

    return read_parquet(str(path)).read_all().to_struct_array().to_pylist()


def test_every_task_has_the_columns_of_the_benchmark_it_stands_for(made: dict[str, Path]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert tuple(made) == MINI_TASKS
    for task, path in made.items():
        schema = parquet.read_schema(path)
        assert {name: str(schema.field(name).type) for name in schema.names} == SCHEMAS[task]
        assert b'"_type": "Image"' in schema.metadata[b"huggingface"]


def test_arro3_reads_pictures_back_whole(made: dict[str, Path]) -> None:
    for task, path in made.items():
        rows = rows_of(path)
        assert len(rows) == (14 if task == "maestro_mini_vlmsareblind" else 2)
        for row in rows:
            picture = row["images"][0] if "images" in row else row["image"]
            Image.open(io.BytesIO(picture["bytes"])).load()
            assert picture["path"].startswith("maestro_mini_")


def test_same_seed_makes_the_same_bytes_and_a_longer_benchmark_begins_with_the_shorter(
    made: dict[str, Path], tmp_path: Path
) -> None:
    again = make_mini(tmp_path, seed=1007, per_task=dict.fromkeys(MINI_TASKS, 1))
    for task, path in again.items():
        shorter, longer = rows_of(path), rows_of(made[task])
        assert shorter == longer[: len(shorter)]


@pytest.mark.parametrize("task", MINI_TASKS)
def test_another_seed_makes_other_pictures(task: str) -> None:
    maker, _kind = _MAKERS[task]
    one, other = maker(Stage(1001, task, 0)), maker(Stage(1002, task, 0))
    assert asdict(one) != asdict(other)
    assert asdict(one) == asdict(maker(Stage(1001, task, 0)))


@pytest.mark.parametrize(("seed", "per_task"), [(-1, 1), (1, 0), (1, {"maestro_mini_chess": 3})])
def test_what_cannot_be_made_is_one_clear_line(tmp_path: Path, seed: int, per_task: int | dict[str, int]) -> None:
    with pytest.raises(UserError) as caught:
        make_mini(tmp_path, seed=seed, per_task=per_task)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        make_mini(tmp_path / "taken", seed=1, per_task={"maestro_mini_geometry3k": 1})


def test_a_deal_gives_each_option_once_a_round() -> None:
    dealt = [Stage(3, "t", index).deal("x", "abcd") for index in range(40)]
    assert all(len(set(dealt[start : start + 4])) == 4 for start in range(0, 40, 4))
    assert len({tuple(dealt[start : start + 4]) for start in range(0, 40, 4)}) > 1
    assert Stage(3, "t", 5).retry().deal("x", "abcd") == dealt[5]


def test_identical_rows_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from maestro_eval.embedded import mini
    from maestro_eval.embedded.mini.geometry import GeometryRow

    def same_unless_retried(stage: Stage) -> GeometryRow:
        return GeometryRow(f"{stage.index}", (), f"try {stage.attempt}", (), "A")

    rows = mini._rows("t", same_unless_retried, 1, 3)
    assert Counter(row.problem for row in rows) == {"try 0": 1, "try 1": 1, "try 2": 1}
