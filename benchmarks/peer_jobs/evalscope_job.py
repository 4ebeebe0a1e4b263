"""The job on evalscope, run by the Python of its environment; ``benchmarks/peers.py`` writes ``job.json``."""

from __future__ import annotations

import json
import os
import sys

from evalscope import TaskConfig, run_task

with open(sys.argv[1], encoding="utf-8") as file:
    job = json.load(file)
data = os.path.join(job["out"], "data")
os.makedirs(data, exist_ok=True)
# The questions are a choice of four, because scoring that is the cheapest.
with open(os.path.join(data, "rows.jsonl"), "w", encoding="utf-8") as file:
    for row in job["rows"]:
        options = ["one", "two", "three", row["answer"]]
        question = {"question": f"<image 1> {row['question']}", "options": options, "answer": "D"}
        file.write(json.dumps({**question, "image_1": row["image"]}) + "\n")
run_task(
    TaskConfig(
        model=job["model"],
        api_url=job["url"],
        api_key="none",
        eval_type="openai_api",
        datasets=["general_vmcq"],
        dataset_args={"general_vmcq": {"local_path": data, "subset_list": ["rows"]}},
        eval_batch_size=job["concurrency"],
        generation_config={"temperature": 0.0},
        work_dir=os.path.join(job["out"], "work"),
    )
)
