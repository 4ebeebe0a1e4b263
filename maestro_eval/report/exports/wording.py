"""What must be said of a score wherever it is published: whose it is, with what it was made, of how many."""

from __future__ import annotations

from maestro_eval.analysis import TaskAccuracy
from maestro_eval.records import RunManifest
from maestro_eval.registry import variant_text
from maestro_eval.report.exports.privacy import Scrubber
from maestro_eval.report.exports.source import departures

SHOWN_HASH = 12
_CAPTION = "caption"


def captioner(manifest: RunManifest) -> str:
    """The service that describes images in words, or that there was none: the released code drops it silently."""
    named = [
        f"{model} (service {name})" for name, model in manifest.registry.services.items() if _CAPTION in name.lower()
    ]
    return ", ".join(named) or "none"


def registry_text(manifest: RunManifest) -> str:
    """The registry by name and hash, and what was changed in it on purpose."""
    variant = variant_text(manifest.registry.variant)
    return f"{manifest.registry.name} ({manifest.registry.hash[:SHOWN_HASH]}{f', {variant}' if variant else ''})"


def score_note(
    manifest: RunManifest, protocol: str, task: TaskAccuracy, missing: dict[str, int], scrubber: Scrubber
) -> str:
    """One line beside a score: an ensemble's, which registry, which captioner, judged how, of how many samples."""
    experts = ", ".join(manifest.registry.experts.values()) or "none"
    accuracy = task.accuracy
    parts = [
        f"score of an ensemble, not of one model: policy {manifest.policy_model or manifest.policy} "
        f"with the experts of registry {registry_text(manifest)}: {experts}",
        f"captioner: {captioner(manifest)}; services: {', '.join(manifest.registry.services) or 'none'}",
        f"protocol {protocol}, metric {task.metric}, regime {manifest.regime.name}",
        f"n={accuracy.n}, 95 % interval [{accuracy.low:.4f}, {accuracy.high:.4f}] ({accuracy.method})",
        f"failed samples, counted as wrong: {task.n_failed}",
    ]
    if manifest.repeats > 1:
        parts.append(f"mean of {manifest.repeats} answers to each sample")
    if missing:
        lacking = ", ".join(f"{name} {count} times" for name, count in missing.items())
        parts.append(f"evidence missing: {lacking}")
    parts += departures(manifest)
    version = manifest.versions.get("maestro-eval", "unknown")
    parts.append(f"maestro-eval {version}")
    return " ".join(scrubber.text("; ".join(parts)).split())
