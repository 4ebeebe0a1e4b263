"""A few rows of each benchmark, made up, in the schema of its Hugging Face dataset or its authors' files.

``write`` puts them where maestro-eval reads them: Parquet, or JSON with image files for the sets that are published
so. ``write_for_datasets`` writes the same rows as a folder that the ``datasets`` library loads as it would the hub's
repository, which is how lmms-eval gets them.
"""

from __future__ import annotations

import base64
import functools
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Field, Table, list_array, struct_array
from arro3.io import write_parquet

from tests.unit.tasks.parquet_rows import png

Kind = Any
"""``string``, ``integer``, ``float``, ``boolean``, ``image``, ``[kind]`` for a list, a mapping for a struct."""

LETTER_ONLY = "Please answer directly with only the letter of the correct option and nothing else."
RED, BLUE, GREEN = png(colour="red"), png(colour="blue"), png(colour="green")

_ROTATIONS = (("red", "blue", "green", "grey"), ("blue", "green", "grey", "red"))
_CAPABILITIES = ("Common Sense", "Data Structures", "Geometric Objects")


@dataclass(frozen=True)
class Schema:
    """``config`` and ``split`` are what the hub calls them; ``rows`` are plain values, images as encoded bytes."""

    columns: Mapping[str, Kind]
    rows: Sequence[Mapping[str, Any]]
    split: str = "test"
    config: str = "default"
    write: Callable[[Path, Schema], Path] | None = field(default=None, compare=False)


def write(name: str, folder: Path) -> Path:
    """The rows of a benchmark where maestro-eval reads them: what ``--data TASK=`` is given."""
    schema = SCHEMAS[name]
    folder.mkdir(parents=True, exist_ok=True)
    if schema.write is not None:
        return schema.write(folder, schema)
    return write_table(folder / f"{name}.parquet", schema.columns, schema.rows)


