"""From a ``--policy`` argument to a policy."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Mapping

from maestro_eval.models import Endpoint, ExpertClient
from maestro_eval.plugins import Door, did_you_mean, suggest
from maestro_eval.policies.base import Policy
from maestro_eval.policies.baselines import CallerPolicy, FixedStrategy, RandomStrategy, RoutingStrategy
from maestro_eval.policies.endpoints import DirectPolicy, EndpointPolicy
from maestro_eval.policies.explore import ExplorePolicy, arms_of
from maestro_eval.policies.model_spec import Checkpoint, described, read_checkpoint, require_package
from maestro_eval.policies.replicas import ReplicaPolicy
from maestro_eval.policies.router import RouterStrategy, Similarity
from maestro_eval.policies.spec import (
    KINDS,
    DirectSpec,
    EndpointSpec,
    ExploreSpec,
    FixedSpec,
    InProcessSpec,
    OwnSpec,
    PolicySpec,
    RandomSpec,
    RouterSpec,
    VllmSpec,
    read_policy,
)
from maestro_eval.policies.transformers_policy import SETTINGS as TRANSFORMERS_SETTINGS
from maestro_eval.policies.transformers_policy import TransformersPolicy
from maestro_eval.policies.vllm_engine import SETTINGS as VLLM_SETTINGS
from maestro_eval.policies.vllm_engine import VllmPolicy
from maestro_eval.records import Regime, Sampling, UserError
from maestro_eval.registry import Registry, resolve

_POLICY_TIMEOUT_S = 600.0
_ROUTERS: dict[str, Similarity] = {"router": "embeddings", "router:bm25": "bm25"}
POLICIES: Door[Callable[..., object]] = Door(
    "policy",
    "policies",
    {},
    lambda found: found if callable(found) else None,
    "a class or a function that makes a policy",
)


def check_policy(text: str, registry: Registry, regime: Regime | None = None, sampling: Sampling | None = None) -> None:
    """UserError (one line) for a policy argument that cannot work with this registry, regime or sampling."""
    spec = read_policy(text)
    match spec:
        case EndpointSpec():
            if set("|".join(spec.urls)) & set("@?"):
                # It is written into the manifest and shown in tables; here it is not repeated.
                raise UserError(
                    "--policy openai:…: an address without user, password or query; put the key into a variable, name "
                    "it with --policy-key-env"
                )
            if not all(url.startswith(("http://", "https://")) for url in spec.urls):
                raise UserError(f"--policy {text}: expected openai:URL, say openai:http://127.0.0.1:8000/v1")
        case InProcessSpec():
            policy_checkpoint(spec)
        case RouterSpec() if text not in _ROUTERS:
            raise UserError(f"--policy {text}: expected {' or '.join(_ROUTERS)}")
        case RandomSpec() | ExploreSpec() if text != spec.kind:
            raise UserError(f"--policy {text}: {spec.kind} takes nothing after it")
        case DirectSpec():
            _expert(spec, registry)
        case OwnSpec():
            _factory(spec)
    if sampling and sampling.regex is not None and not spec.constrains_turns:
        raise UserError(f"--policy {text}: --turn-regex needs an engine that constrains turns; take vllm: or openai:")
    if spec.answers_at_once and regime and not regime.answer_at_first_turn:
        # The released style has no field for it: such a baseline is a run in the chat style.
        other = "--regime default" if regime.style == "released" else "--regime-set answer_at_first_turn=true"
        who = "answers in its" if isinstance(spec, DirectSpec) else "has arms that answer in the"
        raise UserError(
            f"--policy {text}: {who} first turn, which the regime {regime.name!r} refuses; take {other}, or "
            "fixed:EXPERT@@SKILL"
        )
    if isinstance(spec, FixedSpec):
        _pair(spec, registry)


def check_policy_key(variable: str, environment: Mapping[str, str] | None) -> None:
    """UserError for ``--policy-key-env`` unless it names a variable that is set, where ``environment`` is known."""
    if not variable:
        return
    if not variable.isidentifier() or not variable.isascii():
        raise UserError("--policy-key-env: expected the name of the variable that holds the key, not the key")
    if environment is not None and not environment.get(variable, "").strip():
        raise UserError(f"--policy-key-env {variable}: ${variable} is not set; export {variable}=…")


async def make_policy(
    text: str,
    registry: Registry,
    client: ExpertClient,
    *,
    api_key_env: str = "",
    concurrency: int = 64,
    chat_template: str | None = None,
    token_ids: bool = False,
) -> Policy:
    """Build the policy; UserError for a bad argument, RolloutFailure for an endpoint that does not answer.

    ``openai:URL`` without ``#MODEL`` takes the endpoint's only model. A ``ResidentPolicy`` is not open yet; it renders
    with ``chat_template``, or with its checkpoint's own. ``token_ids``: an endpoint is asked for the ids of each turn.
    """
    check_policy(text, registry)
    spec = read_policy(text)
    match spec:
        case RouterSpec():
            return CallerPolicy(RouterStrategy(registry, _ROUTERS[text]))
        case ExploreSpec():
            return ExplorePolicy([await make_policy(arm.policy, registry, client) for arm in arms_of(spec, registry)])
        case RandomSpec():
            return CallerPolicy(RandomStrategy(registry))
        case FixedSpec():
            return CallerPolicy(FixedStrategy(*_pair(spec, registry)))
        case DirectSpec():
            return DirectPolicy(client, registry, registry.experts[_expert(spec, registry)])
        case InProcessSpec():
            checkpoint = policy_checkpoint(spec)
            # The hub may be asked for the revision.
            model = await asyncio.to_thread(described, checkpoint)
            make = VllmPolicy if isinstance(spec, VllmSpec) else TransformersPolicy
            return make(checkpoint, model, chat_template)
        case EndpointSpec():
            return await _replicas(spec, client, api_key_env, concurrency, token_ids)
        case _:
            return _made(spec, registry, client)


async def _replicas(
    spec: EndpointSpec, client: ExpertClient, api_key_env: str, concurrency: int, token_ids: bool
) -> Policy:
    replicas = [
        await _endpoint_policy(spec, address, client, api_key_env, concurrency, token_ids) for address in spec.addresses
    ]
    # Each process prefers another one among equals, so that they spread from the first turn on.
    return replicas[0] if len(replicas) == 1 else ReplicaPolicy(replicas, first=os.getpid())


async def _endpoint_policy(
    spec: EndpointSpec, address: str, client: ExpertClient, api_key_env: str, concurrency: int, token_ids: bool
) -> EndpointPolicy:
    endpoint = Endpoint(
        name="policy", url=address, api_key_env=api_key_env, concurrency=concurrency, timeout_s=_POLICY_TIMEOUT_S
    )
    model = spec.model
    if not model:
        served = await client.models(endpoint)
        if len(served) != 1:
            raise UserError(
                f"--policy {spec.text}: serves {', '.join(served) or 'no model'}; choose one: {spec.text}#MODEL"
            )
        model = served[0]
    return EndpointPolicy(client, endpoint, model, token_ids=token_ids)


def own_code(text: str) -> str:
    """The hash of the code of a policy that is not ours, else empty."""
    return POLICIES.code_hash(text) if isinstance(read_policy(text), OwnSpec) else ""


def _factory(spec: PolicySpec) -> Callable[..., object]:
    try:
        return POLICIES.find(spec.text)
    except UserError as error:
        close = did_you_mean(spec.kind, KINDS)
        if POLICIES.has(spec.text) and not close:
            raise UserError(f"--policy {spec.text}: {error}") from error
        known = suggest(spec.kind, [*KINDS, *POLICIES.names()])
        raise UserError(f"--policy {spec.text}: unknown kind {spec.kind!r}{known}") from error


def _made(spec: PolicySpec, registry: Registry, client: ExpertClient) -> Policy:
    """A user's policy, or his strategy of whom to ask in the policy that asks."""
    factory = _factory(spec)
    given = (registry, client)[: len(inspect.signature(factory).parameters)]
    made = factory(*given)
    if isinstance(made, RoutingStrategy):
        return CallerPolicy(made)
    if not isinstance(made, Policy):
        raise UserError(
            f"--policy {spec.text}: makes a {type(made).__name__}; expected an object with model and generate (Policy) "
            "or choose (RoutingStrategy)"
        )
    return made


def policy_checkpoint(spec: InProcessSpec) -> Checkpoint:
    """The checkpoint of a policy that holds its model in this process."""
    checkpoint = read_checkpoint(spec.text, VLLM_SETTINGS if isinstance(spec, VllmSpec) else TRANSFORMERS_SETTINGS)
    require_package(spec.text, spec.kind, spec.kind)
    return checkpoint


def _expert(spec: DirectSpec | FixedSpec, registry: Registry) -> str:
    found = resolve(registry, spec.expert, "", "lenient").expert
    if found is None:
        known = ", ".join(registry.experts)
        raise UserError(f"--policy {spec.text}: no expert {spec.expert!r} in {registry.name}; it has {known}")
    return found


def _pair(spec: FixedSpec, registry: Registry) -> tuple[str, str]:
    if "@@" not in spec.text:
        raise UserError(f"--policy {spec.text}: expected fixed:EXPERT@@SKILL")
    found = resolve(registry, spec.expert, spec.skill, "lenient").skill
    if found is None:
        known = ", ".join(registry.skills)
        raise UserError(f"--policy {spec.text}: no skill {spec.skill!r} in {registry.name}; it has {known}")
    return _expert(spec, registry), found
