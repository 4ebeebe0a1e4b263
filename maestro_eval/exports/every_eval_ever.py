"""Writes Every Eval Ever: a JSON file of a run's results, and beside it a line of JSON for each rollout.

The schema is version 0.3.0 of the ``every-eval-ever`` project (arXiv:2606.14516), and the paths are those of its data
store: ``data/COLLECTION/DEVELOPER/MODEL/UUID.json`` and ``UUID_samples.jsonl``. Two fields do not fit our measurements:
the model's id, which here names the policy *and* its registry; and the score, which the schema requires even for a
failed rollout: it is 0, as in the aggregate, and ``error`` and ``metadata`` record that nothing was judged.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maestro_eval.analysis import TaskAccuracy
from maestro_eval.exports.benchmarks import hub_definitions
from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.names import safe_name
from maestro_eval.exports.options import Options
from maestro_eval.exports.privacy import data_source, public_manifest
from maestro_eval.exports.source import Row, Source, policy_usage
from maestro_eval.exports.wording import SHOWN_HASH, captioner, registry_text, score_note
from maestro_eval.exports.writing import sha256_of, write_json, write_lines
from maestro_eval.records import Rollout, RunManifest, SearchAction, TaskRecord
from maestro_eval.tasks import Definition

SCHEMA_VERSION = "0.3.0"
_COLLECTION = "maestro-eval"
_HUB_ID = re.compile(r"(?P<org>[A-Za-z0-9][\w.-]*)/(?P<name>[\w.-]+)")
_MS = 1000


def export(source: Source, out: Path, options: Options) -> list[Path]:
    """Write both files; the lines first, because the results contain their checksum."""
    manifest = public_manifest(source.manifest, options.scrubber)
    identity = _Identity(manifest, source.protocol, options.now)
    folder = f"data/{_COLLECTION}/{identity.developer}/{identity.model}"
    samples = f"{folder}/{identity.uuid}_samples.jsonl"
    total = write_lines(out / samples, _instances(source, identity, options))
    detail = {
        "format": "jsonl",
        "file_path": samples,
        "hash_algorithm": "sha256",
        "checksum": sha256_of(out / samples),
        "total_rows": total,
    }
    aggregate = out / folder / f"{identity.uuid}.json"
    write_json(aggregate, _aggregate(source, manifest, identity, options) | {"detailed_evaluation_results": detail})
    return [aggregate, out / samples]


EXPORTER = Exporter(export, folder="eee")


class _Identity:
    """The ids of the run, which name a policy with its registry."""

    def __init__(self, manifest: RunManifest, protocol: str, now: float) -> None:
        model = manifest.policy_model or manifest.policy
        known = _HUB_ID.fullmatch(model)
        # A policy without a hub id is one of our baselines, or an unnamed model behind an endpoint.
        self.developer = safe_name(known["org"] if known else _COLLECTION)
        base = safe_name(known["name"] if known else manifest.system)
        self.model = safe_name(f"{base}-with-{manifest.registry.name}-{manifest.registry.hash[:8]}")
        self.id = f"{self.developer}/{self.model}"
        self.evaluation = f"{_COLLECTION}/{self.id}/{int(now)}"
        digest = hashlib.sha256(f"{self.evaluation}\n{manifest.created_at}\n{protocol}".encode()).digest()
        self.uuid = str(uuid.UUID(bytes=digest[:16], version=4))


def _aggregate(source: Source, manifest: RunManifest, identity: _Identity, options: Options) -> dict[str, Any]:
    definitions = hub_definitions(source)
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": identity.evaluation,
        "evaluation_timestamp": str(int(manifest.created_at)),
        "retrieved_timestamp": str(int(options.now)),
        "source_metadata": {
            "source_name": "maestro-eval",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            "additional_details": _texts(
                {
                    "protocol": source.protocol,
                    "shortcomings": "; ".join(source.shortcomings) or "none",
                }
            ),
        },
        "eval_library": {
            "name": "maestro-eval",
            "version": manifest.versions.get("maestro-eval", "unknown"),
            "additional_details": _texts(manifest.versions),
        },
        "model_info": {
            "name": f"{manifest.system} (policy with registry {manifest.registry.name})",
            "id": identity.id,
            "developer": identity.developer,
            "additional_details": _texts(
                {
                    "deployment_type": "unknown",
                    "model_availability": "unknown",
                    "kind": "ensemble: a policy that calls the experts of a registry",
                    "policy": manifest.policy,
                    "policy_model": manifest.policy_model,
                    "registry": registry_text(manifest),
                    "registry_hash": manifest.registry.hash,
                    "captioner": captioner(manifest),
                    **{f"expert {name}": model for name, model in manifest.registry.experts.items()},
                    **{f"service {name}": model for name, model in manifest.registry.services.items()},
                }
            ),
        },
        "evaluation_results": [
            _result(source, manifest, task, definitions.get(task.name), options) for task in source.tasks
        ],
    }


def _result(
    source: Source, manifest: RunManifest, task: TaskRecord, definition: Definition | None, options: Options
) -> dict[str, Any]:
    found = source.result.tasks[task.name]
    return {
        "evaluation_result_id": _result_id(task),
        "evaluation_name": task.name,
        "source_data": _data(task, definition),
        "evaluation_timestamp": str(int(manifest.created_at)),
        "metric_config": {
            "evaluation_description": f"{task.metric} under the {source.protocol} protocol, {task.aggregation}",
            "metric_id": task.metric,
            "metric_name": task.metric,
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": found.accuracy.value,
            "details": _texts(
                {
                    "failed_samples": found.n_failed,
                    "failures": "no verdict: wrong in the score, wrong and right at the ends of the interval",
                    "note": score_note(
                        source.manifest, source.protocol, found, source.result.missing_evidence, options.scrubber
                    ),
                }
            ),
            "uncertainty": _uncertainty(found, source.errors.get(task.name)),
        },
        "generation_config": {
            "generation_args": _generation(manifest),
            "additional_details": _texts(
                {
                    "regime": manifest.regime.name,
                    "max_turns": manifest.regime.max_turns,
                    "max_searches": manifest.regime.max_searches,
                    "repeats": manifest.repeats,
                    "seed": manifest.seed,
                    "system_prompt_sha256": manifest.prompt.hash,
                }
            ),
        },
    }


def _data(task: TaskRecord, definition: Definition | None) -> dict[str, Any]:
    details = {
        "data": data_source(task),
        "data_hash": task.data_hash,
        "revision": task.revision or "unknown",
        "task_hash": task.hash,
    }
    if definition is None:
        details["samples"] = str(task.planned)
        return {"dataset_name": task.name, "source_type": "other", "additional_details": _texts(details)}
    return {
        "dataset_name": task.name,
        "source_type": "hf_dataset",
        "hf_repo": definition.dataset_path,
        "hf_split": definition.split,
        "samples_number": task.planned,
        "additional_details": _texts(details),
    }


def _uncertainty(found: TaskAccuracy, error: float | None) -> dict[str, Any]:
    accuracy = found.accuracy
    interval = {
        "lower": accuracy.low,
        "upper": accuracy.high,
        "confidence_level": 0.95,
        "method": accuracy.method,
    }
    known = {} if error is None else {"standard_error": {"value": error, "method": "cluster-robust"}}
    return {"confidence_interval": interval, "num_samples": accuracy.n, **known}


def _generation(manifest: RunManifest) -> dict[str, Any]:
    sampling = manifest.sampling
    given = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
    tools = [
        {"name": f"{expert}@@{skill}", "description": "an expert through a skill", "parameters": {"request": "string"}}
        for expert in manifest.registry.experts
        for skill in manifest.registry.skills
    ]
    return {
        **{name: value for name, value in given.items() if value is not None},
        "agentic_eval_config": {"available_tools": tools},
    }


def _instances(source: Source, identity: _Identity, options: Options) -> Iterator[dict[str, Any]]:
    tasks = {task.name: task for task in source.tasks}
    for row in source.rows():
        yield _instance(row, tasks[row.score.task], identity, source.manifest, options)


def _instance(
    row: Row, task: TaskRecord, identity: _Identity, manifest: RunManifest, options: Options
) -> dict[str, Any]:
    score, sample, rollout = row.score, row.sample, row.rollout
    words = options.scrubber.answer
    question = words(sample.question) if sample else ""
    reference = [words(target) for target in sample.targets] if sample else []
    messages = _messages(rollout, manifest, options) if rollout else []
    searches = [turn for turn in rollout.turns if isinstance(turn.action, SearchAction)] if rollout else []
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": identity.evaluation,
        "model_id": identity.id,
        "evaluation_name": task.name,
        "evaluation_result_id": _result_id(task),
        "sample_id": score.sample_id,
        "sample_hash": hashlib.sha256((question + "".join(reference)).encode()).hexdigest(),
        "interaction_type": "agentic",
        "input": {
            "raw": question,
            "reference": reference,
            "choices": [words(choice) for choice in sample.choices] if sample and sample.choices else None,
        },
        "output": None,
        "messages": messages,
        "answer_attribution": _attribution(row, messages, options),
        "evaluation": {
            "score": 0.0 if score.value is None else score.value,
            "is_correct": score.value is not None and score.value >= 1,
            "num_turns": (len(rollout.turns) or None) if rollout else None,
            "tool_calls_count": len(searches),
        },
        "metadata": _texts(
            {
                "repeat": score.repeat,
                "content_hash": score.content_hash,
                "category": score.category,
                "judged": score.value is not None,
                "note": options.scrubber.text(score.note),
                "images": ", ".join(image.sha256 for image in sample.images) if sample else "",
            }
        ),
    }
    if rollout is not None:
        usage = policy_usage(rollout)
        record["token_usage"] = {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        record["performance"] = {"latency_ms": rollout.timing.elapsed_s * _MS}
    if score.value is None:
        record["error"] = options.scrubber.text(score.note) or "not judged"
    return record


def _messages(rollout: Rollout, manifest: RunManifest, options: Options) -> list[dict[str, Any]]:
    words = options.scrubber.answer
    # The user may have no right to publish the prompt.
    found: list[dict[str, Any]] = [
        {"role": "system", "content": f"[system prompt, SHA-256 {manifest.prompt.hash[:SHOWN_HASH]}]"},
        {"role": "user", "content": words(rollout.user_prompt)},
    ]
    for number, turn in enumerate(rollout.turns):
        written: dict[str, Any] = {"role": "assistant", "content": words(turn.text)}
        action = turn.action
        if isinstance(action, SearchAction):
            name = f"{action.expert}@@{action.skill}"
            written["tool_calls"] = [
                {"id": f"call_{number}", "name": words(name), "arguments": {"request": words(action.request)}}
            ]
        found.append(written)
        if turn.observation is not None:
            if isinstance(action, SearchAction):
                answered = {"role": "tool", "tool_call_id": [f"call_{number}"]}
            else:
                answered = {"role": "user"}
            found.append(answered | {"content": words(turn.observation)})
    return [{"turn_idx": index, **message} for index, message in enumerate(found)]


def _attribution(row: Row, messages: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    if row.score.value is None or row.answer is None:
        return []
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    return [
        {
            "turn_idx": last,
            "source": f"messages[{last}].content",
            "extracted_value": options.scrubber.answer(row.score.extracted or row.answer),
            "extraction_method": f"{row.score.protocol} protocol, {row.score.metric}",
            "is_terminal": True,
        }
    ]


def _result_id(task: TaskRecord) -> str:
    return f"{task.name}/{task.metric}"


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Convert values to strings, because the schema's free fields allow nothing else."""
    return {name: str(value) for name, value in values.items()}
