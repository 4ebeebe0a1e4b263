"""A ``--policy`` argument, read once: which kind of policy it names, and what is true of that kind."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from msgspec import Struct

from maestro_eval.registry import base_address


class PolicySpec(Struct, frozen=True):
    """``text`` is the argument as it was given; reading one checks nothing (`check_policy` does).

    ``generates``: a model of its own writes the turns. ``is_orchestrator``: it chooses whom to call by the question.
    ``resident``: it holds its model in the worker's process. ``answers_at_once``: it answers in its first turn.
    ``constrains_turns``: its engine can hold turns to a pattern. ``names_entries``: it names entries of the registry.
    """

    text: str
    generates: ClassVar[bool] = False
    is_orchestrator: ClassVar[bool] = True
    resident: ClassVar[bool] = False
    answers_at_once: ClassVar[bool] = False
    constrains_turns: ClassVar[bool] = False
    names_entries: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        return self.text.partition(":")[0]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it is served, each replica; empty for one that needs no endpoint of its own."""
        return ()


class EndpointSpec(PolicySpec, frozen=True):
    """``model`` is empty where the endpoint is to say which it serves."""

    generates = constrains_turns = True
    urls: tuple[str, ...]
    model: str

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(base_address(url) for url in self.urls)


class InProcessSpec(PolicySpec, frozen=True):
    """``checkpoint`` is ``MODEL_OR_PATH[?KEY=VALUE&…]``."""

    generates = resident = True
    checkpoint: str


class VllmSpec(InProcessSpec, frozen=True):
    constrains_turns = True


class TransformersSpec(InProcessSpec, frozen=True):
    """One turn at a time: the reference."""


class RouterSpec(PolicySpec, frozen=True):
    """By similarity of the question to the registry's descriptions, of embeddings or of words (BM25)."""


class RandomSpec(PolicySpec, frozen=True):
    is_orchestrator = False


class FixedSpec(PolicySpec, frozen=True):
    """``skill`` is empty where none is named."""

    is_orchestrator = False
    names_entries = True
    expert: str
    skill: str


class DirectSpec(PolicySpec, frozen=True):
    is_orchestrator = False
    answers_at_once = names_entries = True
    expert: str


class ExploreSpec(PolicySpec, frozen=True):
    is_orchestrator = False
    answers_at_once = True


class OwnSpec(PolicySpec, frozen=True):
    """A policy that is not ours: ``package.module:object``, or an entry point ``maestro_eval.policies``."""


KINDS: dict[str, type[PolicySpec]] = {
    "openai": EndpointSpec,
    "vllm": VllmSpec,
    "transformers": TransformersSpec,
    "router": RouterSpec,
    "random": RandomSpec,
    "fixed": FixedSpec,
    "direct": DirectSpec,
    "explore": ExploreSpec,
}


@lru_cache(maxsize=1024)
def read_policy(text: str) -> PolicySpec:
    """What a ``--policy`` argument or a manifest's ``policy`` names; anything else than our kinds is an `OwnSpec`."""
    kind, _, rest = text.partition(":")
    match kind:
        case "openai":
            addresses, _, model = rest.partition("#")
            return EndpointSpec(text, tuple(addresses.split("|")), model)
        case "vllm":
            return VllmSpec(text, rest)
        case "transformers":
            return TransformersSpec(text, rest)
        case "fixed":
            expert, _, skill = rest.partition("@@")
            return FixedSpec(text, expert, skill)
        case "direct":
            return DirectSpec(text, rest)
        case _:
            return KINDS.get(kind, OwnSpec)(text)
