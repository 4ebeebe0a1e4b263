"""Rows of each benchmark's schema become samples; a row that cannot is that sample's failure alone."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from maestro_eval.records import SampleError, UserError
from maestro_eval.tasks import Task, define, open_task, select_tasks
from maestro_eval.tasks.file_task import identified
from tests import realdata
from tests.unit.tasks.parquet_rows import png, write_rows

Columns = dict[str, tuple[str, Sequence[Any]]]

RED, BLUE = png(colour="red"), png(colour="blue")
VSTAR = define(select_tasks(["maestro_vstar"], data={})[0])
ROWS: dict[str, Columns] = {
    "chartqa": {
        "type": ("string", ["human_test", "augmented_test"]),
        "question": ("string", ["How many?", "Which?"]),
        "answer": ("string", ["5", "Blue"]),
        "image": ("image", [RED, BLUE]),
    },
    "tallyqa": {
        "image": ("image", [RED, RED]),
        "question": ("string", ["How many dogs?", "How many dogs sleep?"]),
        "answer": ("integer", [4, 0]),
        "issimple": ("boolean", [True, False]),
        "image_id": ("integer", [11, 11]),
        "question_id": ("integer", [700, 701]),
    },
    "geometry3k": {
        "images": ("[image]", [[RED, BLUE], [RED]]),
        "problem": ("string", ["Find x.", "Find y."]),
        "choices": ("[string]", [["1", "2", "3", "4"], ["5", "6", "7", "8"]]),
        "ground_truth": ("string", ["B", "D"]),
        "id": ("integer", [2401, 2402]),
    },
    "vstar": {
        "image": ("image", [RED, BLUE]),
        "text": (
            "string",
            [
                "What colour is the cup?\n(A) red\n(B) light blue\nGive the letter only.",
                "Is it left or right? (A) left (B) right",
            ],
        ),
        "category": ("string", ["direct_attributes", "relative_position"]),
        "label": ("string", ["B", "A"]),
        "question_id": ("string", ["0", "1"]),
    },
    "vlmsareblind": {
        "image": ("image", [RED, BLUE]),
        "task": ("string", ["Olympic Counting - Pentagons", "Counting Grid - Word Grids"]),
        "prompt": ("string", ["How many pentagons?", "How many rows and columns?"]),
        "groundtruth": ("string", ["7", "3,4"]),
        "metadata": ("string", ["{}", "{}"]),
    },
    "ocrbench": {
        "dataset": ("string", ["IIIT5K", "HME100k"]),
        "question": ("string", ["what is written in the image?", "Please write out the expression"]),
        "question_type": ("string", ["Regular Text Recognition", "Handwritten Mathematical Expression Recognition"]),
        "answer": ("[string]", [["CENTRE", "CENTER"], ["x ^ 2"]]),
        "image": ("image", [RED, BLUE]),
    },
}


def opened(tmp_path: Path, name: str, columns: Columns) -> Task:
    path = write_rows(tmp_path / f"{name}.parquet", columns)
    (spec,) = select_tasks([name], data={name: str(path)})
    return open_task(spec)


def with_column(benchmark: str, column: str, values: Sequence[Any]) -> Columns:
    return {**ROWS[benchmark], column: (ROWS[benchmark][column][0], values)}


@pytest.mark.parametrize("prefix", ["maestro_", "maestro_mini_"])
@pytest.mark.parametrize("benchmark", ROWS)
def test_each_schema_is_read_by_the_benchmark_and_its_mini(tmp_path: Path, benchmark: str, prefix: str) -> None:
    task = opened(tmp_path, prefix + benchmark, ROWS[benchmark])
    samples = [task.load(sample_id).sample for sample_id in task.ids()]
    assert len(samples) == 2
    for sample in samples:
        assert sample.task == prefix + benchmark
        assert sample.question
        assert sample.images
        assert sample.cluster
    assert len({sample.content_hash for sample in samples}) == 2


def test_chartqa(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_chartqa", ROWS["chartqa"])
    assert task.ids() == ["0", "1"]
    assert task.ids(1) == ["0"]
    loaded = task.load("1")
    assert (loaded.sample.question, loaded.sample.targets) == ("Which?", ("Blue",))
    assert loaded.sample.category == "augmented"
    assert [image.data for image in loaded.images] == [BLUE]
    assert loaded.sample.images == tuple(image.ref for image in loaded.images)
    assert (task.record.metric, task.record.aggregation) == ("relaxed_accuracy", "mean")


def test_tallyqa_clusters_by_image_and_counts_are_targets(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_tallyqa", ROWS["tallyqa"])
    assert task.ids() == ["700", "701"]
    samples = [task.load(sample_id).sample for sample_id in task.ids()]
    assert [sample.targets for sample in samples] == [("4",), ("0",)]
    assert [sample.category for sample in samples] == ["simple", "complex"]
    assert [sample.cluster for sample in samples] == ["11", "11"]


def test_geometry3k_lists_its_options_and_keeps_all_images(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_geometry3k", ROWS["geometry3k"])
    loaded = task.load("2401")
    assert loaded.sample.question.startswith("Find x.\nA. 1\nB. 2\nC. 3\nD. 4\n")
    assert (loaded.sample.choices, loaded.sample.targets) == (("1", "2", "3", "4"), ("B",))
    assert [image.data for image in loaded.images] == [RED, BLUE]


def test_geometry3k_without_ids_is_numbered(tmp_path: Path) -> None:
    columns = {name: column for name, column in ROWS["geometry3k"].items() if name != "id"}
    assert opened(tmp_path, "maestro_geometry3k", columns).ids() == ["0", "1"]


def test_vstar_options_are_read_out_of_the_text(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_vstar", ROWS["vstar"])
    first, second = (task.load(sample_id).sample for sample_id in task.ids())
    assert first.question.startswith("What colour is the cup?\nA. red\nB. light blue\n")
    assert "Give the letter only" not in first.question
    assert (first.choices, first.targets, first.category) == (("red", "light blue"), ("B",), "direct_attributes")
    assert second.question.startswith("Is it left or right?\nA. left\nB. right\n")
    assert second.choices == ("left", "right")


PLAIN = st.text("abc xyz,.'-1", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.lists(PLAIN, min_size=2, max_size=8), st.sampled_from([" ", "\n", "\n\n"]))
def test_vstar_options_survive_any_layout(options: list[str], between: str) -> None:
    marked = between.join(f"({chr(65 + number)}) {option}" for number, option in enumerate(options))
    row = {"text": f"What is at (A), the mark?{between}{marked}\nGive the letter only."}
    assert VSTAR.choice is not None
    assert VSTAR.choice(row) == options
    assert str(VSTAR.text(row)).startswith(f"What is at (A), the mark?\nA. {options[0]}\nB. {options[1]}")


@given(st.text())
def test_vstar_reads_or_refuses_any_text(text: str) -> None:
    assert VSTAR.choice is not None
    try:
        options = VSTAR.choice({"text": text})
    except ValueError:
        return
    assert isinstance(options, list)
    assert len(options) > 1


def test_vlmsareblind_has_seven_categories_and_keeps_the_task_for_its_metric(tmp_path: Path) -> None:
    kinds = [
        "Line Plot Intersections",
        "Touching Circles",
        "Circled Letter",
        "Olympic Counting - Circles",
        "Olympic Counting - Pentagons",
        "Nested Squares",
        "Counting Grid - Blank Grids",
        "Counting Grid - Word Grids",
        "Subway Connections",
    ]
    columns: Columns = {
        "image": ("image", [RED] * 9),
        "task": ("string", kinds),
        "prompt": ("string", ["?"] * 9),
        "groundtruth": ("string", ["1"] * 9),
    }
    task = opened(tmp_path, "maestro_vlmsareblind", columns)
    samples = [task.load(sample_id).sample for sample_id in task.ids()]
    assert len({sample.category for sample in samples}) == 7
    assert [sample.fields["task"] for sample in samples] == kinds
    assert task.record.aggregation == "category_mean"


def test_ocrbench_accepts_any_of_its_answers(tmp_path: Path) -> None:
    sample = opened(tmp_path, "maestro_ocrbench", ROWS["ocrbench"]).load("0").sample
    assert sample.targets == ("CENTRE", "CENTER")
    assert sample.fields == {"dataset": "IIIT5K"}
    assert sample.category == "Text Recognition"


def test_questions_on_the_same_picture_are_one_cluster(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_chartqa", with_column("chartqa", "image", [RED, RED]))
    same = {task.load(sample_id).sample.cluster for sample_id in task.ids()}
    task = opened(tmp_path, "maestro_chartqa", ROWS["chartqa"])
    other = {task.load(sample_id).sample.cluster for sample_id in task.ids()}
    assert (len(same), len(other)) == (1, 2)


def test_questions_without_a_picture_are_no_cluster(tmp_path: Path) -> None:
    sample = opened(tmp_path, "maestro_chartqa", ROWS["chartqa"]).load("0").sample
    assert identified(structs.replace(sample, cluster=""), ()).sample.cluster == ""


@pytest.mark.parametrize(
    ("column", "values"),
    [("question", ["How few?", "Which?"]), ("answer", ["6", "Blue"]), ("image", [BLUE, BLUE])],
)
def test_the_content_hash_covers_question_targets_and_pixels(tmp_path: Path, column: str, values: list[Any]) -> None:
    before = opened(tmp_path, "maestro_chartqa", ROWS["chartqa"])
    first, second = before.load("0").sample, before.load("1").sample
    after = opened(tmp_path, "maestro_chartqa", with_column("chartqa", column, values))
    assert after.load("0").sample.content_hash != first.content_hash
    assert after.load("1").sample.content_hash == second.content_hash


def test_the_content_hash_covers_the_options(tmp_path: Path) -> None:
    before = opened(tmp_path, "maestro_geometry3k", ROWS["geometry3k"]).load("2401").sample
    swapped = with_column("geometry3k", "choices", [["1", "2", "4", "3"], ["5", "6", "7", "8"]])
    assert opened(tmp_path, "maestro_geometry3k", swapped).load("2401").sample.content_hash != before.content_hash


@pytest.mark.parametrize("broken", [b"", b"no picture", RED[:-30]])
def test_a_corrupt_image_is_a_sample_error_that_holds_the_rest(tmp_path: Path, broken: bytes) -> None:
    task = opened(tmp_path, "maestro_vlmsareblind", with_column("vlmsareblind", "image", [broken, BLUE]))
    with pytest.raises(SampleError, match=r"^maestro_vlmsareblind 0: image 1: ") as caught:
        task.load("0")
    sample = caught.value.sample
    assert (sample.question, sample.targets, sample.category) == ("How many pentagons?", ("7",), "olympic counting")
    assert sample.fields == {"task": "Olympic Counting - Pentagons"}
    assert (sample.images, sample.content_hash) == ((), "")
    assert "\n" not in str(caught.value)
    assert caught.value.kind == "unreadable image"
    assert task.load("1").images


@pytest.mark.parametrize(
    ("benchmark", "column", "values", "message"),
    [
        ("chartqa", "question", ["  ", "q"], "doc_to_text: expected a text"),
        ("chartqa", "question", [None, "q"], "doc_to_text: expected a text, found None"),
        ("chartqa", "answer", [None, "a"], "doc_to_target: expected an answer"),
        ("chartqa", "type", [None, "human_test"], "category: AttributeError"),
        ("ocrbench", "answer", [[], ["a"]], "doc_to_target: expected an answer"),
        ("ocrbench", "answer", [["a", ""], ["a"]], "doc_to_target: expected an answer"),
        ("geometry3k", "ground_truth", ["E", "A"], "doc_to_target: 'E' is not one of the letters ABCD"),
        ("geometry3k", "images", [[], [RED]], "the row has no image"),
        ("vstar", "text", ["No options?", "q (A) a (B) b"], "doc_to_text: no options"),
        ("vlmsareblind", "task", ["Something Else", "Nested Squares"], "category: unknown task 'Something Else'"),
    ],
)
def test_a_bad_row_is_a_sample_error_that_says_what(
    tmp_path: Path, benchmark: str, column: str, values: list[Any], message: str
) -> None:
    task = opened(tmp_path, f"maestro_{benchmark}", with_column(benchmark, column, values))
    first, second = task.ids()
    with pytest.raises(SampleError, match=message) as caught:
        task.load(first)
    assert caught.value.sample.sample_id == first
    assert "\n" not in str(caught.value)
    assert task.load(second).sample.content_hash


@pytest.mark.parametrize(
    ("benchmark", "ids", "message"),
    [
        ("tallyqa", [7, 7], r"tallyqa\.parquet: sample id '7' .* occurs twice \(rows 1 and 2\)"),
        ("vstar", ["0", None], "row 2 of maestro_vstar has no sample id"),
    ],
)
def test_ids_that_name_no_one_row_are_refused(tmp_path: Path, benchmark: str, ids: list[Any], message: str) -> None:
    task = opened(tmp_path, f"maestro_{benchmark}", with_column(benchmark, "question_id", ids))
    with pytest.raises(UserError, match=message):
        task.ids()


@pytest.mark.parametrize("benchmark", ["chartqa", "tallyqa"])
@pytest.mark.parametrize("sample_id", ["2", "-1", "00", "x", "", "²"])
def test_an_id_that_the_data_has_not_is_refused(tmp_path: Path, benchmark: str, sample_id: str) -> None:
    task = opened(tmp_path, f"maestro_{benchmark}", ROWS[benchmark])
    with pytest.raises(UserError, match="has no sample"):
        task.load(sample_id)


def test_data_without_rows_is_refused(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_chartqa", {name: (kind, []) for name, (kind, _) in ROWS["chartqa"].items()})
    with pytest.raises(UserError, match="holds no rows for maestro_chartqa"):
        task.ids()


def test_the_data_hash_follows_the_file_and_the_task_hash_does_not(tmp_path: Path) -> None:
    one = opened(tmp_path / "a", "maestro_chartqa", ROWS["chartqa"])
    two = opened(tmp_path / "b", "maestro_chartqa", with_column("chartqa", "answer", ["6", "Blue"]))
    assert one.record.hash == two.record.hash
    assert one.data_hash != two.data_hash


FILTERED = """\
task: mine
dataset_path: local:mine
test_split: test
doc_to_visual: !function rows.visual
doc_to_text: question
doc_to_target: answer
metadata:
  maestro:
    metric: integer
    aggregation: stratum_mean
    keep: !function rows.english
    category: kind
    stratum: !function rows.stratum
    columns: {question: string, answer: string, image: image_base64, lang: string, kind: string, turn: integer}
