"""Starts the endpoints that the registry has the run start, and checks every endpoint before the first rollout.

The check covers address, key and model name: a typo in a port would cost every rollout its retries, and a wrong name or
an unset key every rollout. Any HTTP reply except 401 and redirects counts as reachable, since not every server lists
its models. A server that lists only other names is asked for one token under the configured name, because gateways
serve more models than they list.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.models import EndpointError, ExpertClient, HttpRequest, ServedModel
from maestro_eval.policies import DirectSpec, FixedSpec, PolicySpec, make_policy, own_code, own_tokenizer, read_policy
from maestro_eval.records import Endpoint, Regime, Rendering, RolloutFailure, UserError
from maestro_eval.registry import PIPELINES, STARTERS, Expert, Registry, Service
from maestro_eval.rollout import POLICY
from maestro_eval.runtime.config import RunConfig
from maestro_eval.runtime.observer import Watcher
from maestro_eval.runtime.rendering import check_rendering
from maestro_eval.text import load_tokenizer

_TIMEOUT_S = 5.0
# For one token of a model that is warming up; an endpoint that takes longer counts as reachable.
_TOKEN_S = 20.0


@contextlib.contextmanager
def started(registries: Sequence[Registry], logs: Path) -> Iterator[dict[str, str]]:
    """Start each program that ``registries`` name, once; yield the address of each by its name (``start: NAME``)."""
    with contextlib.ExitStack() as stack:
        wanted = sorted({entry.start for each in registries for entry in each.endpoints.values() if entry.start})
        yield {name: stack.enter_context(STARTERS.find(name).start(logs / f"{name}.log")) for name in wanted}


def bind(registry: Registry, urls: Mapping[str, str]) -> Registry:
    """Return the registry with an address for every endpoint that was started. Its hash stays the same."""
    endpoints = {
        name: replace(entry, url=urls[entry.start]) if entry.start else entry
        for name, entry in registry.endpoints.items()
    }
    return replace(registry, endpoints=endpoints)


def program_revisions(registry: Registry) -> dict[str, str]:
    """Hash the program behind each endpoint that the run starts, by its name."""
    names = sorted({entry.start for entry in registry.endpoints.values() if entry.start})
    return {name: STARTERS.find(name).revision() for name in names}


@dataclass(frozen=True, slots=True)
class ReadyEndpoints:
    """A registry with every endpoint addressed, and the findings of the check.

    contexts: see ``Checked``. down: the optional services that are down. model: the policy's. regime: the request's,
    with the tokenizer that it counts in. rendering: how the policy's servers render a conversation, as far as known.
    """

    registry: Registry
    contexts: Mapping[str, int]
    down: tuple[str, ...]
    model: str
    regime: Regime
    rendering: Rendering


@contextlib.contextmanager
def endpoints_up(
    request: RunConfig, registry: Registry, folder: Path, addresses: Mapping[str, str] | None, watcher: Watcher
) -> Iterator[ReadyEndpoints]:
    """Start the endpoints of ``registry``, and check all that a run of ``request`` calls.

    ``addresses`` are those of programs that are already running (None: start them). UserError for an expert, a required
    service or a policy that cannot be called; an optional service that cannot is a warning.
    """
    with contextlib.ExitStack() as stack:
        if addresses is None:
            with watcher.step("starting the embedded experts"):
                addresses = stack.enter_context(started([registry], folder / "logs"))
        bound = _require_services(bind(registry, addresses), request.require_services)
        yield asyncio.run(_check_all(request, bound, watcher))


async def _check_all(request: RunConfig, bound: Registry, watcher: Watcher) -> ReadyEndpoints:
    policy = read_policy(request.policy)
    async with ExpertClient() as client:
        checked = await check_models(needed_models(bound, policy, request.policy_key_env), client)
        for one in checked.unavailable:
            if one.model.required:
                raise UserError(one.why)
        for one in checked.unavailable:
            name = one.model.name
            watcher.warn(
                f"service {name} is down, and answers will lack its evidence: {one.why} "
                f"(--require-services {name} stops the run, --without-services {name} goes without it)"
            )
        try:
            made = await make_policy(request.policy, bound, client, api_key_env=request.policy_key_env)
        except RolloutFailure as failure:
            raise UserError(f"--policy {request.policy}: {failure.detail}") from failure
        code = own_code(request.policy)
        model = f"{made.model} (code {code[:12]})" if code else made.model
        regime = _settled_regime(request, model)
        rendering = await check_rendering(client, request, regime, made.model)
    return ReadyEndpoints(
        bound, checked.contexts, tuple(one.model.name for one in checked.unavailable), model, regime, rendering
    )


def _require_services(registry: Registry, names: Collection[str]) -> Registry:
    """Return ``registry`` with these services (``all``: every one) required. UserError for an unknown service."""
    unknown = next((name for name in names if name not in registry.services and name != "all"), None)
    if unknown is not None:
        known = ", ".join(registry.services) or "none"
        raise UserError(f"--require-services {unknown}: no service of {registry.name} is called that; it has {known}")
    required = {
        name: service.model_copy(update={"optional": service.optional and not {name, "all"}.intersection(names)})
        for name, service in registry.services.items()
    }
    return replace(registry, services=required)


def _settled_regime(request: RunConfig, model: str) -> Regime:
    """Return the request's regime; a regime that counts in the policy's own tokens gets the tokenizer of ``model``.

    UserError (one line) if that tokenizer is not known.
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


class NeededModel(Struct, frozen=True):
    """A model that a run will call. A run does not begin without a ``required`` one.

    ``url_at``, ``key_at`` and ``model_at``: where the user wrote its address, its key's variable and its name.
    """

    kind: Literal["policy", "expert", "service"]
    name: str
    endpoint: Endpoint
    url_at: str
    key_at: str
    model_at: str
    model: str = ""
    required: bool = True


