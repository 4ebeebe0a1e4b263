"""The real samples of ``../shared/realdata`` in the schemas of the benchmarks' Hugging Face datasets.

They are not part of the product: whoever uses them skips where ``available()`` is false.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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
    return [(REALDATA / benchmark / row["image"]).read_bytes() for row in rows]


def main(arguments: list[str]) -> int:
    """``python -m tests.realdata DIR`` writes both sets into ``DIR``."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for write in (chartqa_parquet, vlmsareblind_parquet):
        print(write(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
