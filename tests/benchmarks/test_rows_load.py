"""Rows in the schema of each benchmark's dataset become the samples that the benchmark means."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.files import bundled
from maestro_eval.records import Sample, SampleError
from maestro_eval.tasks import Task, define, open_task, select_tasks
from tests.benchmarks import rows
from tests.benchmarks.rows import BLUE, GREEN, LETTER_ONLY, RED, SCHEMAS

LETTER = "\nAnswer with the letter of the right option."


def opened(name: str, path: Path) -> Task:
    task = f"maestro_{name}"
    return open_task(select_tasks([task], data={task: str(path)})[0])


def samples(name: str, folder: Path) -> list[Sample]:
    task = opened(name, rows.write(name, folder))
    return [task.load(sample_id).sample for sample_id in task.ids()]


def module(name: str) -> ModuleType:
    """A file of task functions, imported as a stand-alone file."""
    spec = importlib.util.spec_from_file_location(f"task_functions_{name}", bundled("tasks") / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_fourteen_are_there_by_tag() -> None:
    def named(*tags: str) -> set[str]:
        return {spec.name.removeprefix("maestro_") for spec in select_tasks(tags, data={})}

    seen = {"chartqa", "geometry3k", "microvqa", "msearthmcq", "slake", "tallyqa"}
    unseen = {"hrbench4k", "hrbench8k", "vstar", "mathvision"}
    assert named("maestro_seen") == seen
    assert named("maestro_unseen") == unseen
    assert named("maestro_main") == seen | unseen
    assert named("maestro_ood") == {"erqa", "ocrbench", "vlmsareblind", "humanevalv"}
    assert named("maestro_extra") == {"mathvista", "mathvision_testmini"}
    assert {f"maestro_{name}" for name in SCHEMAS} == {
        spec.name for spec in select_tasks(["maestro_main", "maestro_ood", "maestro_extra"], data={})
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_task_says_whose_it_is(name: str) -> None:
    about = define(select_tasks([f"maestro_{name}"], data={})[0]).about
    assert about["reference"].startswith("https://arxiv.org/abs/")
    assert about["citation"]
    assert about["description"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_split_is_the_one_that_the_rows_are_of(name: str) -> None:
    definition = define(select_tasks([f"maestro_{name}"], data={})[0])
    assert definition.split == SCHEMAS[name].split
    assert definition.dataset_name in ("", SCHEMAS[name].config)


@pytest.mark.parametrize("path", sorted(bundled("tasks").glob("*.py")), ids=lambda path: path.stem)
def test_files_of_functions_import_neither_us_nor_anything_heavy(path: Path) -> None:
    before = set(sys.modules)
    module(path.stem)
    heavy = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert heavy <= set(sys.stdlib_module_names)


EXPECTED: dict[str, list[tuple[str, str, tuple[str, ...], tuple[str, ...], str]]] = {
    # sample id, question, choices, targets, category
    "chartqa": [
        ("0", "What was it in 2020?", (), ("337.8",), "human"),
        ("1", "Which country leads?", (), ("Belgium",), "augmented"),
    ],
    "geometry3k": [
        ("2401", "Find $x$.\nA. 45\nB. 90\nC. 135\nD. 180" + LETTER, ("45", "90", "135", "180"), ("C",), ""),
        (
            "2402",
            "Find $PT$.\nA. 6\nB. \\frac { 20 } { 3 }\nC. 7\nD. 22 / 3" + LETTER,
            ("6", "\\frac { 20 } { 3 }", "7", "22 / 3"),
            ("B",),
            "",
        ),
    ],
    "microvqa": [
        (
            "0",
            "Why do the cells on the right glow?\nA. Liver cells express GFP\nB. Bleaching\nC. The stain leaked"
            + LETTER,
            ("Liver cells express GFP", "Bleaching", "The stain leaked"),
            ("B",),
            "hypothesis generation",
        ),
        ("1", "What is marked?\nA. Nucleus\nB. Membrane" + LETTER, ("Nucleus", "Membrane"), ("A",), "perception"),
    ],
    "msearthmcq": [
        (
            "mcq_1",
            "Question:\nWhich rock is below?\nOptions:\nA. granite\nB. basalt\nC. chalk\nD. slate" + LETTER,
            ("granite", "basalt", "chalk", "slate"),
            ("B",),
            "",
        ),
        (
            "mcq_2",
            "Question:\nWhat does the map show?\nOptions:\nA. wind,\nwith gusts\nB. rain" + LETTER,
            ("wind, with gusts", "rain"),
            ("A",),
            "",
        ),
    ],
    "slake": [
        ("11934", "Which organ is largest?\nAnswer with one word or a short phrase.", (), ("Liver",), "OPEN"),
        ("11936", "Is the lung healthy?\nAnswer with one word or a short phrase.", (), ("No",), "CLOSED"),
    ],
    "tallyqa": [
        ("30093000", "How many dogs are there?", (), ("4",), "simple"),
        ("30093001", "How many dogs are asleep?", (), ("0",), "complex"),
    ],
    "vstar": [
        (
            "0",
            "What colour is the cup?\nA. red\nB. light blue" + LETTER,
            ("red", "light blue"),
            ("B",),
            "direct_attributes",
        ),
        ("1", "Is the cat left of the dog?\nA. yes\nB. no" + LETTER, ("yes", "no"), ("A",), "relative_position"),
    ],
    "mathvision": [
        ("4", "Which figure comes next?\n[image 1]" + LETTER, ("A", "B", "C", "D", "E"), ("B",), "combinatorics"),
        (
            "5",
            "What is the area of the square in [image 1]?\nA. 12\nB. 16\nC. 20\nD. 24\nE. 32" + LETTER,
            ("12", "16", "20", "24", "32"),
            ("D",),
            "metric geometry - area",
        ),
        (
            "1250",
            "How long is the diagonal?\n[image 1]\nAnswer with the number or the expression alone.",
            (),
            ("\\frac{3\\sqrt{2}}{2}",),
            "metric geometry - length",
        ),
    ],
    "erqa": [
        (
            "ERQA_1",
            f"Where does the gripper go? Choices: A. Up. B. Down. C. Away. {LETTER_ONLY}",
            ("Up", "Down", "Away"),
            ("B",),
            "Trajectory Reasoning",
        ),
        (
            "ERQA_2",
            f"Before: [image 1] After: [image 2] What changed? Choices: A. The cup. B. None of these. {LETTER_ONLY}",
            ("The cup", "None of these"),
            ("A",),
            "State Estimation",
        ),
    ],
    "ocrbench": [
        ("0", "what is written in the image?", (), ("CENTRE", "CENTER"), "Text Recognition"),
        (
            "1",
            "Please write out the expression of the formula in the image using LaTeX format.",
            (),
            ("x ^ { 2 } + Y",),
            "Handwritten Mathematical Expression Recognition",
        ),
    ],
    "mathvista": [
        (
            "1",
            "Which is larger?\nA. The left one\nB. The right one" + LETTER,
            ("The left one", "The right one"),
            ("B",),
            "multi_choice",
        ),
        (
            "2",
            "What does it cost? (Unit: $)\nAnswer with a number, rounded to 2 decimal places.",
            (),
            ("10.40",),
            "free_form",
        ),
        ("3", "How many bars are there?\nAnswer with an integer.", (), ("6",), "free_form"),
    ],
}
EXPECTED["mathvision_testmini"] = EXPECTED["mathvision"]
for size in "48":
    EXPECTED[f"hrbench{size}k"] = [
        (
            "0",
            "What colour is the kite?\nA. red\nB. blue\nC. green\nD. grey" + LETTER,
            ("red", "blue", "green", "grey"),
            ("B",),
            "single",
        ),
        (
            "1",
            "What colour is the kite?\nA. blue\nB. green\nC. grey\nD. red" + LETTER,
            ("blue", "green", "grey", "red"),
            ("A",),
            "single",
        ),
        (
            "2",
            "Where is the dog, seen from the tree?\nA. left\nB. right\nC. above\nD. below" + LETTER,
            ("left", "right", "above", "below"),
            ("D",),
            "cross",
        ),
    ]


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_become_the_samples_that_are_meant(tmp_path: Path, name: str) -> None:
    found = samples(name, tmp_path)
    assert [
        (sample.sample_id, sample.question, sample.choices, sample.targets, sample.category) for sample in found
    ] == EXPECTED[name]
    assert len({sample.content_hash for sample in found}) == len(found)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("chartqa", [(RED,), (BLUE,)]),
        ("geometry3k", [(RED,), (BLUE,)]),
        ("microvqa", [(RED, BLUE), (GREEN,)]),
        ("msearthmcq", [(RED,), (BLUE,)]),
        ("slake", [(RED,), (BLUE,)]),
        ("tallyqa", [(RED,), (RED,)]),
        ("hrbench4k", [(RED,), (RED,), (BLUE,)]),
        ("vstar", [(RED,), (BLUE,)]),
        ("mathvision", [(RED,), (BLUE,), (GREEN,)]),
        ("erqa", [(RED,), (RED, BLUE)]),
        ("ocrbench", [(RED,), (BLUE,)]),
        ("vlmsareblind", [(RED,), (BLUE,), (GREEN,)]),
        ("humanevalv", [(RED,)]),
        ("mathvista", [(RED,), (BLUE,), (GREEN,)]),
    ],
)
def test_each_sample_has_its_images_byte_for_byte(tmp_path: Path, name: str, shown: list[tuple[bytes, ...]]) -> None:
    task = opened(name, rows.write(name, tmp_path))
    images = [tuple(image.data for image in task.load(sample_id).images) for sample_id in task.ids()]
    assert images == shown


def test_the_rotations_of_one_question_are_one_cluster_and_each_is_a_stratum(tmp_path: Path) -> None:
    first, rotated, other = samples("hrbench8k", tmp_path)
    assert first.cluster == rotated.cluster
    assert other.cluster != first.cluster
    assert [sample.stratum for sample in (first, rotated, other)] == ["cycle_0", "cycle_1", "cycle_0"]
    assert opened("hrbench8k", tmp_path / "hrbench8k.parquet").record.aggregation == "stratum_mean"


def test_a_damaged_base64_photograph_fails_its_row_alone(tmp_path: Path) -> None:
    schema = SCHEMAS["hrbench4k"]
    broken = [{**schema.rows[0], "image": "not base64!"}, *schema.rows[1:]]
    task = opened("hrbench4k", rows.write_table(tmp_path / "x.parquet", schema.columns, broken))
    with pytest.raises(SampleError, match="image 1: not base64"):
        task.load("0")
    assert task.load("1").images[0].data == RED


def test_slake_leaves_out_what_is_not_english(tmp_path: Path) -> None:
    task = opened("slake", rows.write("slake", tmp_path))
    assert task.ids() == ["11934", "11936"]
    assert task.categories() == {"11934": "OPEN", "11936": "CLOSED"}
    assert task.load("11934").sample.fields == {"answer_type": "OPEN"}


def test_slake_reads_an_unpacked_folder_of_images_too(tmp_path: Path) -> None:
    path = rows.write("slake", tmp_path)
    (tmp_path / "imgs.zip").unlink()
    for name, data in (("xmlab1", RED), ("xmlab2", BLUE)):
        (tmp_path / "imgs" / name).mkdir(parents=True)
        (tmp_path / "imgs" / name / "source.jpg").write_bytes(data)
    assert opened("slake", path).load("11936").images[0].data == BLUE


def test_tallyqa_clusters_by_photograph(tmp_path: Path) -> None:
    assert [sample.cluster for sample in samples("tallyqa", tmp_path)] == ["2410408", "2410408"]


def test_tallyqa_may_be_parquet(tmp_path: Path) -> None:
    schema = SCHEMAS["tallyqa"]
    path = rows.write_table(tmp_path / "tally.parquet", schema.columns, schema.rows)
    assert opened("tallyqa", path).load("30093001").sample.targets == ("0",)


def test_vlmsareblind_keeps_the_task_for_its_metric(tmp_path: Path) -> None:
    found = samples("vlmsareblind", tmp_path)
    assert [(sample.category, sample.fields["task"]) for sample in found] == [
        ("subway connections", "Subway Connections"),
        ("touching circles", "Touching Circles"),
        ("counting grid", "Counting Grid - Word Grids"),
    ]
    assert opened("vlmsareblind", tmp_path / "vlmsareblind.parquet").record.aggregation == "category_mean"


def test_humanevalv_shows_the_signature_and_keeps_tests_and_solution_to_itself(tmp_path: Path) -> None:
    row = SCHEMAS["humanevalv"].rows[0]
    (sample,) = samples("humanevalv", tmp_path)
    assert f"```python\n{row['function_signature'].strip()}\n```" in sample.question
    assert (sample.targets, sample.category) == ((row["test_script"],), "Transformation")
    assert sample.fields == {"function_signature": row["function_signature"]}
    for secret in ("assert", row["ground_truth_diagram_description"], "2 * n"):
        assert secret not in sample.question


def test_mathvista_keeps_what_its_metric_normalises_by(tmp_path: Path) -> None:
    fields = [sample.fields for sample in samples("mathvista", tmp_path)]
    assert fields[0] == {"question_type": "multi_choice", "answer_type": "text", "precision": "", "unit": ""}
    assert fields[1] == {"question_type": "free_form", "answer_type": "float", "precision": "2.0", "unit": "$"}


def test_msearthmcq_reads_its_authors_files_and_does_not_show_the_caption(tmp_path: Path) -> None:
    task = opened("msearthmcq", rows.write_msearth_files(tmp_path))
    loaded = task.load("mcq_1")
    assert loaded.images[0].data == RED
    assert "at the bottom" not in loaded.sample.question
    assert "<image>" not in loaded.sample.question


@pytest.mark.parametrize(
    ("response", "options", "target"),
    [
        ("B. basalt", "A. chalk\nB. basalt", "B"),
        ("b", "A. chalk\nB. basalt", "B"),
        ("(B) basalt", "A) chalk\nB) basalt", "B"),
        ("basalt", "A. chalk\nB. basalt", "B"),
        ("Basalt columns", "chalk or basalt", "Basalt columns"),
        ("A basalt", "A. chalk\nB. A basalt", "B"),
    ],
)
def test_msearthmcq_targets_are_letters_where_there_are_any(response: str, options: str, target: str) -> None:
    row = {"query": f"<image>Question:\nWhich?\nOptions:\n{options}", "response": response}
    assert module("msearthmcq").target(row) == target


ERQA = module("erqa")
INSTRUCTION = f" {LETTER_ONLY}"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Which? Choices:  A. Yes - the strip. B. No. C. As in A. but red." + INSTRUCTION, []),
        ("Which? Choices: A. 6. B. 4. C. 5." + INSTRUCTION, ["6", "4", "5"]),
        ("Where? You have the following options. A: [638 481] B: [643 397]" + INSTRUCTION, ["[638 481]", "[643 397]"]),
        ("Choices? Choices: A. 3 5 2 1. B. 1 2 3 4." + INSTRUCTION, ["3 5 2 1", "1 2 3 4"]),
        ("Which? Choices: A. Up." + INSTRUCTION, []),
        ("Which? Choices: B. Up. A. Down." + INSTRUCTION, []),
        ("Which? A. Up. B. Down.", []),
        ("", []),
    ],
)
def test_erqa_options_are_read_where_that_is_safe(text: str, options: list[str]) -> None:
    assert ERQA.choices({"question": text}) == options


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        (None, "ab cd"),
        ([], "ab cd"),
        ([0], "ab cd"),
        ([3], "ab cd"),
        ([0, 0, 0], "ab cd"),
        ([0, 3], "[image 1] ab [image 2] cd"),
        ([3, 3], "ab [image 1] [image 2] cd"),
        ([3, 0], "[image 2] ab [image 1] cd"),
        ([-5, 900], "[image 1] ab cd [image 2]"),
    ],
)
def test_erqa_marks_where_several_images_belong(indices: list[int] | None, text: str) -> None:
    assert ERQA.question({"question": "ab cd", "visual_indices": indices}) == text


@given(st.text("ab :\n\u00e9", max_size=80), st.lists(st.integers(-3, 60), max_size=5))
def test_erqa_marks_every_image_once_and_leaves_the_text_itself_alone(text: str, indices: list[int]) -> None:
    marked = ERQA.question({"question": text, "visual_indices": indices})
    numbers = re.findall(r"\[image (\d)\]", marked)
    assert sorted(numbers) == [str(number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) in (0, len(indices))
    assert "".join(re.sub(r"\[image \d\]", "", marked).split()) == "".join(text.split())


HOSTILE = st.text(alphabet="ABC abc.:()\n<image1>Options：", max_size=200)


@pytest.mark.parametrize(
    ("read", "column"),
    [(ERQA.choices, "question"), (module("msearthmcq").choices, "query")],
)
@given(text=HOSTILE)
def test_options_are_texts_or_none_whatever_stands_there(read: Callable[[Any], Any], column: str, text: str) -> None:
    options = read({column: text})
    assert options == [] or len(options) > 1
    assert all(isinstance(option, str) and option for option in options)


@pytest.mark.parametrize(
    ("name", "column", "value", "problem"),
    [
        ("microvqa", "correct_index", 3, "correct_index 3 is none of the 3 choices"),
        ("microvqa", "images_list", [], "the row has no image"),
        ("hrbench4k", "answer", "E", "'E' is not one of the letters ABCD"),
        ("ocrbench", "question_type", "Chart VQA", "unknown question type 'Chart VQA'"),
        ("mathvista", "answer", "Neither", "the answer 'Neither' is none of the options"),
        ("mathvista", "question_type", None, ""),
        ("erqa", "answer", "Z", "'Z' is not one of the letters ABC"),
        ("humanevalv", "test_script", "", "doc_to_target: expected an answer"),
    ],
)
def test_a_row_that_makes_no_sense_fails_alone_and_says_why(
    tmp_path: Path, name: str, column: str, value: object, problem: str
) -> None:
    schema = SCHEMAS[name]
    changed = [{**schema.rows[0], column: value}, *schema.rows[1:]]
    task = opened(name, rows.write_table(tmp_path / "x.parquet", schema.columns, changed))
    first = task.ids()[0]
    if not problem:
        assert task.load(first).sample.category == ""
        return
    with pytest.raises(SampleError, match=problem):
        task.load(first)


def test_slake_with_an_unknown_kind_of_answer_is_a_bad_row(tmp_path: Path) -> None:
    path = rows.write("slake", tmp_path)
    listed = json.loads(path.read_text())
    listed[0]["answer_type"] = "MAYBE"
    path.write_text(json.dumps(listed))
    with pytest.raises(SampleError, match="unknown answer type 'MAYBE'"):
        opened("slake", path).load("11934")
