"""The endpoints of a run: start those that the registry has the run start, and ask each what the run must know.

Everybody is asked whether somebody is there, with this key and this model. A typo in a port would otherwise cost every
rollout its retries, and a wrong name or an unset key every rollout. Any HTTP reply but 401 and a redirect counts as
being there: not every server lists its models. One that does, and lists another name, is asked for one token under the
name in question, because gateways serve more than they list.
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
# One token of a model that is being warmed up; who has not answered by then is there all the same.
_TOKEN_S = 20.0


@contextlib.contextmanager
def started(registries: Sequence[Registry], logs: Path) -> Iterator[dict[str, str]]:
    """Start what any of ``registries`` asks for, once; yields the address of each by its name (``start: NAME``)."""
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
    """Hash what computes behind each endpoint that the run starts, by its name."""
    names = sorted({entry.start for entry in registry.endpoints.values() if entry.start})
    return {name: STARTERS.find(name).revision() for name in names}


@dataclass(frozen=True, slots=True)
class Up:
    """A registry with every endpoint addressed, and what was found out when all were asked.

    contexts: see ``Checked``. down: the optional services that are down. model: the policy's. regime: the request's,
    with the tokenizer that it counts in. rendering: what is known of how the policy's servers render a conversation.
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
) -> Iterator[Up]:
    """Bring up every endpoint of ``registry``, and ask all that a run of ``request`` calls.

    ``addresses`` are those of what the registry would have us start, where it is up already. UserError for an expert, a
    required service or a policy that cannot be called; an optional service that cannot is a warning.
    """
    with contextlib.ExitStack() as stack:
        if addresses is None:
            with watcher.step("starting the embedded experts"):
                addresses = stack.enter_context(started([registry], folder / "logs"))
        bound = _require_services(bind(registry, addresses), request.require_services)
        yield asyncio.run(_asked(request, bound, watcher))


async def _asked(request: RunConfig, bound: Registry, watcher: Watcher) -> Up:
    policy = read_policy(request.policy)
    async with ExpertClient() as client:
        checked = await check_models(wanted_of(bound, policy, request.policy_key_env), client)
        for lack in checked.lacks:
            if lack.wanted.required:
                raise UserError(lack.why)
        for lack in checked.lacks:
            name = lack.wanted.name
            watcher.warn(
                f"service {name} is down, and answers will lack its evidence: {lack.why} "
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
    return Up(bound, checked.contexts, tuple(lack.wanted.name for lack in checked.lacks), model, regime, rendering)


def _require_services(registry: Registry, names: Collection[str]) -> Registry:
    """``registry`` with these services (``all``: every one) no longer optional. UserError for one that it lacks."""
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


class Wanted(Struct, frozen=True):
    """A model that a run will call. A run does not begin without one that is ``required``.

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


class Lack(Struct, frozen=True):
    """A wanted model that cannot be called, and why: one line with the field and the fix."""

    wanted: Wanted
    why: str


def wanted_of(registry: Registry, policy: PolicySpec | None = None, policy_key_env: str = "") -> Iterator[Wanted]:
    """The experts of a bound registry, the services whose evidence its skills use under ``policy``, its replicas."""
    used = services_used(registry, policy)
    entries: tuple[Expert | Service, ...] = (*registry.experts.values(), *(registry.services[name] for name in used))
    for entry in entries:
        place = registry.endpoints[entry.endpoint]
        service = isinstance(entry, Service)
        yield Wanted(
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
        yield Wanted("policy", "policy", endpoint, at, "--policy-key-env", at, policy.text.partition("#")[2])


def services_used(registry: Registry, policy: PolicySpec | None = None) -> list[str]:
    """The services that may be asked: those of the skills; all of them where a skill's pipeline is the user's own.

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
    """Which models cannot be called from here, and the context of each whose server tells it, by ``url#model``."""

    lacks: tuple[Lack, ...]
    contexts: dict[str, int]


async def check_models(wanted: Iterable[Wanted], client: ExpertClient) -> Checked:
    """Ask for every one of ``wanted``; each address is asked once a key."""
    asked = list(wanted)
    ways = [(each.endpoint.url, each.endpoint.api_key_env) for each in asked]
    endpoints = {way: each.endpoint for way, each in zip(ways, asked, strict=True)}
    replies = await asyncio.gather(*(_listed(client, endpoint) for endpoint in endpoints.values()))
    replied = dict(zip(endpoints, replies, strict=True))
    listed = [replied[way] for way in ways]
    whys = await asyncio.gather(*(_lack(client, each, models) for each, models in zip(asked, listed, strict=True)))
    contexts = {}
    for each, models in zip(asked, listed, strict=True):
        if isinstance(models, EndpointError):
            continue
        # A server's only model is the one that is meant where none is named.
        named = [model for model in models if model.id == each.model or (not each.model and len(models) == 1)]
        if named and isinstance(named[0].max_model_len, int):
            contexts[f"{each.endpoint.url}#{each.model}"] = named[0].max_model_len
    return Checked(tuple(Lack(each, why) for each, why in zip(asked, whys, strict=True) if why), contexts)


async def _listed(client: ExpertClient, endpoint: Endpoint) -> tuple[ServedModel, ...] | EndpointError:
    """The models that a server lists, none where it lists none; or why it cannot be called."""
    try:
        return await client.models(msgspec.structs.replace(endpoint, timeout_s=_TIMEOUT_S))
    except EndpointError as error:
        # Where the list is behind a redirect, so is all else.
        told = error.status is not None and (error.status == 401 or 300 <= error.status < 400)
        return () if error.reached and not told else error


async def _lack(client: ExpertClient, wanted: Wanted, listed: tuple[ServedModel, ...] | EndpointError) -> str:
    """Why a model cannot be called, beginning with the field to change; empty where it can."""
    url, variable = wanted.endpoint.url, wanted.endpoint.api_key_env
    if isinstance(listed, EndpointError):
        if listed.kind == "timeout":
            # The time is ours here, and not the endpoint's `timeout_s`.
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


async def _is_refused(client: ExpertClient, wanted: Wanted) -> bool:
    """Tell whether the server knows no model of that name: asked for one token, it says so."""
    body = {"model": wanted.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    patient = msgspec.structs.replace(wanted.endpoint, timeout_s=_TOKEN_S)
    try:
        await client.send(patient, HttpRequest("/chat/completions", (msgspec.json.encode(body),)), bytes)
    except EndpointError as error:
        return error.unknown_model
    return False
