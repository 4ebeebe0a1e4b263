"""From a ``--policy`` argument to a policy."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Mapping

from maestro_eval.models import Endpoint, ExpertClient
from maestro_eval.policies.base import Policy
from maestro_eval.policies.baselines import CallerPolicy, FixedChooser, RandomChooser
from maestro_eval.policies.endpoints import DirectPolicy, EndpointPolicy
from maestro_eval.policies.explore import EXPLORE, ExplorePolicy, arms_of
from maestro_eval.policies.model_spec import Checkpoint, described, read_checkpoint, require_package
from maestro_eval.policies.replicas import ReplicaPolicy
from maestro_eval.policies.router import RouterChooser, Similarity
from maestro_eval.policies.transformers_policy import SETTINGS as TRANSFORMERS_SETTINGS
from maestro_eval.policies.transformers_policy import TransformersPolicy
from maestro_eval.policies.vllm_engine import SETTINGS as VLLM_SETTINGS
from maestro_eval.policies.vllm_engine import VllmPolicy
from maestro_eval.records import Regime, Sampling, UserError
from maestro_eval.registry import Registry, base_address, resolve

POLICY_KINDS = {
    "openai": "openai:URL[|URL…][#MODEL] — behind an OpenAI-compatible endpoint, or several alike",
    "vllm": "vllm:MODEL_OR_PATH[?max_model_len=4096&…] — an orchestrator held in each worker by vLLM",
    "transformers": "transformers:MODEL_OR_PATH — the same by transformers: the reference, one turn at a time",
    "router": "router[:bm25] — by similarity of the question to the registry's descriptions, of embeddings or of words",
    "random": "random — any expert through any skill, uniformly",
    "fixed": "fixed:EXPERT@@SKILL — always the same call",
    "direct": "direct:EXPERT — that expert alone, no orchestration",
    EXPLORE: "explore — every fixed: and every direct: of the registry, from which the oracles are computed",
}
_POLICY_TIMEOUT_S = 600.0
_CONSTRAINABLE = ("openai", "vllm")
_ROUTERS: dict[str, Similarity] = {"router": "embeddings", "router:bm25": "bm25"}
_AT_ONCE = {"direct": "answers in its", EXPLORE: "has arms that answer in the"}
_IN_PROCESS = {"vllm": VLLM_SETTINGS, "transformers": TRANSFORMERS_SETTINGS}


def check_policy(spec: str, registry: Registry, regime: Regime | None = None, sampling: Sampling | None = None) -> None:
    """UserError (one line) for a policy argument that cannot work with this registry, regime or sampling."""
    kind, _, rest = spec.partition(":")
    if kind == "openai" and set(rest.partition("#")[0]) & set("@?"):
        # It is written into the manifest and shown in tables; here it is not repeated.
        raise UserError(
            "--policy openai:…: an address without user, password or query; put the key into a variable, name it with "
            "--policy-key-env"
        )
    if kind not in POLICY_KINDS:
        close = difflib.get_close_matches(kind, POLICY_KINDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(POLICY_KINDS)}"
        raise UserError(f"--policy {spec}: unknown kind {kind!r}; {hint}")
    if kind in ("random", EXPLORE) and spec != kind:
        raise UserError(f"--policy {spec}: {kind} takes nothing after it")
    if kind == "router" and spec not in _ROUTERS:
        raise UserError(f"--policy {spec}: expected {' or '.join(_ROUTERS)}")
    if kind == "openai" and not all(url.startswith(("http://", "https://")) for url in rest.split("|")):
        raise UserError(f"--policy {spec}: expected openai:URL, say openai:http://127.0.0.1:8000/v1")
    if kind in _IN_PROCESS:
        read_policy_checkpoint(spec)
    if sampling and sampling.regex is not None and kind not in _CONSTRAINABLE:
        raise UserError(f"--policy {spec}: --turn-regex needs an engine that constrains turns; take vllm: or openai:")
    if kind == "direct":
        _expert(spec, rest, registry)
    if kind in _AT_ONCE and regime and not regime.answer_at_first_turn:
        # The released style has no field for it: such a baseline is a run in the chat style.
        other = "--regime default" if regime.style == "released" else "--regime-set answer_at_first_turn=true"
        raise UserError(
            f"--policy {spec}: {_AT_ONCE[kind]} first turn, which the regime {regime.name!r} refuses; take {other}, or "
            "fixed:EXPERT@@SKILL"
        )
    if kind == "fixed":
        _pair(spec, rest, registry)


def check_policy_key(variable: str, environment: Mapping[str, str] | None) -> None:
    """UserError for ``--policy-key-env`` unless it names a variable that is set, where ``environment`` is known."""
    if not variable:
        return
    if not variable.isidentifier() or not variable.isascii():
        raise UserError("--policy-key-env: expected the name of the variable that holds the key, not the key")
    if environment is not None and not environment.get(variable, "").strip():
        raise UserError(f"--policy-key-env {variable}: ${variable} is not set; export {variable}=…")


async def make_policy(
    spec: str,
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
    check_policy(spec, registry)
    kind, _, rest = spec.partition(":")
    if kind == "router":
        return CallerPolicy(RouterChooser(registry, _ROUTERS[spec]))
    if kind == EXPLORE:
        return ExplorePolicy([await make_policy(arm.policy, registry, client) for arm in arms_of(spec, registry)])
    if kind == "random":
        return CallerPolicy(RandomChooser(registry))
    if kind == "fixed":
        return CallerPolicy(FixedChooser(*_pair(spec, rest, registry)))
    if kind == "direct":
        return DirectPolicy(client, registry, registry.experts[_expert(spec, rest, registry)])
    if kind in _IN_PROCESS:
        checkpoint = read_policy_checkpoint(spec)
        # The hub may be asked for the revision.
        model = await asyncio.to_thread(described, checkpoint)
        make = VllmPolicy if kind == "vllm" else TransformersPolicy
        return make(checkpoint, model, chat_template)
    replicas = [
        await _endpoint_policy(spec, address, rest.partition("#")[2], client, api_key_env, concurrency, token_ids)
        for address in policy_addresses(spec)
    ]
    # Each process prefers another one among equals, so that they spread from the first turn on.
    return replicas[0] if len(replicas) == 1 else ReplicaPolicy(replicas, first=os.getpid())


async def _endpoint_policy(
    spec: str, address: str, model: str, client: ExpertClient, api_key_env: str, concurrency: int, token_ids: bool
) -> EndpointPolicy:
    endpoint = Endpoint(
        name="policy", url=address, api_key_env=api_key_env, concurrency=concurrency, timeout_s=_POLICY_TIMEOUT_S
    )
    if not model:
        served = await client.models(endpoint)
        if len(served) != 1:
            raise UserError(f"--policy {spec}: serves {', '.join(served) or 'no model'}; choose one: {spec}#MODEL")
        model = served[0]
    return EndpointPolicy(client, endpoint, model, token_ids=token_ids)


def is_resident(spec: str) -> bool:
    """Whether the policy holds its model in the worker's own process, and so needs a GPU there."""
    return spec.partition(":")[0] in _IN_PROCESS


