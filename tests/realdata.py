"""The real samples of ``../shared/realdata`` in the schemas of the benchmarks' Hugging Face datasets.

They are not part of the product: whoever uses them skips where ``available()`` is false.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from tests.benchmarks.rows import SCHEMAS, write_table
from tests.unit.tasks.parquet_rows import write_rows

REALDATA = Path(__file__).resolve().parent.parent.parent / "shared" / "realdata"

_BLIND_TASKS = {
    "LineIntersection": "Line Plot Intersections",
    "TouchingCircle": "Touching Circles",
    "CircledWord": "Circled Letter",
    "NestedSquares": "Nested Squares",
    "SubwayMap": "Subway Connections",
}


def available() -> bool:
    """Whether the real samples are there."""
    return (REALDATA / "chartqa" / "samples.jsonl").is_file()


def chartqa_parquet(folder: Path) -> Path:
    """The ChartQA samples as ``folder/maestro_chartqa.parquet``."""
    rows = _rows("chartqa")
    return write_rows(
        folder / "maestro_chartqa.parquet",
        {
            "type": ("string", [f"{row['category']}_test" for row in rows]),
            "question": ("string", [row["question"] for row in rows]),
            "answer": ("string", [row["answer"] for row in rows]),
            "image": ("image", _images("chartqa", rows)),
        },
    )


def vlmsareblind_parquet(folder: Path) -> Path:
    """The VLMsAreBlind samples as ``folder/maestro_vlmsareblind.parquet``."""
    rows = _rows("vlmsareblind")
    return write_rows(
        folder / "maestro_vlmsareblind.parquet",
        {
            "image": ("image", _images("vlmsareblind", rows)),
            "task": ("string", [_blind_task(row) for row in rows]),
            "prompt": ("string", [row["question"] for row in rows]),
            "groundtruth": ("string", [row["answer"] for row in rows]),
            "metadata": ("string", [json.dumps({"id": row["id"]}) for row in rows]),
        },
    )


def erqa_parquet(folder: Path) -> Path:
    """The ERQA samples as ``folder/maestro_erqa.parquet``; several of them have more than one image."""
    rows = _rows("erqa")
    return write_rows(
        folder / "maestro_erqa.parquet",
        {
            "question_id": ("string", [row["id"] for row in rows]),
            "question": ("string", [row["question"] for row in rows]),
            "question_type": ("string", [row["category"] for row in rows]),
            "answer": ("string", [row["answer"] for row in rows]),
            "visual_indices": ("[integer]", [row["visual_indices"] for row in rows]),
            "images": ("[image]", [[_file("erqa", name) for name in row["images"]] for row in rows]),
        },
    )


def geometry3k_parquet(folder: Path) -> Path:
    """The Geometry3K samples as ``folder/maestro_geometry3k.parquet``."""
    rows = _rows("geometry3k")
    return write_rows(
        folder / "maestro_geometry3k.parquet",
        {
            "images": ("[image]", [[image] for image in _images("geometry3k", rows)]),
            "problem": ("string", [f"<image>{row['question']}" for row in rows]),
            "choices": ("[string]", [row["choices"] for row in rows]),
            "ground_truth": ("string", [row["answer"] for row in rows]),
            "answer": ("string", [row["answer_text"] for row in rows]),
        },
    )


def mathvista_parquet(folder: Path) -> Path:
    """The MathVista samples as ``folder/maestro_mathvista.parquet``: choices, precision and unit may be null."""
    rows = _rows("mathvista")
    return write_table(
        folder / "maestro_mathvista.parquet",
        SCHEMAS["mathvista"].columns,
        [
            {
                "pid": row["id"],
                "question": row["question"],
                "image": row["image"],
                "decoded_image": image,
                "choices": row.get("choices"),
                "precision": row.get("precision"),
                "answer": row["answer"],
                "question_type": row["question_type"],
                "answer_type": row["answer_type"],
                "metadata": {"category": row["category"], "img_height": 0, "skills": row["skills"]},
                "query": row["query"],
            }
            for row, image in zip(rows, _images("mathvista", rows), strict=True)
        ],
    )


def slake_json(folder: Path) -> Path:
    """The SLAKE samples as ``folder/slake/test.json`` with ``imgs.zip``, as its repository has them."""
    rows = _rows("slake")
    (folder / "slake").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "slake" / "imgs.zip", "w") as archive:
        for name in sorted({row["image"] for row in rows}):
            archive.writestr(f"imgs/{name}", _file("slake", name))
    path = folder / "slake" / "test.json"
    kept = [
        {
            "img_id": row["img_id"],
            "img_name": row["image"],
            "question": row["question"],
            "answer": row["answer"],
            "q_lang": "en",
            "location": row["location"],
            "modality": row["modality"],
            "answer_type": row["category"],
            "base_type": "vqa",
            "content_type": row["content_type"],
            "triple": ["vhead", "_", "_"],
            "qid": row["id"],
        }
        for row in rows
    ]
    path.write_text(json.dumps(kept), encoding="utf-8")
    return path


WRITERS = {
    "maestro_chartqa": chartqa_parquet,
    "maestro_erqa": erqa_parquet,
    "maestro_geometry3k": geometry3k_parquet,
    "maestro_mathvista": mathvista_parquet,
    "maestro_slake": slake_json,
    "maestro_vlmsareblind": vlmsareblind_parquet,
}
"""What writes the samples of each task into a folder, and returns what ``--data TASK=`` is given."""


def _blind_task(row: dict[str, Any]) -> str:
    if row["category"] == "CountingCircles":
        return f"Olympic Counting - {row['shape'].title()}"
    if row["category"] == "CountingRowsAndColumns":
        return f"Counting Grid - {'Word' if row['kind'] == 'text' else 'Blank'} Grids"
    return _BLIND_TASKS[row["category"]]


def _rows(benchmark: str) -> list[dict[str, Any]]:
    lines = (REALDATA / benchmark / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def _images(benchmark: str, rows: list[dict[str, Any]]) -> list[bytes]:
    return [_file(benchmark, row["image"]) for row in rows]


def _file(benchmark: str, name: str) -> bytes:
    return (REALDATA / benchmark / name).read_bytes()


def main(arguments: list[str]) -> int:
    """``python -m tests.realdata DIR`` writes all sets into ``DIR``."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for write in WRITERS.values():
        print(write(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
