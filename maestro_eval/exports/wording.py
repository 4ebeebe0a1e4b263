"""The facts that accompany every published score: system, settings and sample size."""

from __future__ import annotations

from maestro_eval.analysis import TaskAccuracy
from maestro_eval.exports.privacy import Scrubber
from maestro_eval.exports.source import departures
from maestro_eval.records import RunManifest
from maestro_eval.registry import variant_text

SHOWN_HASH = 12
_CAPTION = "caption"


def captioner(manifest: RunManifest) -> str:
    """Return the captioning service, or "none": the released code silently does without one."""
    named = [
        f"{model} (service {name})" for name, model in manifest.registry.services.items() if _CAPTION in name.lower()
    ]
    return ", ".join(named) or "none"


def registry_text(manifest: RunManifest) -> str:
    """Return the registry's name, hash and variant."""
    variant = variant_text(manifest.registry.variant)
    return f"{manifest.registry.name} ({manifest.registry.hash[:SHOWN_HASH]}{f', {variant}' if variant else ''})"


def score_note(
    manifest: RunManifest, protocol: str, task: TaskAccuracy, missing: dict[str, int], scrubber: Scrubber
) -> str:
    """Return the line beside a score: the ensemble, registry, captioner, protocol, interval and departures."""
    experts = ", ".join(manifest.registry.experts.values()) or "none"
    accuracy = task.accuracy
    parts = [
        f"score of an ensemble, not of one model: policy {manifest.policy_model or manifest.policy} "
        f"with the experts of registry {registry_text(manifest)}: {experts}",
        f"captioner: {captioner(manifest)}; services: {', '.join(manifest.registry.services) or 'none'}",
        f"protocol {protocol}, metric {task.metric}, regime {manifest.regime.name}",
        f"n={accuracy.n}, 95 % interval [{accuracy.low:.4f}, {accuracy.high:.4f}] ({accuracy.method})",
        f"failed samples, without a verdict (the score takes them as wrong, the interval as either): {task.n_failed}",
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