def policy_addresses(spec: str) -> tuple[str, ...]:
    """Where the policy is served, each replica; empty for one that needs no endpoint of its own."""
    kind, _, rest = spec.partition(":")
    if kind != "openai":
        return ()
    return tuple(base_address(url) for url in rest.partition("#")[0].split("|"))


def read_policy_checkpoint(spec: str) -> Checkpoint:
    """The checkpoint of a policy that holds its model in this process."""
    kind = spec.partition(":")[0]
    checkpoint = read_checkpoint(spec, _IN_PROCESS[kind])
    require_package(spec, kind, kind)
    return checkpoint


def _expert(spec: str, name: str, registry: Registry) -> str:
    found = resolve(registry, name, "", "lenient").expert
    if found is None:
        raise UserError(f"--policy {spec}: no expert {name!r} in {registry.name}; it has {', '.join(registry.experts)}")
    return found


def _pair(spec: str, rest: str, registry: Registry) -> tuple[str, str]:
    expert, at, skill = rest.partition("@@")
    if not at:
        raise UserError(f"--policy {spec}: expected fixed:EXPERT@@SKILL")
    found = resolve(registry, expert, skill, "lenient").skill
    if found is None:
        raise UserError(f"--policy {spec}: no skill {skill!r} in {registry.name}; it has {', '.join(registry.skills)}")
    return _expert(spec, expert, registry), found
