"""Makes the input of a benchmark run: questions about pictures, a registry of simulated experts, and the request."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engines import ORCHESTRATOR, expert
from maestro_eval.runtime import RunConfig

TASK = "maestro_chartqa"
QUESTION = "In row {number}, what does the highest bar of the chart read?"


def write_questions(folder: Path, questions: int, *, pictures: int = 64, picture_bytes: int = 20_000) -> Path:
    """Write rows of ChartQA's schema, which share ``pictures`` different JPEG files of about ``picture_bytes`` each."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pictures(folder, pictures, picture_bytes)
    path = folder / "questions.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(questions):
            row = {
                "type": "human_test",
                "question": QUESTION.format(number=number),
                "answer": "4",
                "image": picture_name(number % pictures),
            }
            file.write(json.dumps(row) + "\n")
    return path


def write_pictures(folder: Path, pictures: int, picture_bytes: int) -> None:
    """Write JPEG files with different pixels: coarse shapes under noise, of about ``picture_bytes`` each."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    # This noise takes about four bits per pixel at quality 85.
    side = max(16, int((picture_bytes * 2.3) ** 0.5))
    coarse = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((side, side))
    noise = rng.normal(0, 24, (side, side, 3))
    for number in range(pictures):
        pixels = np.clip(np.asarray(coarse) + np.roll(noise, number + 1, axis=0), 0, 255).astype(np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=85)
        (folder / picture_name(number)).write_bytes(encoded.getvalue())


def picture_name(number: int) -> str:
    return f"{number}.jpg"


def write_registry(path: Path, urls: Sequence[str], concurrency: int) -> Path:
    """Write a registry of one expert behind each of ``urls``."""
    endpoints = "\n".join(
        f'  {expert(number)}: {{url: "{url}", concurrency: {concurrency}}}' for number, url in enumerate(urls, 1)
    )
    experts = "\n".join(
        f"  {name}: {{model: {name}, endpoint: {name}, description: Reads charts.}}"
        for name in (expert(number) for number in range(1, len(urls) + 1))
    )
    path.write_text(
        f"schema: 1\nname: benchmark\nendpoints:\n{endpoints}\nexperts:\n{experts}\n"
        "skills:\n  Ask: {description: Ask plainly., prompt: prompts/plain.j2}\n"
    )
    return path


def orchestrated(folder: Path, urls: Sequence[str], data: Path, *, concurrency: int) -> RunConfig:
    """Return the config of a run with the orchestrator behind the first of ``urls``, experts behind the others."""
    registry = write_registry(folder / "registry.yaml", urls[1:], concurrency)
    return RunConfig(
        policy=f"openai:{urls[0]}#{ORCHESTRATOR}",
        registry=str(registry),
        tasks=(TASK,),
        data={TASK: str(data)},
        concurrency=concurrency,
    )
