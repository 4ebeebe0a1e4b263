"""Writes inspect_ai's logs: an ``.eval`` file for each task, for ``inspect view`` and ``read_eval_log``.

The file is a zip of JSON documents, written sample by sample. A repeat is an epoch, a call of an expert is a tool call,
and its reply a tool message. A failed rollout has an ``error`` and no score. One that never ran is missing, and the
status is then ``cancelled``. The metrics are those of the table: failures count as wrong; ``n_failed`` counts them.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from maestro_eval.exports.benchmarks import image_reader
from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.names import safe_name
from maestro_eval.exports.options import Options
from maestro_eval.exports.privacy import public_manifest
from maestro_eval.exports.source import Row, Source, iso_time, shortcomings
from maestro_eval.exports.wording import captioner
from maestro_eval.files import atomic_file
from maestro_eval.records import Exhausted, Failed, Image, Rollout, RunManifest, Sample, SearchAction, TaskRecord, Usage

_VERSION = 2
_STAMP = "%Y-%m-%dT%H-%M-%S-00-00"
_SUMMARY_CHARS = 500
# inspect_ai's names of the limits that end a sample.
_LIMITS = {"turns": "turn", "tokens": "token", "context": "context"}

_Images = Callable[[Sample], dict[str, Image]]


def export(source: Source, out: Path, options: Options) -> list[Path]:
    """Write a log for each task. Raise UserError if images are requested and a task is missing."""
    images = image_reader(source) if options.with_images else _no_images
    return [_write(source, task, out, images, options) for task in source.tasks]


EXPORTER = Exporter(export, folder="inspect", options=("with_images",))


def _write(source: Source, task: TaskRecord, out: Path, images: _Images, options: Options) -> Path:
    # A log shows the whole conversation, so this is the only format that includes the text of the prompt.
    manifest = structs.replace(public_manifest(source.manifest, options.scrubber), prompt=source.manifest.prompt)
    # The viewer splits a file's name at "_" into stamp, task and id.
    name = safe_name(task.name).replace("_", "-")
    identity = _short_hash(f"{manifest.created_at}{manifest.system}{source.protocol}{task.name}")
    path = out / f"{source.started.strftime(_STAMP)}_{name}_{identity}.eval"
    log = _Log(source, task, manifest)
    head = {"version": _VERSION, "eval": log.spec(identity), "plan": log.plan()}
    summaries = []
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        _put(archive, "_journal/start.json", head)
        for row in source.rows(task.name):
            log.count(row)
            if row.rollout is None or row.sample is None:
                continue
            sample = _sample(row, row.rollout, row.sample, manifest, images, options)
            _put(archive, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
            # Encoded now, because all summaries stay in memory and JSON is a fraction of the size of objects.
            summaries.append(msgspec.Raw(msgspec.json.encode(_summary(sample))))
        _put(archive, "_journal/summaries/1.json", summaries)
        _put(archive, "summaries.json", summaries)
        _put(archive, "header.json", head | log.ending())
    return path


def _put(archive: zipfile.ZipFile, name: str, value: Any) -> None:
    archive.writestr(name, msgspec.json.encode(value))


class _Log:
    """The parts of a log that cover all samples of a task; ``count`` adds one row to the totals."""

    def __init__(self, source: Source, task: TaskRecord, manifest: RunManifest) -> None:
        self._source = source
        self._task = task
        self._manifest = manifest
        self._models: dict[str, Counter[str]] = {}
        self._planned = self._ran = self._failed = self._judged = 0
        self._begin, self._end = manifest.created_at, manifest.created_at

    def count(self, row: Row) -> None:
        self._planned += 1
        if row.rollout is None:
            return
        self._ran += 1
        self._failed += isinstance(row.rollout.outcome, Failed)
        self._judged += row.score.value is not None
        timing = row.rollout.timing
        self._end = max(self._end, timing.started_at + timing.elapsed_s)
        for model, usage in _model_usage(row.rollout, self._manifest).items():
            self._models.setdefault(model, Counter()).update(usage)

    def spec(self, identity: str) -> dict[str, Any]:
        manifest, task = self._manifest, self._task
        run = _short_hash(f"{manifest.created_at}{manifest.system}")
        return {
            "eval_id": identity,
            "run_id": run,
            "created": iso_time(manifest.created_at),
            "task": task.name,
            "task_id": identity,
            "task_version": 0,
            "task_attribs": {"hash": task.hash, "metric": task.metric, "aggregation": task.aggregation},
            "task_args": {},
            "dataset": {"name": task.name, "samples": task.planned, "shuffled": False},
            "model": _policy_model(manifest),
            "model_generate_config": self._sampling(),
            "model_args": {},
            "config": {"epochs": manifest.repeats, "fail_on_error": False, "limit": _limit(manifest)},
            "packages": dict(manifest.versions),
            "scorers": [{"name": task.metric, "options": {}, "metrics": [], "metadata": {}}],
            "metadata": {
                "system": manifest.system,
                "policy": manifest.policy,
                "registry": msgspec.to_builtins(manifest.registry),
                "captioner": captioner(manifest),
                "regime": msgspec.to_builtins(manifest.regime),
                "protocol": self._source.protocol,
                "prompt_hash": manifest.prompt.hash,
                "data_hash": task.data_hash,
                "selection": msgspec.to_builtins(manifest.selection),
                "accepted": msgspec.to_builtins(manifest.accepted),
            },
        }

    def plan(self) -> dict[str, Any]:
        step = {"solver": self._manifest.policy or "policy", "params": {"registry": self._manifest.registry.name}}
        return {"name": "plan", "steps": [step], "config": self._sampling()}

    def ending(self) -> dict[str, Any]:
        return {
            "status": "cancelled" if self._ran < self._planned else "success",
            "results": self._results(),
            "stats": {
                "started_at": iso_time(self._begin),
                "completed_at": iso_time(self._end),
                "model_usage": {name: dict(usage) for name, usage in self._models.items()},
            },
        }

    def _sampling(self) -> dict[str, Any]:
        sampling = self._manifest.sampling
        given = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
        return {name: value for name, value in given.items() if value is not None}

    def _results(self) -> dict[str, Any]:
        found = self._source.result.tasks[self._task.name]
        accuracy = found.accuracy
        numbers = {"accuracy": accuracy.value, "ci95_low": accuracy.low, "ci95_high": accuracy.high}
        if (error := self._source.errors.get(self._task.name)) is not None:
            numbers["stderr"] = error
        numbers |= {name: measure.value for name, measure in found.others.items()}
        unscored = self._planned - self._judged
        score = {
            "name": self._task.metric,
            "scorer": self._task.metric,
            "scored_samples": self._judged,
            "unscored_samples": unscored,
            "params": {},
            "metrics": {name: {"name": name, "value": value, "params": {}} for name, value in numbers.items()},
            "metadata": {
                "protocol": self._source.protocol,
                "interval": accuracy.method,
                "n_samples": accuracy.n,
                "n_failed": found.n_failed,
                "failures": "no verdict: wrong in accuracy, wrong and right at the ends of the interval",
                "shortcomings": list(shortcomings(self._source.manifest, self._judged, unscored)),
            },
        }
        return {
            "total_samples": self._planned,
            "completed_samples": self._ran - self._failed,
            "scores": [score],
        }


def _sample(
    row: Row, rollout: Rollout, sample: Sample, manifest: RunManifest, images: _Images, options: Options
) -> dict[str, Any]:
    shown = images(sample)
    messages = list(_messages(rollout, sample, manifest, shown, options))
    score, timing = row.score, rollout.timing
    record: dict[str, Any] = {
        "id": safe_name(score.sample_id),
        # inspect_ai counts epochs from 1.
        "epoch": score.repeat + 1,
        "input": [messages[1]],
        "choices": list(sample.choices) or None,
        "target": list(sample.targets),
        "messages": messages,
        "output": _output(rollout, messages, manifest),
        "metadata": {
            "sample_id": score.sample_id,
            "content_hash": score.content_hash,
            "category": score.category,
            "stratum": score.stratum,
            "cluster": score.cluster,
            "images": [msgspec.to_builtins(image) for image in sample.images],
            "notes": [options.scrubber.text(str(note)) for t in rollout.turns for note in (*t.notes, *t.missing)],
        },
        "store": {},
        "events": [],
        "model_usage": {name: dict(usage) for name, usage in _model_usage(rollout, manifest).items()},
        "started_at": iso_time(timing.started_at),
        "completed_at": iso_time(timing.started_at + timing.elapsed_s),
        "total_time": timing.elapsed_s,
        "uuid": _short_hash(f"{score.task}\n{score.sample_id}\n{score.repeat}\n{rollout.seed}"),
        "attachments": {},
        "turn_count": len(rollout.turns),
    }
    if score.value is None:
        message = options.scrubber.text(score.note) or "not judged"
        record["error"] = {"message": message, "traceback": message, "traceback_ansi": message}
    else:
        record["scores"] = {score.metric: _score(row, options)}
    if isinstance(rollout.outcome, Exhausted) and (limit := rollout.outcome.limit) in _LIMITS:
        most = manifest.regime.max_turns if limit == "turns" else manifest.sampling.max_tokens or 0
        record["limit"] = {"type": _LIMITS[limit], "limit": most}
    return record


def _score(row: Row, options: Options) -> dict[str, Any]:
    score = row.score
    return {
        "value": score.value,
        "answer": options.scrubber.answer(score.extracted or row.answer or ""),
        "explanation": options.scrubber.text(score.note) or None,
        "metadata": {"protocol": score.protocol, **score.others},
    }


def _messages(
    rollout: Rollout, sample: Sample, manifest: RunManifest, images: dict[str, Image], options: Options
) -> Iterator[dict[str, Any]]:
    words = options.scrubber.answer
    prefix = _short_hash(f"{rollout.key.task}\n{rollout.key.sample_id}\n{rollout.key.repeat}")
    yield {"id": f"{prefix}-system", "role": "system", "content": manifest.prompt.text}
    content = [_picture(number, image.sha256, images, sample) for number, image in enumerate(sample.images)]
    content.append({"type": "text", "text": words(rollout.user_prompt)})
    yield {"id": f"{prefix}-user", "role": "user", "source": "input", "content": content}
    for number, turn in enumerate(rollout.turns):
        call = f"call_{number}"
        written: dict[str, Any] = {
            "id": f"{prefix}-{number}",
            "role": "assistant",
            "source": "generate",
            "model": _policy_model(manifest),
            "content": words(turn.text),
        }
        action = turn.action
        searching = isinstance(action, SearchAction)
        if isinstance(action, SearchAction):
            name = words(f"{action.expert}@@{action.skill}")
            written["tool_calls"] = [
                {"id": call, "type": "function", "function": name, "arguments": {"request": words(action.request)}}
            ]
        yield written
        failed = next((each.error for each in turn.calls if each.error), "")
        if turn.observation is not None and searching:
            reply: dict[str, Any] = {"role": "tool", "tool_call_id": call, "function": name}
            yield {"id": f"{prefix}-{number}-observation", **reply, "content": words(turn.observation)}
        elif turn.observation is not None:
            yield {"id": f"{prefix}-{number}-observation", "role": "user", "content": words(turn.observation)}
        elif failed and searching:
            error = {"type": "unknown", "message": options.scrubber.text(failed)}
            reply = {"role": "tool", "tool_call_id": call, "content": "", "error": error}
            yield {"id": f"{prefix}-{number}-error", **reply}


def _picture(number: int, sha256: str, images: dict[str, Image], sample: Sample) -> dict[str, Any]:
    """Return the image if it is available, or a text that describes it."""
    if image := images.get(sha256):
        encoded = base64.b64encode(image.data).decode()
        return {"type": "image", "image": f"data:{image.ref.media_type};base64,{encoded}"}
    ref = sample.images[number]
    return {
        "type": "text",
        "text": f"[image {number + 1}: {ref.media_type}, {ref.width}×{ref.height}, SHA-256 {sha256}]\n",
    }


def _output(rollout: Rollout, messages: list[dict[str, Any]], manifest: RunManifest) -> dict[str, Any]:
    model = _policy_model(manifest)
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    if last is None:
        return {"model": model, "choices": [], "completion": ""}
    stop = "max_tokens" if rollout.turns[-1].finish_reason == "length" else "stop"
    usage = _model_usage(rollout, manifest).get(model)
    output: dict[str, Any] = {
        "model": model,
        "choices": [{"message": last, "stop_reason": stop}],
        "completion": last["content"],
        "time": rollout.timing.elapsed_s,
    }
    return output | ({"usage": dict(usage)} if usage else {})


def _model_usage(rollout: Rollout, manifest: RunManifest) -> dict[str, Counter[str]]:
    """Count tokens by model: the policy's own turns, and every model called in them."""
    found: dict[str, Counter[str]] = {}
    for turn in rollout.turns:
        _add(found, _policy_model(manifest), turn.usage)
        for call in turn.calls:
            if call.kind != "policy":
                _add(found, f"{call.kind}/{call.model}", call.usage)
    return {model: usage for model, usage in found.items() if usage.total()}