class Unavailable(Struct, frozen=True):
    """A wanted model that cannot be called, and why: one line with the field and the fix."""

    model: NeededModel
    why: str


def needed_models(
    registry: Registry, policy: PolicySpec | None = None, policy_key_env: str = ""
) -> Iterator[NeededModel]:
    """Yield the experts of a bound registry, the services that its skills use under ``policy``, and policy replicas."""
    used = services_used(registry, policy)
    entries: tuple[Expert | Service, ...] = (*registry.experts.values(), *(registry.services[name] for name in used))
    for entry in entries:
        place = registry.endpoints[entry.endpoint]
        service = isinstance(entry, Service)
        yield NeededModel(
            kind="service" if service else "expert",
            name=entry.name,
            endpoint=place,
            url_at=f"{registry.path}: endpoints.{place.name}.url",
            key_at=f"{registry.path}: endpoints.{place.name}.api_key_env",
            model_at=f"{registry.path}: {'services' if service else 'experts'}.{entry.name}.model",
            model=entry.model,
            required=not (isinstance(entry, Service) and entry.optional),
        )
    if policy is None:
        return
    for url in policy.addresses:
        at, endpoint = f"--policy {policy.text}", Endpoint("policy", url, api_key_env=policy_key_env)
        yield NeededModel("policy", "policy", endpoint, at, "--policy-key-env", at, policy.text.partition("#")[2])


def services_used(registry: Registry, policy: PolicySpec | None = None) -> list[str]:
    """Return the services that may be called: those of the skills, or all if a skill has a custom pipeline.

    ``policy``: ``direct:`` uses no skill and ``fixed:`` one.
    """
    if isinstance(policy, DirectSpec):
        return []
    chosen = policy.skill if isinstance(policy, FixedSpec) else ""
    skills = [registry.skills[chosen]] if chosen in registry.skills else registry.skills.values()
    if any(skill.pipeline not in PIPELINES.bundled and not skill.evidence for skill in skills):
        return list(registry.services)
    uses = {
        use.service
        for skill in skills
        for evidence in (skill.evidence, *(solver.evidence or () for solver in skill.solvers.values()))
        for use in evidence
    }
    return [name for name in registry.services if name in uses]


class Checked(Struct, frozen=True):
    """The models that cannot be called from here, and the context lengths that servers report, by ``url#model``."""

    unavailable: tuple[Unavailable, ...]
    contexts: dict[str, int]


async def check_models(wanted: Iterable[NeededModel], client: ExpertClient) -> Checked:
    """Check each of ``wanted``; each address is queried once per key."""
    asked = list(wanted)
    ways = [(each.endpoint.url, each.endpoint.api_key_env) for each in asked]
    endpoints = {way: each.endpoint for way, each in zip(ways, asked, strict=True)}
    replies = await asyncio.gather(*(_served_models(client, endpoint) for endpoint in endpoints.values()))
    replied = dict(zip(endpoints, replies, strict=True))
    listed = [replied[way] for way in ways]
    whys = await asyncio.gather(*(_problem(client, each, models) for each, models in zip(asked, listed, strict=True)))
    contexts = {}
    for each, models in zip(asked, listed, strict=True):
        if isinstance(models, EndpointError):
            continue
        # If no model is named, a server's only model is meant.
        named = [model for model in models if model.id == each.model or (not each.model and len(models) == 1)]
        if named and isinstance(named[0].max_model_len, int):
            contexts[f"{each.endpoint.url}#{each.model}"] = named[0].max_model_len
    return Checked(tuple(Unavailable(each, why) for each, why in zip(asked, whys, strict=True) if why), contexts)


async def _served_models(client: ExpertClient, endpoint: Endpoint) -> tuple[ServedModel, ...] | EndpointError:
    """Return the models that a server lists (empty if it lists none), or the reason why it cannot be called."""
    try:
        return await client.models(msgspec.structs.replace(endpoint, timeout_s=_TIMEOUT_S))
    except EndpointError as error:
        # If the list is behind a redirect, so is everything else.
        told = error.status is not None and (error.status == 401 or 300 <= error.status < 400)
        return () if error.reached and not told else error


async def _problem(client: ExpertClient, wanted: NeededModel, listed: tuple[ServedModel, ...] | EndpointError) -> str:
    """Return why a model cannot be called, beginning with the field to change; empty if it can."""
    url, variable = wanted.endpoint.url, wanted.endpoint.api_key_env
    if isinstance(listed, EndpointError):
        if listed.kind == "timeout":
            # This timeout is ours, and not the endpoint's `timeout_s`.
            return f"{wanted.url_at}: {url} does not answer; start the server there or correct the address"
        if listed.status != 401:
            return f"{wanted.key_at if listed.kind == 'key' else wanted.url_at}: {listed.fault.detail}"
        if variable:
            return f"{wanted.key_at}: {url} refuses the key in ${variable}; correct it"
        return f"{wanted.key_at}: {url} needs a key; name the variable that holds it"
    names = [model.id for model in listed]
    if not wanted.model or not names or wanted.model in names or not await _is_refused(client, wanted):
        return ""
    served = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{wanted.model_at}: {url} serves no {wanted.model!r}, it serves {served}; correct the name"


async def _is_refused(client: ExpertClient, wanted: NeededModel) -> bool:
    """Return whether the server, asked for one token, replies that it knows no model of that name."""
    body = {"model": wanted.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    patient = msgspec.structs.replace(wanted.endpoint, timeout_s=_TOKEN_S)
    try:
        await client.send(patient, HttpRequest("/chat/completions", (msgspec.json.encode(body),)), bytes)
    except EndpointError as error:
        return error.unknown_model
    return False
