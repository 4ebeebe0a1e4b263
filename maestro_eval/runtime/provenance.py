"""The manifest of a run, and the refusal to go on with one that no longer describes what would be run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from maestro_eval.files import bundled, fingerprint
from maestro_eval.registry import Registry, entry_hashes
from maestro_eval.runtime.request import RunRequest
from maestro_eval.tasks import Task, list_tasks
from maestro_eval.types import PromptRecord, RegistryRecord, RunManifest, TaskRecord, UserError

# What computes, decodes or renders on the way to a score.
_DISTRIBUTIONS = (
    "maestro-eval", "aiohttp", "jinja2", "msgspec", "numpy", "onnxruntime", "opencv-python-headless", "pillow",
    "rapidocr", "ray", "vllm", "wordllama",
)  # fmt: skip


def describe(
    request: RunRequest,
    registry: Registry,
    system_prompt: str,
    tasks: Sequence[Task],
    planned: Mapping[str, int],
    policy_model: str,
    created_at: float,
) -> RunManifest:
    """Everything that can change a score of this run. ``planned`` counts the samples of each task."""
    return RunManifest(
        system=request.name,
        policy=request.policy,
        policy_model=policy_model,
        registry=RegistryRecord(
            name=registry.name,
            path=_lasting_path(registry.path),
            hash=registry.hash,
            experts={name: expert.model for name, expert in registry.experts.items()},
            services={name: service.model for name, service in registry.services.items()},
            skills=tuple(registry.skills),
            entries=entry_hashes(registry),
        ),
        prompt=PromptRecord(system_prompt, fingerprint(system_prompt)),
        tasks=tuple(
            TaskRecord(
                name=task.name,
                hash=task.hash,
                metric=task.metric,
                aggregation=task.aggregation,
                tags=task.tags,
                data=task.data,
                data_hash=task.data_hash,
                planned=planned[task.name],
                paper=task.paper,
                revision=task.revision,
            )
            for task in tasks
        ),
        regime=request.regime,
        sampling=request.sampling,
        seed=request.seed,
        repeats=request.repeats,
        selection=request.selection,
        created_at=created_at,
        versions=_versions(),
        groups=_groups(request, tasks),
        hardware={"machine": platform.machine(), "system": platform.platform(), "cpus": os.cpu_count() or 0},
        settings={
            "executor": request.executor,
            "workers": request.workers,
            "concurrency": request.concurrency,
            "ray_address": request.ray_address,
            "policy_key_env": request.policy_key_env,
            "include": [str(Path(folder).resolve()) for folder in request.include],
            "cache": str(Path(request.cache).resolve()) if request.cache else "",
            "sandbox": request.sandbox,
        },
    )


def _groups(request: RunRequest, tasks: Sequence[Task]) -> dict[str, tuple[str, ...]]:
    """Every known task of each tag that the run's tasks have."""
    known = list_tasks([Path(folder) for folder in request.include])
    tags = sorted({tag for task in tasks for tag in task.tags})
    return {tag: tuple(entry.name for entry in known if tag in entry.tags) for tag in tags}


def refuse_changes(before: RunManifest, now: RunManifest, folder: Path) -> None:
    """UserError naming the first field in which resuming would mix two different runs."""
    fields: list[tuple[str, object, object]] = [
        (f"registry{_differing(before.registry, now.registry)}", before.registry.hash, now.registry.hash),
        ("prompt", before.prompt.hash, now.prompt.hash),
        ("policy model", before.policy_model, now.policy_model),
    ]
    current = {task.name: task for task in now.tasks}
    for task in before.tasks:
        fields.append((f"definition of task {task.name}", task.hash, current[task.name].hash))
        fields.append((f"data of task {task.name}", task.data_hash, current[task.name].data_hash))
    for what, old, new in fields:
        if old != new:
            raise UserError(
                f"{folder}: the {what} is not what this run began with (was {_short(old)}, is {_short(new)}); "
                f"put it back, or start a new run with another --out"
            )


def _differing(before: RegistryRecord, now: RegistryRecord) -> str:
    """Which entries differ, where the manifest knows of entries and more than their order does."""
    names = [n for n in {**before.entries, **now.entries} if before.entries.get(n) != now.entries.get(n)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" ({', '.join(names[:3])}{more})" if names and before.entries else ""


def _short(value: object) -> str:
    return str(value)[:60] if not _is_hash(value) else str(value)[:12]


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def _lasting_path(path: str) -> str:
    """A bundled registry is found again by its name wherever the package lies; a user's file by its full path."""
    resolved = Path(path).resolve()
    return resolved.stem if resolved.parent == bundled("registries").resolve() else str(resolved)


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