def _add(found: dict[str, Counter[str]], model: str, usage: Usage) -> None:
    total = usage.prompt_tokens + usage.completion_tokens
    counted = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens, "total_tokens": total}
    found.setdefault(model, Counter()).update(counted)


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    """Return a sample's summary for the list of samples: texts are cut, and a placeholder replaces each image."""
    parts = sample["input"][0]["content"]
    text = "\n".join(part["text"] if part["type"] == "text" else "(image)" for part in parts)
    kept = ("id", "epoch", "target", "model_usage", "started_at", "completed_at", "total_time", "uuid", "turn_count")
    summary: dict[str, Any] = {name: sample[name] for name in kept}
    summary |= {"input": text[:_SUMMARY_CHARS], "metadata": {}, "completed": True}
    summary["message_count"] = len(sample["messages"])
    if "scores" in sample:
        summary["scores"] = sample["scores"]
    if "error" in sample:
        summary["error"] = sample["error"]["message"][:_SUMMARY_CHARS]
    if "limit" in sample:
        summary["limit"] = sample["limit"]["type"]
    return summary


def _policy_model(manifest: RunManifest) -> str:
    return manifest.policy_model or manifest.policy or "policy"


def _limit(manifest: RunManifest) -> int | None:
    limit = manifest.selection.limit
    return limit if isinstance(limit, int) else None


def _no_images(sample: Sample) -> dict[str, Image]:
    return {}


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:22]
