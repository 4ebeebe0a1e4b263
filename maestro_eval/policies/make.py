"""Make a policy from a ``--policy`` argument: a bundled one, or an author's own.

If an author's code raises, or returns something other than a turn, the rollout fails with the cause ``policy`` and one
line that names the policy, the error and its place in the code. This separates the author's faults from ours.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from maestro_eval.models import ExpertClient
from maestro_eval.plugins import Door, did_you_mean, raised_in, suggest
from maestro_eval.policies.base import Policy, ResidentPolicy, turns_of
from maestro_eval.policies.baselines import (
    CallerPolicy,
    ExplorePolicy,
    FixedStrategy,
    RandomStrategy,
    RoutingStrategy,
    candidates_of,
)
from maestro_eval.policies.endpoints import DirectPolicy, EndpointPolicy, ReplicaPolicy
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
    described,
    policy_checkpoint,
    read_policy,
)
from maestro_eval.policies.transformers_policy import TransformersPolicy
from maestro_eval.policies.vllm_engine import VllmPolicy
from maestro_eval.records import (
    Completion,
    Endpoint,
    MaestroError,
    Message,
    Regime,
    RolloutFailure,
    RolloutKey,
    Sampling,
    UserError,
)
from maestro_eval.registry import Registry, resolve
from maestro_eval.text import one_line

_POLICY_TIMEOUT_S = 600.0
_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ROUTERS: dict[str, Similarity] = {"router": "embeddings", "router:bm25": "bm25"}
POLICIES: Door[Callable[..., object]] = Door(
    "policy",
    "policies",
    {},
    lambda found: found if callable(found) else None,
    "a class or a function that makes a policy",
)


def check_policy(text: str, registry: Registry, regime: Regime | None = None, sampling: Sampling | None = None) -> None:
    """Raise UserError (one line) if the policy cannot work with this registry, regime or sampling."""
    spec = read_policy(text)
    match spec:
        case EndpointSpec():
            if set("|".join(spec.urls)) & set("@?"):
                # The address would appear in the manifest and in tables; this message does not repeat it.
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
        # The released style has no regime field for it: such a baseline runs in the chat style.
        other = "--regime default" if regime.style == "released" else "--regime-set answer_at_first_turn=true"
        who = "answers in its" if isinstance(spec, DirectSpec) else "has candidates that answer in the"
        raise UserError(
            f"--policy {text}: {who} first turn, which the regime {regime.name!r} refuses; take {other}, or "
            "fixed:EXPERT@@SKILL"
        )
    if isinstance(spec, FixedSpec):
        _pair(spec, registry)


def check_policy_key(variable: str, environment: Mapping[str, str] | None) -> None:
    """Raise UserError unless ``variable`` is empty or names one that is set in ``environment`` (None: unknown)."""
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
    """Make the policy. UserError for a bad argument, RolloutFailure for an endpoint that does not answer.

    ``openai:URL`` without ``#MODEL`` takes the endpoint's only model. A ``ResidentPolicy`` is not open yet; it renders
    with ``chat_template``, or with its checkpoint's own. ``token_ids`` requests each turn's ids from an endpoint.
    """
    check_policy(text, registry)
    spec = read_policy(text)
    match spec:
        case RouterSpec():
            return CallerPolicy(RouterStrategy(registry, _ROUTERS[text]), registry)
        case ExploreSpec():
            return ExplorePolicy(
                [await make_policy(each.policy, registry, client) for each in candidates_of(spec, registry)]
            )
        case RandomSpec():
            return CallerPolicy(RandomStrategy(registry), registry)
        case FixedSpec():
            return CallerPolicy(FixedStrategy(*_pair(spec, registry)), registry)
        case DirectSpec():
            return DirectPolicy(client, registry, registry.experts[_expert(spec, registry)])
        case InProcessSpec():
            checkpoint = policy_checkpoint(spec)
            # May ask the hub for the revision.
            model = await asyncio.to_thread(described, checkpoint)
            make = VllmPolicy if isinstance(spec, VllmSpec) else TransformersPolicy
            return make(checkpoint, model, chat_template)
        case EndpointSpec():
            return await _replicas(spec, client, api_key_env, concurrency, token_ids)
        case _:
            return own_policy(text, _factory(spec), registry, client)


async def _replicas(
    spec: EndpointSpec, client: ExpertClient, api_key_env: str, concurrency: int, token_ids: bool
) -> Policy:
    replicas = []
    for url in spec.addresses:
        endpoint = Endpoint("policy", url, "", api_key_env, concurrency, timeout_s=_POLICY_TIMEOUT_S)
        model = spec.model or await client.only_model(endpoint, "--policy", spec.text)
        replicas.append(EndpointPolicy(client, endpoint, model, token_ids=token_ids))
    # Each process prefers another replica among equals, so that the load is spread from the first turn on.
    return replicas[0] if len(replicas) == 1 else ReplicaPolicy(replicas, first=os.getpid())


def own_code(text: str) -> str:
    """Return the hash of the code of an author's policy, empty for a bundled one."""
    return POLICIES.code_hash(text) if isinstance(read_policy(text), OwnSpec) else ""


