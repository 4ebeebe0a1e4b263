"""Rows in ChartQA's schema as lmms-eval reads them, and a registry of one simulated expert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmms.task_rows import PICTURE

SPLIT = "test-00000-of-00001.parquet"


def write_charts(folder: Path, answers: list[str]) -> Path:
    """A folder of one Parquet file: ``answers`` to as many questions, each about a picture of its own."""
    from datasets import Dataset, Features, Image, Value
    from PIL import Image as Pillow

    features = Features(
        {"type": Value("string"), "question": Value("string"), "answer": Value("string"), "image": Image()}
    )
    rows = [
        {
            "type": "human_test" if number % 2 else "augmented_test",
            "question": f"What is value {number}?",
            "answer": answer,
            "image": Pillow.new("RGB", (32, 32), (number * 7 % 256, 90, 200)),
        }
        for number, answer in enumerate(answers)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=features).to_parquet(folder / SPLIT)
    return folder


def write_registry(path: Path, url: str) -> Path:
    """A registry of one expert, ``oracle``, behind ``url``, that is asked once."""
    path.write_text(
        f"""schema: 1
name: small
endpoints:
  there: {{url: "{url}", max_tries: 1, timeout_s: 20}}
experts:
  oracle: {{model: oracle, endpoint: there, description: Knows what is in a picture.}}
skills:
  Ask: {{description: Ask plainly., prompt: prompts/plain.j2}}
"""
    )
    return path


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    """A Parquet file of ``rows``, in which each ``PICTURE`` is a small picture."""
    from datasets import Dataset
    from PIL import Image as Pillow

    def drawn(value: Any) -> Any:
        if isinstance(value, list):
            return [drawn(each) for each in value]
        return Pillow.new("RGB", (64, 48), (9, 90, 200)) if value == PICTURE else value

    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list([{name: drawn(value) for name, value in row.items()} for row in rows]).to_parquet(path)
    return path
