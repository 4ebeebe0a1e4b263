"""The job on inspect_ai, run by the Python of its environment; ``benchmarks/peers.py`` writes ``job.json``."""

from __future__ import annotations

import json
import os
import sys

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

with open(sys.argv[1], encoding="utf-8") as file:
    job = json.load(file)
os.environ.update(SIMULATED_BASE_URL=job["url"], SIMULATED_API_KEY="none")
samples = [
    Sample(
        input=[ChatMessageUser(content=[ContentImage(image=row["image"]), ContentText(text=row["question"])])],
        target=row["answer"],
        id=number,
    )
    for number, row in enumerate(job["rows"])
]
(log,) = evaluate(
    Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes()),
    model=f"openai-api/simulated/{job['model']}",
    # Connections and samples at once are as requested, and there is no live display.
    max_connections=job["concurrency"],
    max_samples=job["concurrency"],
    max_tasks=1,
    display="none",
    log_dir=job["out"],
    temperature=0.0,
)
print(json.dumps({"status": log.status, "answered": log.results.completed_samples if log.results else 0}))
