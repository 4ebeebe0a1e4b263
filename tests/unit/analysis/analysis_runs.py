"""Runs as the analysis sees them, without a journal: a manifest and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from small_worlds import small_manifest

from maestro_eval.records import (
    RegistryRecord,
    RunManifest,
    Score,
    TaskRecord,
)
from maestro_eval.scoring import RunScores

MINI_TAGS = ("maestro_mini", "maestro_mini_main")


def task_record(name: str, tags: Sequence[str] = MINI_TAGS, **changes: object) -> TaskRecord:
    record = TaskRecord(
        name=name,
        hash=f"hash of {name}",
        metric="exact",
        aggregation="mean",
        tags=tuple(tags),
        data="data.parquet",
        data_hash="d" * 64,
        planned=0,
    )
    return replace(record, **changes)


def scores_of(
    task: TaskRecord,
    values: Sequence[float | None],
    *,
    categories: Sequence[str] = (),
    hashes: Mapping[str, str] | None = None,
    repeat: int = 0,
) -> list[Score]:
    return [
        Score(
            task=task.name,
            sample_id=f"s{index:03}",
            repeat=repeat,
            metric=task.metric,
            protocol="official",
            value=value,
            category=categories[index] if categories else "",
            content_hash=(hashes or {}).get(f"s{index:03}", f"content {index}"),
        )
        for index, value in enumerate(values)
    ]


def manifest_of(system: str, tasks: Sequence[TaskRecord]) -> RunManifest:
    return small_manifest(
        *tasks,
        system=system,
        policy="router",
        policy_model="wordllama",
        registry=RegistryRecord("embedded", "registries/embedded.yaml", "r" * 64, {"ocr": "rapidocr"}),
        created_at=1_700_000_000.0,
        versions={"maestro-eval": "0.1.0"},
        hardware={"cpus": 2},
    )


def run_scores(
    system: str, tasks: Sequence[tuple[TaskRecord, Sequence[Score]]], protocol: str = "official"
) -> RunScores:
    scores = sorted((score for _, each in tasks for score in each), key=lambda s: (s.task, s.sample_id, s.repeat))
    return RunScores(manifest_of(system, [task for task, _ in tasks]), protocol, tuple(scores))