def _factory(spec: PolicySpec) -> Callable[..., object]:
    try:
        return POLICIES.find(spec.text)
    except UserError as error:
        close = did_you_mean(spec.kind, KINDS)
        if POLICIES.has(spec.text) and not close:
            raise UserError(f"--policy {spec.text}: {error}") from error
        known = [*KINDS, *POLICIES.names()]
        end = did_you_mean(spec.kind, known) or f"; known: {', '.join(known)}, or module:Class"
        raise UserError(f"--policy {spec.text}: unknown kind {spec.kind!r}{end}") from error


def _expert(spec: DirectSpec | FixedSpec, registry: Registry) -> str:
    found = resolve(registry, spec.expert, "", "lenient").expert
    if found is None:
        known = suggest(spec.expert, registry.experts, "it has")
        raise UserError(f"--policy {spec.text}: no expert {spec.expert!r} in {registry.name}{known}")
    return found


def _pair(spec: FixedSpec, registry: Registry) -> tuple[str, str]:
    if "@@" not in spec.text:
        raise UserError(f"--policy {spec.text}: expected fixed:EXPERT@@SKILL")
    found = resolve(registry, spec.expert, spec.skill, "lenient").skill
    if found is None:
        known = suggest(spec.skill, registry.skills, "it has")
        raise UserError(f"--policy {spec.text}: no skill {spec.skill!r} in {registry.name}{known}")
    return _expert(spec, registry), found


def own_policy(name: str, factory: Callable[..., object], registry: Registry, client: ExpertClient) -> Policy:
    """Make the author's policy ``name``; a ``RoutingStrategy`` becomes a ``CallerPolicy``. UserError if that fails.

    ``factory`` is called with the registry, and with the client if it has a parameter ``client`` or needs a second.
    """
    given = _arguments(name, factory, registry, client)
    try:
        made = factory(*given.args, **given.kwargs)
    except MaestroError:
        raise
    except Exception as error:  # the author's code runs here, and may fail in any way
        who = "its __init__" if isinstance(factory, type) else "it"
        raise UserError(f"--policy {name}: {who} raised {one_line(raised_in(factory.__module__, error))}") from error
    if isinstance(made, RoutingStrategy):
        made = CallerPolicy(made, registry)
    if not isinstance(made, Policy):
        raise UserError(
            f"--policy {name}: makes a {type(made).__name__}; expected an object with model and generate (Policy) "
            "or choose (RoutingStrategy)"
        )
    kind = _OwnResident if isinstance(made, ResidentPolicy) else _OwnPolicy
    return kind(name, factory.__module__, made)


def _arguments(
    name: str, factory: Callable[..., object], registry: Registry, client: ExpertClient
) -> inspect.BoundArguments:
    signature = inspect.signature(factory)
    parameters = signature.parameters
    required = [each for each in parameters.values() if each.default is each.empty and each.kind not in _ANY_NUMBER]
    try:
        if not parameters:
            return signature.bind()
        if "client" in parameters:
            return signature.bind(registry, client=client)
        return signature.bind(registry, client) if len(required) == 2 else signature.bind(registry)
    except TypeError:
        raise UserError(
            f"--policy {name}: takes ({', '.join(parameters)}); expected (registry) or (registry, client)"
        ) from None


class _OwnPolicy:
    """An author's policy ``name``, made by code in ``module``; wraps its errors."""

    def __init__(self, name: str, module: str, policy: Policy) -> None:
        self._name = name
        self._module = module
        self._policy = policy

    @property
    def model(self) -> str:
        return self._policy.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        with self._author_errors():
            # The protocol promises the types; an author's code may break it.
            made: Any = self._policy.generate(messages, sampling)
            if not inspect.isawaitable(made):
                raise RolloutFailure("policy", f"{self._name}: generate is not async; write async def generate")
            completion: Any = await made
        if not isinstance(completion, Completion):
            kind = type(completion).__name__
            raise RolloutFailure("policy", f"{self._name}: generate returned {kind}; expected Completion")
        return completion

    @asynccontextmanager
    async def rollout(self, key: RolloutKey) -> AsyncIterator[Policy]:
        async with AsyncExitStack() as stack:
            with self._author_errors():
                turns = await stack.enter_async_context(turns_of(self._policy, key))
            yield _OwnPolicy(self._name, self._module, turns)

    @contextmanager
    def _author_errors(self) -> Iterator[None]:
        try:
            yield
        except RolloutFailure:
            raise
        except Exception as error:  # the author's code runs here, and may fail in any way
            detail = f"{self._name}: {one_line(raised_in(self._module, error))}"
            raise RolloutFailure("policy", detail, kind=type(error).__name__) from error


class _OwnResident(_OwnPolicy):
    _policy: ResidentPolicy

    @property
    def lost(self) -> bool:
        return self._policy.lost

    async def open(self) -> None:
        await self._policy.open()

    async def close(self) -> None:
        await self._policy.close()
