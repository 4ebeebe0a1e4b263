"""Writes lmms-eval's ``MODEL/STAMP_results.json`` and ``MODEL/STAMP_samples_TASK.jsonl``, as version 0.7.3 does.

Its tables (``make_table``), its ``--baseline`` loader and its viewer read them. lmms-eval has no failed rollouts: the
sample of one has no response and a ``null`` score, so that the loader skips it; the task's accuracy counts it as wrong,
as ours does. Facts without a field in lmms-eval are under ``maestro``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.names import safe_name
from maestro_eval.exports.options import Options
from maestro_eval.exports.privacy import Scrubber, public_manifest
from maestro_eval.exports.source import Row, Source, iso_time, policy_usage
from maestro_eval.exports.writing import write_json, write_lines
from maestro_eval.records import TaskRecord
from maestro_eval.report import protocol_notes

_FILTER = "none"
_STAMP = "%Y%m%d_%H%M%S"
_VERSION = "0.7.3"


def export(source: Source, out: Path, options: Options) -> list[Path]:
    """Write both kinds of file below ``out``; the samples first, because the results contain their hashes."""
    manifest = source.manifest
    model = manifest.policy_model or manifest.policy
    folder = out / _folder_name(options.scrubber.text(model))
    stamp = source.started.strftime(_STAMP)
    written, hashes = [], {}
    for task in source.tasks:
        name = safe_name(task.name)
        path = folder / f"{stamp}_samples_{name}.jsonl"
        digest = hashlib.sha256()
        write_lines(path, _samples(source, task, options.scrubber, digest))
        hashes[name] = digest.hexdigest()
        written.append(path)
    path = folder / f"{stamp}_results.json"
    write_json(path, _results(source, hashes, options.scrubber))
    return [path, *written]


EXPORTER = Exporter(export, folder="")


def _samples(source: Source, task: TaskRecord, scrubber: Scrubber, digest: Any) -> Iterator[dict[str, Any]]:
    numbered = all(_is_number(rows[0].score.sample_id) for rows in source.samples(task.name))
    for position, rows in enumerate(source.samples(task.name)):
        sample_id = rows[0].score.sample_id
        record = _sample(rows, task, int(sample_id) if numbered else position, scrubber)
        digest.update(record["doc_hash"].encode())
        yield record


def _sample(rows: list[Row], task: TaskRecord, number: int, scrubber: Scrubber) -> dict[str, Any]:
    sample = next((row.sample for row in rows if row.sample is not None), None)
    prompt = next((row.rollout.user_prompt for row in rows if row.rollout is not None), "")
    words = scrubber.answer
    answers = [words(row.answer or "") for row in rows]
    transcripts = [words(_transcript(row)) for row in rows]
    values = [row.score.value for row in rows]
    score = fmean(value for value in values if value is not None) if None not in values else None
    targets = list(sample.targets) if sample else []
    return {
        "doc_id": number,
        "target": targets[0] if len(targets) == 1 else str(targets),
        "input": words(prompt),
        # lmms-eval writes one response as a list of one, and several as a list of lists.
        "resps": transcripts if len(rows) == 1 else [[text] for text in transcripts],
        # Empty if a rollout failed: otherwise the loader would score the remaining answers itself.
        "filtered_resps": ([] if score is None else answers) if len(rows) > 1 else answers[0],
        "token_counts": [_tokens(row) for row in rows],
        "doc_hash": next((row.score.content_hash for row in rows if row.score.content_hash), ""),
        task.metric: score,
        "score": score,
        "sample_id": rows[0].score.sample_id,
        "maestro": {
            "answers": answers,
            "values": values,
            "extracted": [words(row.score.extracted) for row in rows],
            "notes": [scrubber.text(row.score.note) for row in rows],
            "images": [image.sha256 for image in sample.images] if sample else [],
            "category": rows[0].score.category,
            "turns": [len(row.rollout.turns) if row.rollout else 0 for row in rows],
        },
    }


def _results(source: Source, hashes: dict[str, str], scrubber: Scrubber) -> dict[str, Any]:
    manifest = public_manifest(source.manifest, scrubber)
    tasks = {safe_name(task.name): task for task in source.tasks}
    ended = [row.rollout.timing for row in source.rows() if row.rollout is not None]
    begin = min((timing.started_at for timing in ended), default=manifest.created_at)
    end = max((timing.started_at + timing.elapsed_s for timing in ended), default=manifest.created_at)
    model = manifest.policy_model or manifest.policy
    return {
        "results": {name: _metrics(source, task, name) for name, task in tasks.items()},
        "groups": {
            name: {"alias": name, f"mean,{_FILTER}": mean.accuracy.value} for name, mean in source.result.means.items()
        },
        "group_subtasks": {group.name: [safe_name(task) for task in group.tasks] for group in source.comparison.groups},
        "configs": {name: _config(source, task) for name, task in tasks.items()},
        "versions": {name: task.hash[:12] for name, task in tasks.items()},
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {name: {task.metric: True} for name, task in tasks.items()},
        "n-samples": {
            name: {"original": task.planned, "effective": source.result.tasks[task.name].accuracy.n}
            for name, task in tasks.items()
        },
        "config": {
            "model": "maestro",
            "model_args": f"model={model},policy={manifest.policy},registry={manifest.registry.name}",
            "limit": manifest.selection.limit,
            "gen_kwargs": msgspec.to_builtins(manifest.sampling),
            "random_seed": manifest.seed,
        },
        "date": source.started.strftime(_STAMP),
        "task_hashes": hashes,
        "model_source": "maestro",
        "model_name": model,
        "model_name_sanitized": _folder_name(model),
        "system_instruction": None,
        "system_instruction_sha": manifest.prompt.hash,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
        "start_time": begin,
        "end_time": end,
        "total_evaluation_time_seconds": str(end - begin),
        "lmms_eval_version": _VERSION,
        "maestro": {
            "protocol": source.protocol,
            "started": iso_time(begin),
            "n_failed": {name: source.result.tasks[task.name].n_failed for name, task in tasks.items()},
            "shortcomings": source.shortcomings,
            "notes": [scrubber.text(note) for note in (*source.comparison.notes, *protocol_notes(source.comparison))],
            "manifest": msgspec.to_builtins(manifest),
        },
    }


def _metrics(source: Source, task: TaskRecord, alias: str) -> dict[str, Any]:
    found = source.result.tasks[task.name]
    error = source.errors.get(task.name, "N/A")
    numbers: dict[str, Any] = {
        "alias": alias,
        f"{task.metric},{_FILTER}": found.accuracy.value,
        f"{task.metric}_stderr,{_FILTER}": error,
        f"{task.metric}_stderr_clustered,{_FILTER}": error,
    }
    for name, measure in found.others.items():
        numbers[f"{name},{_FILTER}"] = measure.value
    return numbers


def _config(source: Source, task: TaskRecord) -> dict[str, Any]:
    return {
        "task": task.name,
        "tag": list(task.tags),
        "output_type": "generate_until",
        "repeats": source.manifest.repeats,
        "metric_list": [{"metric": task.metric, "aggregation": task.aggregation, "higher_is_better": True}],
        "metadata": {"task_hash": task.hash, "data_hash": task.data_hash, "revision": task.revision},
    }


def _transcript(row: Row) -> str:
    return "\n".join(turn.text for turn in row.rollout.turns) if row.rollout else ""


def _tokens(row: Row) -> dict[str, int] | None:
    if row.rollout is None:
        return None
    usage = policy_usage(row.rollout)
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}


def _is_number(sample_id: str) -> bool:
    return sample_id.isascii() and sample_id.isdecimal() and str(int(sample_id)) == sample_id


def _folder_name(model: str) -> str:
    """Return the folder name that lmms-eval makes of a hub's ``ORG/NAME``."""
    return safe_name(model.replace("/", "__"))
