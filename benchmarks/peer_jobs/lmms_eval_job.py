"""The job on lmms-eval's ``async_openai``, run in its environment; ``benchmarks/peers.py`` writes ``job.json``."""

from __future__ import annotations

import json
import os
import runpy
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    job = json.load(file)
folder = os.path.join(job["out"], "task")
os.makedirs(folder, exist_ok=True)
rows = os.path.join(folder, "rows.jsonl")
with open(rows, "w", encoding="utf-8") as file:
    for row in job["rows"]:
        file.write(json.dumps({key: row[key] for key in ("question", "answer", "image")}) + "\n")
with open(os.path.join(folder, "peer_utils.py"), "w", encoding="utf-8") as file:
    file.write(
        "from PIL import Image\n\n\n"
        "def doc_to_visual(doc):\n    return [Image.open(doc['image']).convert('RGB')]\n\n\n"
        "def doc_to_text(doc, lmms_eval_specific_kwargs=None):\n    return doc['question']\n\n\n"
        "def process_results(doc, results):\n    return {'right': float(doc['answer'] in results[0])}\n"
    )
with open(os.path.join(folder, "peer_job.yaml"), "w", encoding="utf-8") as file:
    file.write(
        f"task: peer_job\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {rows}\ntest_split: test\n"
        "output_type: generate_until\ndoc_to_visual: !function peer_utils.doc_to_visual\n"
        "doc_to_text: !function peer_utils.doc_to_text\ndoc_to_target: answer\n"
        "generation_kwargs: {max_new_tokens: 64, temperature: 0, do_sample: false}\n"
        "process_results: !function peer_utils.process_results\n"
        "metric_list:\n  - {metric: right, aggregation: mean, higher_is_better: true}\nmetadata: {version: 0.0}\n"
    )
# Its default, PNG, costs more and is larger; the others send the files unchanged.
os.environ["LMMS_IMAGE_ENCODE_FORMAT"] = "JPEG"
# ``num_cpus`` is its name for the number of concurrent requests.
sys.argv = [
    "lmms_eval",
    *("--model", "async_openai", "--tasks", "peer_job", "--include_path", folder, "--batch_size", "1"),
    *("--model_args", f"model_version={job['model']},base_url={job['url']},api_key=none,num_cpus={job['concurrency']}"),
    *("--output_path", os.path.join(job["out"], "results"), "--log_samples"),
]
runpy.run_module("lmms_eval", run_name="__main__")