"""
ROWS_PY = """\
import base64


def visual(doc):
    return [doc["image"].data]


def english(doc):
    if doc["lang"] is None:
        raise ValueError("no language")
    return doc["lang"] == "en"


def stratum(doc):
    return f"turn {doc['turn']}"
"""


def filtered(folder: Path, langs: Sequence[str | None]) -> Task:
    count = len(langs)
    (folder / "mine.yaml").write_text(FILTERED)
    (folder / "rows.py").write_text(ROWS_PY)
    columns: Columns = {
        "question": ("string", [f"q{number}" for number in range(count)]),
        "answer": ("string", ["1"] * count),
        "image": ("string", [base64.b64encode(png(width=8 + number)).decode() for number in range(count)]),
        "lang": ("string", langs),
        "kind": ("string", [f"k{number % 2}" for number in range(count)]),
        "turn": ("integer", list(range(count))),
    }
    path = write_rows(folder / "mine.parquet", columns)
    return open_task(select_tasks(["mine"], data={"mine": str(path)}, include=[folder])[0])


def test_rows_that_are_not_kept_are_no_samples_and_keep_their_numbers(tmp_path: Path) -> None:
    task = filtered(tmp_path, ["zh", "en", "zh", "en"])
    assert task.ids() == ["1", "3"]
    assert task.ids(1) == ["1"]
    loaded = task.load("3")
    assert (loaded.sample.question, loaded.sample.category, loaded.sample.stratum) == ("q3", "k1", "turn 3")
    assert loaded.images[0].data == png(width=11)
    for other in ("0", "2", "4"):
        with pytest.raises(UserError, match=f"has no sample '{other}'"):
            task.load(other)


def test_a_task_of_which_no_row_is_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no rows for mine"):
        filtered(tmp_path, ["zh", "zh"]).ids()


def test_a_row_that_cannot_be_told_kept_or_not_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.parquet: row 2 of mine: keep: no language"):
        filtered(tmp_path, ["en", None]).ids()


def test_categories_are_those_of_the_samples(tmp_path: Path) -> None:
    task = filtered(tmp_path, ["en", "zh", "en", "en"])
    assert list(task.categories().items()) == [("0", "k0"), ("2", "k0"), ("3", "k1")]
    assert task.categories() == {sample_id: task.load(sample_id).sample.category for sample_id in task.ids()}


@pytest.mark.parametrize("benchmark", ROWS)
def test_categories_need_no_image(tmp_path: Path, benchmark: str) -> None:
    column = "images" if benchmark == "geometry3k" else "image"
    broken = [[b"no picture"]] * 2 if column == "images" else [b"no picture"] * 2
    whole = opened(tmp_path / "a", f"maestro_{benchmark}", ROWS[benchmark])
    task = opened(tmp_path / "b", f"maestro_{benchmark}", with_column(benchmark, column, broken))
    assert task.categories() == {one: whole.load(one).sample.category for one in whole.ids()}


def test_a_category_that_cannot_be_read_is_empty_until_its_row_is_loaded(tmp_path: Path) -> None:
    task = opened(tmp_path, "maestro_chartqa", with_column("chartqa", "type", [None, "human_test"]))
    assert task.categories() == {"0": "", "1": "human"}


def test_an_opened_task_says_what_its_file_and_its_data_are(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", ROWS["chartqa"])
    (spec,) = select_tasks(["maestro_chartqa"], data={"maestro_chartqa": str(path)})
    task = open_task(structs.replace(spec, revision="abc"))
    record = task.record
    assert (record.released, record.published, record.revision, record.data) == ("chartqa", 2500, "abc", str(path))


def test_an_id_may_be_made_by_a_function_from_columns(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ndataset_path: local:mine\ntest_split: test\ndoc_to_visual: image\ndoc_to_text: question\n"
        "doc_to_target: answer\nmetadata:\n  maestro:\n    metric: integer\n    id: !function ids.make\n"
        "    columns: {question: string, answer: string, image: image}\n"
    )
    (tmp_path / "ids.py").write_text("def make(doc):\n    return doc['question'] + '/' + doc['answer']\n")
    data = tmp_path / "mine.jsonl"
    (tmp_path / "a.png").write_bytes(RED)
    data.write_text('{"question": "q", "answer": "1", "image": "a.png"}\n')
    (spec,) = select_tasks(["mine"], data={"mine": str(data)}, include=[tmp_path])
    task = open_task(spec)
    assert task.ids() == ["q/1"]
    assert task.load("q/1").images[0].data == RED


@pytest.mark.skipif(not realdata.available(), reason="../shared/realdata is not there")
def test_all_real_chartqa_samples_load(tmp_path: Path) -> None:
    path = realdata.chartqa_parquet(tmp_path)
    task = open_task(select_tasks(["maestro_chartqa"], data={"maestro_chartqa": str(path)})[0])
    samples = [task.load(sample_id).sample for sample_id in task.ids()]
    assert len(samples) == 24
    assert {sample.category for sample in samples} == {"human", "augmented"}


@pytest.mark.skipif(not realdata.available(), reason="../shared/realdata is not there")
def test_all_real_vlmsareblind_samples_load(tmp_path: Path) -> None:
    path = realdata.vlmsareblind_parquet(tmp_path)
    task = open_task(select_tasks(["maestro_vlmsareblind"], data={"maestro_vlmsareblind": str(path)})[0])
    samples = [task.load(sample_id).sample for sample_id in task.ids()]
    assert len(samples) == 42
    assert len({sample.category for sample in samples}) == 7
