"""What every run begins with, whoever asked for it: the checks, the endpoints, the policy's model, the worker's spec.

``job`` runs a request of ours by these steps, ``lmms`` one of lmms-eval's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from maestro_eval.models import ExpertClient, make_cache_folder
from maestro_eval.policies import (
    EndpointSpec,
    check_policy,
    check_policy_key,
    make_policy,
    own_code,
    own_tokenizer,
    read_policy,
)
from maestro_eval.records import Regime, Rendering, RolloutFailure, UserError
from maestro_eval.registry import (
    PIPELINES,
    Registry,
    apply_variant,
    check_key_variables,
    check_pipelines,
    load_registry,
    variant_text,
)
from maestro_eval.rollout import POLICY, check_regime
from maestro_eval.runtime.cache_folder import CacheSpec
from maestro_eval.runtime.config import RunConfig
from maestro_eval.runtime.worker import WorkerSpec
from maestro_eval.sandbox import available
from maestro_eval.serving import Wanted, bind, check_models, serving, wanted_of, wanted_policy
from maestro_eval.tasks import TaskSpec
from maestro_eval.text import load_tokenizer


def open_registry(request: RunConfig) -> Registry:
    """The request's registry in its variant, with all that can be checked before a server is asked.

    UserError for what is wrong.
    """
    registry = load_registry(request.registry)
    check_key_variables(registry, request.allow_key_env)
    check_pipelines(registry)
    registry = apply_variant(registry, request.variant)
    check_regime(request.regime)
    _check_policy(request, registry)
    _check_sandbox(request, registry)
    if request.cache:
        make_cache_folder(Path(request.cache))
    return registry


@dataclass(frozen=True, slots=True)
class Up:
    """A registry with every endpoint addressed, the contexts that servers tell (see ``Checked``), services down."""

    registry: Registry
    contexts: Mapping[str, int]
    down: tuple[str, ...] = ()


@contextlib.contextmanager
def endpoints_up(
    request: RunConfig,
    registry: Registry,
    folder: Path,
    addresses: Mapping[str, str] | None = None,
    *,
    warn: Callable[[str], None],
) -> Iterator[Up]:
    """Every endpoint of the registry up, and the policy's up too.

    ``addresses`` are those of what the registry would have us start, where it is up already. UserError for an expert, a
    required service or a policy that cannot be called; an optional service that cannot is said to ``warn``.
    """
    with contextlib.ExitStack() as stack:
        if addresses is None:
            addresses = stack.enter_context(serving([registry], folder / "logs"))
        bound = require_services(bind(registry, addresses), request.require_services)
        checked = check_models(wanted_by(bound, request.policy, request.policy_key_env))
        lacks = checked.optional_lacks()
        for lack in lacks:
            name = lack.wanted.name
            warn(
                f"service {name} is down, and answers will lack its evidence: {lack.fault.detail} "
                f"(--require-services {name} stops the run, --without-services {name} goes without it)"
            )
        yield Up(bound, checked.contexts, tuple(lack.wanted.name for lack in lacks))


def wanted_by(bound: Registry, policy: str, policy_key_env: str) -> list[Wanted]:
    """All models that a run with this registry and policy calls."""
    spec = read_policy(policy)
    return [*wanted_of(bound, spec), *wanted_policy(spec, policy_key_env)]


def require_services(registry: Registry, names: Collection[str]) -> Registry:
    """``registry`` with these services (``all``: every one) no longer optional. UserError for one that it lacks."""
    unknown = next((name for name in names if name not in registry.services and name != "all"), None)
    if unknown is not None:
        known = ", ".join(registry.services) or "none"
        raise UserError(f"--require-services {unknown}: no service of {registry.name} is called that; it has {known}")
    required = {
        name: replace(service, optional=service.optional and name not in names and "all" not in names)
        for name, service in registry.services.items()
    }
    return replace(registry, services=required)


def policy_model(request: RunConfig, bound: Registry) -> str:
    """What the policy calls itself, by its endpoint where that knows. UserError where it cannot be told."""

    async def ask() -> str:
        async with ExpertClient() as client:
            policy = await make_policy(request.policy, bound, client, api_key_env=request.policy_key_env)
            code = own_code(request.policy)
            return f"{policy.model} (code {code[:12]})" if code else policy.model

    try:
        return asyncio.run(ask())
    except RolloutFailure as failure:
        raise UserError(f"--policy {request.policy}: {failure.detail}") from failure


def settled_regime(request: RunConfig, model: str) -> Regime:
    """The request's regime with the tokenizer of ``model``, the policy's, where it counts in the policy's own tokens.

    UserError (one line) where that tokenizer is not known.
    """
    regime = request.regime
    if regime.tokenizer != POLICY:
        return regime
    source = own_tokenizer(request.policy, model)
    if source is None:
        raise UserError(
            f"regime {regime.name} counts in the policy's own tokens, and {model}'s tokenizer is not known: give it "
            "with --regime-set tokenizer=PATH (a tokenizer.json, qwen.tiktoken, or the checkpoint's folder)"
        )
    load_tokenizer(source)
    return replace(regime, tokenizer=source)


def worker_spec(
    request: RunConfig,
    bound: Registry,
    system_prompt: str,
    model: str,
    rendering: Rendering,
    folder: Path,
    tasks: tuple[TaskSpec, ...] = (),
    down: tuple[str, ...] = (),
) -> WorkerSpec:
    """What the request's workers are made of.

    ``model`` and ``rendering`` are the manifest's, ``folder`` the run's, ``down`` are services.
    """
    # An endpoint's policy with its model named, so that every worker asks for the same one.
    policy = read_policy(request.policy)
    unnamed = isinstance(policy, EndpointSpec) and not policy.model
    return WorkerSpec(
        registry=bound,
        checks=request.executor == "ray",
        down=down,
        policy=f"{request.policy.rstrip('#')}#{model}" if unnamed else request.policy,
        policy_key_env=request.policy_key_env,
        tasks=tasks,
        regime=settled_regime(request, model),
        rendering=rendering,
        sampling=request.sampling,
        system=system_prompt,
        seed=request.seed,
        # All local rollouts share one client, and so one policy endpoint.
        concurrency=request.concurrency * ((request.workers or 1) if request.executor == "local" else 1),
        cache=_cache(request, folder),
        sandbox=request.sandbox,
        replay=request.replay,
    )


def _cache(request: RunConfig, folder: Path) -> CacheSpec | None:
    if not request.keep_calls:
        return None
    # In full: workers of a cluster have working folders of their own.
    if request.cache:
        return CacheSpec(str(Path(request.cache).resolve()))
    return CacheSpec(str(folder.resolve() / "cache"), host=socket.gethostname())


def _check_policy(request: RunConfig, registry: Registry) -> None:
    """A policy that names an entry may name one that this variant has left out or renamed: then that is said too."""
    policy = read_policy(request.policy)
    if policy.resident and request.regime.style == "released" and request.regime.tokenizer != POLICY:
        raise UserError(
            f"--policy {request.policy}: is shown the very ids of its stream, which are its own tokenizer's: leave out "
            "--regime-set tokenizer"
        )
    # The workers of a cluster that was there before have an environment of their own.
    elsewhere = request.executor == "ray" and bool(request.ray_address)
    check_policy_key(request.policy_key_env, None if elsewhere else os.environ)
    try:
        check_policy(request.policy, registry, request.regime, request.sampling)
    except UserError as error:
        variant = variant_text(request.variant)
        if variant and policy.names_entries:
            raise UserError(f"{error} (this registry is {variant})") from error
        raise


def _check_sandbox(request: RunConfig, registry: Registry) -> None:
    """A skill that runs a model's code needs a place to run it: without one it would score otherwise, unseen."""
    found = {name: PIPELINES.find(skill.pipeline) for name, skill in registry.skills.items()}
    runs_code = next((name for name, pipeline in found.items() if pipeline.runs_code), None)
    lack = available(request.sandbox) if runs_code else None
    if lack:
        raise UserError(f"{registry.path}: skill {runs_code} runs code that a model writes: {lack}")