def write_table(path: Path, columns: Mapping[str, Kind], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Parquet with the columns' Arrow types as the hub's files have them, nulls included."""
    arrays = {name: _array(kind, [row.get(name) for row in rows]) for name, kind in columns.items()}
    write_parquet(Table.from_pydict(arrays), path, compression="snappy")
    return path


def write_for_datasets(name: str, folder: Path) -> Path:
    """A folder like a repository of the hub, for ``datasets.load_dataset(folder, config)``."""
    import datasets

    schema = SCHEMAS[name]
    features = datasets.Features({column: _feature(kind) for column, kind in schema.columns.items()})
    rows = [
        {column: _plain(schema.columns[column], row.get(column)) for column in schema.columns} for row in schema.rows
    ]
    (folder / "data").mkdir(parents=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "data" / f"{schema.split}-0.parquet")
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: {schema.config}\n  data_files:\n  - split: {schema.split}\n"
        f"    path: data/{schema.split}-*\n---\n"
    )
    return folder


def _write_slake(folder: Path, schema: Schema) -> Path:
    # The repository holds test.json, a list, and imgs.zip.
    rows = [{name: value for name, value in row.items() if name != "image"} for row in schema.rows]
    path = folder / "test.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with zipfile.ZipFile(folder / "imgs.zip", "w") as archive:
        archive.writestr("imgs/", b"")
        for row in schema.rows:
            if f"imgs/{row['img_name']}" not in archive.namelist():
                archive.writestr(f"imgs/{row['img_name']}", row["image"])
    return path


def _write_with_files(folder: Path, schema: Schema) -> Path:
    # A list in JSON, its images as files beside it.
    rows = []
    for number, row in enumerate(schema.rows):
        name = f"VG_100K/{number}.png"
        (folder / "VG_100K").mkdir(exist_ok=True)
        (folder / name).write_bytes(row["image"])
        rows.append({**row, "image": name})
    path = folder / "test.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def write_msearth_files(folder: Path) -> Path:
    """MSEarthMCQ as its authors' evaluation code reads it: a list in JSON, ``images`` a list of file names."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, row in enumerate(SCHEMAS["msearthmcq"].rows):
        (folder / f"figure{number}.jpg").write_bytes(row["image"])
        kept = {name: value for name, value in row.items() if name != "image"}
        rows.append({**kept, "images": [f"figure{number}.jpg"]})
    path = folder / "msearth_mcq.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def _hrbench(size: str) -> Schema:
    rows = [
        {
            "index": index,
            "question": "What colour is the kite?",
            "answer": "ABCD"[options.index("blue")],
            "category": "single",
            **dict(zip("ABCD", options, strict=True)),
            "cycle_category": f"cycle_{index}",
            "image": base64.b64encode(RED).decode(),
        }
        for index, options in enumerate(_ROTATIONS)
    ]
    relation = {
        **rows[0],
        "index": 2,
        "question": "Where is the dog, seen from the tree?",
        "answer": "D",
        "category": "cross",
        **dict(zip("ABCD", ("left", "right", "above", "below"), strict=True)),
        "image": base64.b64encode(BLUE).decode(),
    }
    columns = dict.fromkeys(rows[0], "string") | {"index": "integer"}
    return Schema(columns, [*rows, relation], split=f"hrbench_{size}", config="hrbench_version_split")


def _mathvision(split: str) -> Schema:
    return Schema(
        {
            "id": "string",
            "question": "string",
            "options": ["string"],
            "image": "string",
            "decoded_image": "image",
            "answer": "string",
            "solution": "string",
            "level": "integer",
            "subject": "string",
        },
        [
            {
                "id": "4",
                "question": "Which figure comes next?\n<image1>",
                "options": ["A", "B", "C", "D", "E"],
                "image": "images/4.jpg",
                "decoded_image": RED,
                "answer": "B",
                "level": 1,
                "subject": "combinatorics",
            },
            {
                "id": "5",
                "question": "What is the area of the square in <image1>?",
                "options": ["12", "16", "20", "24", "32"],
                "image": "images/5.jpg",
                "decoded_image": BLUE,
                "answer": "D",
                "level": 3,
                "subject": "metric geometry - area",
            },
            {
                "id": "1250",
                "question": "How long is the diagonal?\n<image1>",
                "options": [],
                "image": "images/1250.jpg",
                "decoded_image": GREEN,
                "answer": "\\frac{3\\sqrt{2}}{2}",
                "solution": "By Pythagoras.",
                "level": 5,
                "subject": "metric geometry - length",
            },
        ],
        split=split,
    )


SCHEMAS: dict[str, Schema] = {
    "chartqa": Schema(
        {"type": "string", "question": "string", "answer": "string", "image": "image"},
        [
            {"type": "human_test", "question": "What was it in 2020?", "answer": "337.8", "image": RED},
            {"type": "augmented_test", "question": "Which country leads?", "answer": "Belgium", "image": BLUE},
        ],
    ),
    "geometry3k": Schema(
        {
            "images": ["image"],
            "problem": "string",
            "answer": "string",
            "id": "integer",
            "choices": ["string"],
            "ground_truth": "string",
        },
        [
            {
                "images": [RED],
                "problem": "<image>Find $x$.",
                "answer": "135",
                "id": 2401,
                "choices": ["45", "90", "135", "180"],
                "ground_truth": "C",
            },
            {
                "images": [BLUE],
                "problem": "<image>Find $PT$.",
                "answer": "\\frac { 20 } { 3 }",
                "id": 2402,
                "choices": ["6", "\\frac { 20 } { 3 }", "7", "22 / 3"],
                "ground_truth": "B",
            },
        ],
    ),
    "microvqa": Schema(
        {
            "key_question": "integer",
            "key_image": "integer",
            "images_list": ["image"],
            "question": "string",
            "choices": ["string"],
            "correct_index": "integer",
            "correct_answer": "string",
            "task": "integer",
            "task_str": "string",
        },
        [
            {
                "key_question": 7,
                "key_image": 3,
                "images_list": [RED, BLUE],
                "question": "Why do the cells on the right glow?",
                "choices": ["Liver cells express GFP", "Bleaching", "The stain leaked"],
                "correct_index": 1,
                "correct_answer": "Bleaching",
                "task": 2,
                "task_str": "hypothesis generation",
            },
            {
                "key_question": 8,
                "key_image": 4,
                "images_list": [GREEN],
                "question": "What is marked?",
                "choices": ["Nucleus", "Membrane"],
                "correct_index": 0,
                "correct_answer": "Nucleus",
                "task": 1,
                "task_str": "perception",
            },
        ],
    ),
    "msearthmcq": Schema(
        {
            "query": "string",
            "response": "string",
            "image": "image",
            "question_id": "string",
            "caption": "string",
            "title": "string",
        },
        [
            {
                "query": "<image>Question:\nWhich rock is below?\nOptions:\nA. granite\nB. basalt\nC. chalk\nD. slate",
                "response": "B. basalt",
                "image": RED,
                "question_id": "mcq_1",
                "caption": "A section of the crust; basalt is at the bottom.",
                "title": "On crusts",
            },
            {
                "query": "<image>Question:\nWhat does the map show?\nOptions:\nA. wind,\nwith gusts\nB. rain",
                "response": "A",
                "image": BLUE,
                "question_id": "mcq_2",
                "caption": "A map.",
                "title": "On weather",
            },
        ],
        split="train",
    ),
    "slake": Schema(
        {
            "img_id": "integer",
            "img_name": "string",
            "question": "string",
            "answer": "string",
            "q_lang": "string",
            "location": "string",
            "modality": "string",
            "answer_type": "string",
            "base_type": "string",
            "content_type": "string",
            "triple": ["string"],
            "qid": "integer",
            "image": "image",
        },
        [
            {
                "img_id": 1,
                "img_name": "xmlab1/source.jpg",
                "question": "Which organ is largest?",
                "answer": "Liver",
                "q_lang": "en",
                "location": "Abdomen",
                "modality": "CT",
                "answer_type": "OPEN",
                "base_type": "vqa",
                "content_type": "Size",
                "triple": ["vhead", "_", "_"],
                "qid": 11934,
                "image": RED,
            },
            {
                "img_id": 1,
                "img_name": "xmlab1/source.jpg",
                "question": "哪个器官最大？",
                "answer": "肝脏",
                "q_lang": "zh",
                "location": "Abdomen",
                "modality": "CT",
                "answer_type": "OPEN",
                "base_type": "vqa",
                "content_type": "Size",
                "triple": ["vhead", "_", "_"],
                "qid": 11935,
                "image": RED,
            },
            {
                "img_id": 2,
                "img_name": "xmlab2/source.jpg",
                "question": "Is the lung healthy?",
                "answer": "No",
                "q_lang": "en",
                "location": "Lung",
                "modality": "X-Ray",
                "answer_type": "CLOSED",
                "base_type": "vqa",
                "content_type": "Abnormality",
                "triple": ["vhead", "_", "_"],
                "qid": 11936,
                "image": BLUE,
            },
        ],
        write=_write_slake,
    ),
    "tallyqa": Schema(
        {
            "answer": "integer",
            "data_source": "string",
            "image": "image",
            "image_id": "integer",
            "issimple": "boolean",
            "question": "string",
            "question_id": "integer",
        },
        [
            {
                "answer": 4,
                "data_source": "imported_genome",
                "image": RED,
                "image_id": 2410408,
                "issimple": True,
                "question": "How many dogs are there?",
                "question_id": 30093000,
            },
            {
                "answer": 0,
                "data_source": "amt",
                "image": RED,
                "image_id": 2410408,
                "issimple": False,
                "question": "How many dogs are asleep?",
                "question_id": 30093001,
            },
        ],
        write=_write_with_files,
    ),
    "hrbench4k": _hrbench("4k"),
    "hrbench8k": _hrbench("8k"),
    "vstar": Schema(
        {"image": "image", "text": "string", "category": "string", "label": "string", "question_id": "string"},
        [
            {
                "image": RED,
                "text": "What colour is the cup?\n(A) red\n(B) light blue\nAnswer with the letter alone.",
                "category": "direct_attributes",
                "label": "B",
                "question_id": "0",
            },
            {
                "image": BLUE,
                "text": "Is the cat left of the dog? (A) yes (B) no",
                "category": "relative_position",
                "label": "A",
                "question_id": "1",
            },
        ],
    ),
    "mathvision": _mathvision("test"),
    "mathvision_testmini": _mathvision("testmini"),
    "erqa": Schema(
        {
            "question_id": "string",
            "question": "string",
            "question_type": "string",
            "answer": "string",
            "visual_indices": ["integer"],
            "images": ["image"],
        },
        [
            {
                "question_id": "ERQA_1",
                "question": f"Where does the gripper go? Choices: A. Up. B. Down. C. Away. {LETTER_ONLY}",
                "question_type": "Trajectory Reasoning",
                "answer": "B",
                "visual_indices": [0],
                "images": [RED],
            },
            {
                "question_id": "ERQA_2",
                "question": f"Before: After: What changed? Choices: A. The cup. B. None of these. {LETTER_ONLY}",
                "question_type": "State Estimation",
                "answer": "A",
                "visual_indices": [8, 15],
                "images": [RED, BLUE],
            },
        ],
    ),
    "ocrbench": Schema(
        {
            "dataset": "string",
            "question": "string",
            "question_type": "string",
            "answer": ["string"],
            "image": "image",
        },
        [
            {
                "dataset": "IIIT5K",
                "question": "what is written in the image?",
                "question_type": "Regular Text Recognition",
                "answer": ["CENTRE", "CENTER"],
                "image": RED,
            },
            {
                "dataset": "HME100k",
                "question": "Please write out the expression of the formula in the image using LaTeX format.",
                "question_type": "Handwritten Mathematical Expression Recognition",
                "answer": ["x ^ { 2 } + Y"],
                "image": BLUE,
            },
        ],
    ),
    "vlmsareblind": Schema(
        {"task": "string", "image": "image", "prompt": "string", "groundtruth": "string", "metadata": "string"},
        [
            {
                "task": "Subway Connections",
                "image": RED,
                "prompt": "How many single-colour paths go from A to C? Answer with a number in brackets, e.g. {3}",
                "groundtruth": "2",
                "metadata": '{"line_thickness": 10}',
            },
            {
                "task": "Touching Circles",
                "image": BLUE,
                "prompt": "Are the two circles touching each other? Answer with Yes/No.",
                "groundtruth": "No",
                "metadata": "{}",
            },
            {
                "task": "Counting Grid - Word Grids",
                "image": GREEN,
                "prompt": "Count the number of rows and columns and answer with numbers in curly brackets.",
                "groundtruth": "4,5",
                "metadata": "{}",
            },
        ],
        split="valid",
    ),
    "humanevalv": Schema(
        {
            "qid": "string",
            "ground_truth_solution": "string",
            "ground_truth_diagram_description": "string",
            "test_script": "string",
            "function_signature": "string",
            "diagram": "image",
            "capability_aspects": {name: ["string"] for name in _CAPABILITIES},
            "task_type": "string",
        },
        [
            {
                "qid": "q1",
                "ground_truth_solution": "def solution(n: int) -> int:\n    return 2 * n\n",
                "ground_truth_diagram_description": "Each box holds twice the number on its left.",
                "test_script": "def test():\n    assert solution(2) == 4\n    assert solution(0) == 0\n\ntest()\n",
                "function_signature": "def solution(n: int) -> int:\n"
                '    """The number in the box at the right of n."""\n',
                "diagram": RED,
                "capability_aspects": {name: [] for name in _CAPABILITIES},
                "task_type": "Transformation",
            }
        ],
    ),
    "mathvista": Schema(
        {
            "pid": "string",
            "question": "string",
            "image": "string",
            "decoded_image": "image",
            "choices": ["string"],
            "unit": "string",
            "precision": "float",
            "answer": "string",
            "question_type": "string",
            "answer_type": "string",
            "metadata": {"category": "string", "img_height": "integer", "skills": ["string"]},
            "query": "string",
        },
        [
            {
                "pid": "1",
                "question": "Which is larger?",
                "image": "images/1.jpg",
                "decoded_image": RED,
                "choices": ["The left one", "The right one"],
                "answer": "The right one",
                "question_type": "multi_choice",
                "answer_type": "text",
                "metadata": {"category": "general-vqa", "img_height": 6, "skills": ["arithmetic reasoning"]},
                "query": "Which is larger?",
            },
            {
                "pid": "2",
                "question": "What does it cost?",
                "image": "images/2.jpg",
                "decoded_image": BLUE,
                "unit": "$",
                "precision": 2.0,
                "answer": "10.40",
                "question_type": "free_form",
                "answer_type": "float",
                "metadata": {"category": "math-targeted-vqa", "img_height": 6, "skills": []},
                "query": "What does it cost?",
            },
            {
                "pid": "3",
                "question": "How many bars are there?",
                "image": "images/3.jpg",
                "decoded_image": GREEN,
                "precision": 1.0,
                "answer": "6",
                "question_type": "free_form",
                "answer_type": "integer",
                "metadata": {"category": "general-vqa", "img_height": 6, "skills": []},
                "query": "How many bars are there?",
            },
        ],
        split="testmini",
    ),
}


def _array(kind: Kind, values: Sequence[Any]) -> Any:
    if isinstance(kind, list):
        lists = [value or [] for value in values]
        offsets = Array(list(accumulate(map(len, lists), initial=0)), type=DataType.int32())
        absent = Array([value is None for value in values], type=DataType.bool())
        return list_array(offsets, _array(kind[0], [item for value in lists for item in value]), mask=absent)
    if kind == "image":
        kind, values = {"bytes": "binary", "path": "string"}, [{"bytes": value, "path": "x.png"} for value in values]
    if isinstance(kind, Mapping):
        parts = {name: _array(part, [value[name] for value in values]) for name, part in kind.items()}
        return struct_array(list(parts.values()), fields=[Field(name, part.type) for name, part in parts.items()])
    return Array(list(values), type=_types()[kind])


@functools.cache
def _types() -> dict[str, DataType]:
    return {
        "string": DataType.string(),
        "integer": DataType.int64(),
        "float": DataType.float64(),
        "boolean": DataType.bool(),
        "binary": DataType.binary(),
    }


def _feature(kind: Kind) -> Any:
    import datasets

    if isinstance(kind, list):
        return datasets.List(_feature(kind[0]))
    if isinstance(kind, Mapping):
        return {name: _feature(part) for name, part in kind.items()}
    if kind == "image":
        return datasets.Image()
    return datasets.Value({"string": "string", "integer": "int64", "float": "float64", "boolean": "bool"}[kind])


def _plain(kind: Kind, value: Any) -> Any:
    if isinstance(kind, list) and value is not None:
        return [_plain(kind[0], item) for item in value]
    return {"bytes": value, "path": None} if kind == "image" else value
