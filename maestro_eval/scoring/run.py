"""Judge a whole run: a pure pass over its journal, without a model and without a network.

Every planned rollout gets exactly one score, whether it was answered, exhausted, failed or never ran, and the
scores are sorted by key: the same journal gives the same bytes whatever order its records were written in.
The scores of a run are held in memory together (about 1 kB each), its rollouts are not.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct, field

from maestro_eval.files import write_atomic
from maestro_eval.journal import Journal
from maestro_eval.scoring.metrics import METRICS, check_protocol
from maestro_eval.scoring.score import score_rollout, unscored
from maestro_eval.text import missing_service
from maestro_eval.types import RolloutKey, RunManifest, Score, UserError

SCHEMA = 1


class RunScores(Struct, frozen=True):
    """All scores of a run under one protocol, sorted by (task, sample_id, repeat).

    ``calls`` counts the model calls of its rollouts, ``cached_calls`` those that the call cache answered, and
    ``missing_evidence`` by service how often what it was to report was missing.
    """

    manifest: RunManifest
    protocol: str
    scores: tuple[Score, ...]
    calls: int = 0
    cached_calls: int = 0
    missing_evidence: dict[str, int] = field(default_factory=dict)


def score_run(folder: Path, protocol: str = "official") -> RunScores:
    """Score what a run folder's journal holds.

    UserError for an unknown protocol, for a task whose metric does not exist, and from opening the journal.
    """
    checked = check_protocol(protocol)
    with Journal.open(folder, read_only=True) as journal:
        manifest = journal.manifest
        metrics = _metrics(folder, manifest)
        scores: dict[RolloutKey, Score] = {}
        calls = cached_calls = 0
        missing: Counter[str] = Counter()
        for rollout, sample in journal.rollouts():
            scores[rollout.key] = score_rollout(sample, rollout, _metric(folder, metrics, rollout.key), checked)
            made = [call.cached for turn in rollout.turns for call in turn.calls]
            calls, cached_calls = calls + len(made), cached_calls + sum(made)
            missing.update(name for turn in rollout.turns for note in turn.notes if (name := missing_service(note)))
        for key in journal.plan():
            if key not in scores:
                scores[key] = unscored(key, _metric(folder, metrics, key), checked, "never ran")
    return RunScores(
        manifest,
        checked,
        tuple(scores[key] for key in sorted(scores)),
        calls,
        cached_calls,
        dict(sorted(missing.items())),
    )


def write_scores(run_scores: RunScores, folder: Path) -> Path:
    """Write ``exports/scores.json`` below a run folder, whole or not at all, and return its path.

    Another protocol than the official one has a file of its own, ``scores.PROTOCOL.json``.

    It holds what decides a score and no times or machine names: equal scores are equal bytes.
    """
    manifest = run_scores.manifest
    document = {
        "schema": SCHEMA,
        "protocol": run_scores.protocol,
        "system": manifest.system,
        "registry_hash": manifest.registry.hash,
        "prompt_hash": manifest.prompt.hash,
        "tasks": {task.name: {"hash": task.hash, "metric": task.metric} for task in manifest.tasks},
        "scores": sorted(run_scores.scores, key=_order),
    }
    name = "scores.json" if run_scores.protocol == "official" else f"scores.{run_scores.protocol}.json"
    path = folder / "exports" / name
    write_atomic(path, msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1) + b"\n")
    return path


def _metrics(folder: Path, manifest: RunManifest) -> dict[str, str]:
    for task in manifest.tasks:
        if task.metric not in METRICS:
            raise UserError(
                f"{folder / 'manifest.json'}: task {task.name} has the metric {task.metric!r}, which is none of "
                f"{', '.join(METRICS)}; score it with the version that ran it"
            )
    return {task.name: task.metric for task in manifest.tasks}


def _metric(folder: Path, metrics: dict[str, str], key: RolloutKey) -> str:
    if key.task not in metrics:
        raise UserError(
            f"{folder / 'manifest.json'}: task {key.task} is in the journal but not in the field 'tasks'; "
            "restore the manifest that the run was started with"
        )
    return metrics[key.task]


def _order(score: Score) -> tuple[str, str, int]:
    return score.task, score.sample_id, score.repeat
