"""Writes a submission's texts from its manifest and results alone, so that a verifier can compare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from maestro_eval.analysis import samples_text
from maestro_eval.exports.submitted import CARD, MANIFEST, RESULTS, SAMPLES, SUMS, Number, Results
from maestro_eval.exports.wording import SHOWN_HASH, captioner, registry_text
from maestro_eval.records import RunManifest, TaskRecord
from maestro_eval.report import escape


def model_card(manifest: RunManifest, results: Results) -> str:
    """Return the model card: accuracies with their intervals, then the settings of the run."""
    rows = [
        [escape(name), *_accuracy(task.accuracy), str(task.accuracy.n_failed), escape(task.metric)]
        for name, task in results.tasks.items()
    ]
    rows += [[f"mean of {escape(name)}", *_accuracy(mean), "", ""] for name, mean in results.means.items()]
    header = ["benchmark", "accuracy", "95 % interval", "n", "failed", "metric"]
    settings = [[name, escape(value)] for name, value in _settings(manifest, results).items()]
    blocks = [
        f"# Model card: {escape(results.system)}",
        "A policy that calls the experts of a registry: the score is that of the whole ensemble, not of one model.",
        *_warning(results),
        "## Accuracy",
        _grid(header, rows, right=(1, 2, 3, 4)),
        "Accuracy in percent. Samples that failed have no verdict: the percentage takes them as wrong, the interval "
        "reaches from all of them wrong to all of them right. How each interval was computed is in `results.json`.",
        "## Settings",
        _grid(["", ""], settings),
    ]
    return "\n\n".join(blocks) + "\n"


def readme(manifest: RunManifest, results: Results) -> str:
    """Return the README: the files of the folder, and how to verify them."""
    gold = (
        "the accepted answers are given, so each verdict can be made again"
        if results.with_targets
        else "the accepted answers are not given: that is the data set's to do; each sample's content hash binds them"
    )
    files = [
        [f"`{RESULTS}`", "accuracies, means, categories and further measures with intervals; failures; calls"],
        [f"`{SAMPLES}/TASK.jsonl`", f"a line for each planned rollout: answer, verdict, calls; {gold}"],
        [f"`{MANIFEST}`", "policy, registry, tasks, regime, sampling, seed, versions, hardware, with their hashes"],
        [f"`{CARD}`", "the same in a table for readers"],
        [f"`{SUMS}`", "SHA-256 of every other file, for `sha256sum --check`"],
    ]
    version = manifest.versions.get("maestro-eval", "unknown")
    blocks = [
        f"# Submission: {escape(results.system)}",
        f"Made by maestro-eval {escape(version)} under the `{escape(results.protocol)}` protocol.",
        *_warning(results),
        _grid(["file", "holds"], files),
        "Check it with `maestro-eval verify DIR`: that computes every number again from the samples.",
        "Left out on purpose: the system prompt (its hash is in the manifest), paths, endpoints and settings of the "
        "machine that ran it.",
    ]
    return "\n\n".join(blocks) + "\n"


def _warning(results: Results) -> list[str]:
    if not results.incomplete:
        return []
    return ["**Not complete:** " + "; ".join(map(escape, results.incomplete)) + "."]


def _settings(manifest: RunManifest, results: Results) -> dict[str, str]:
    registry = manifest.registry
    outcomes = results.outcomes
    changed = ", ".join(f"{change.field} ({change.was[:12]} → {change.now[:12]})" for change in manifest.accepted)
    return {
        "policy": manifest.policy,
        "policy model": manifest.policy_model,
        "registry": registry_text(manifest),
        "registry hash": registry.hash,
        "experts": _mapping(registry.experts),
        "services": _mapping(registry.services),
        "captioner": captioner(manifest),
        "skills": ", ".join(registry.skills) or "none",
        "prompt hash": manifest.prompt.hash,
        "regime": f"{manifest.regime.name} ({_record(manifest.regime)})",
        "sampling": _record(manifest.sampling),
        "protocol": results.protocol,
        "data": "; ".join(f"{task.name}: {_data_text(task)}" for task in manifest.tasks),
        "selection": samples_text(manifest),
        "repeats": str(manifest.repeats),
        "seed": str(manifest.seed),
        "rollouts": ", ".join(f"{count} {name}" for name, count in outcomes.items()),
        "expert calls": f"{results.calls}, of them {results.cached_calls} from the cache",
        "missing evidence": _mapping(results.missing_evidence),
        "changes accepted": changed or "none",
        "versions": _mapping(manifest.versions),
        "hardware": _mapping(manifest.hardware),
    }


def _accuracy(number: Number) -> list[str]:
    if number.low is None or number.high is None:
        return [f"{100 * number.value:.1f}", "", str(number.n)]
    return [f"{100 * number.value:.1f}", f"{100 * number.low:.1f}–{100 * number.high:.1f}", str(number.n)]


def _record(record: msgspec.Struct) -> str:
    fields = msgspec.to_builtins(record)
    return _mapping({name: value for name, value in fields.items() if name != "name" and value is not None})


def _mapping(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "none"


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    ruler = ["---:" if index in right else "---" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ruler, *rows])


def _data_text(task: TaskRecord) -> str:
    if task.is_local:
        return f"local data in place of {task.hub}, of an unknown revision"
    return f"{task.hub} at {task.revision[:SHOWN_HASH]}" if task.hub else "data of its own"
