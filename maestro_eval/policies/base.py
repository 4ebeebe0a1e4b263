"""The policy: a function of messages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, runtime_checkable

import msgspec

from maestro_eval.records import Completion, Message, Origin, PromptRead, RolloutKey, Sampling, TextPart


@runtime_checkable
class Policy(Protocol):
    """Decides one turn from the messages so far.

    ``model`` names what decides, for the manifest. ``generate`` raises RolloutFailure when it cannot;
    a deterministic policy depends on nothing but the messages and ``sampling.seed``.
    """

    @property
    def model(self) -> str: ...

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion: ...


@runtime_checkable
class ResidentPolicy(Policy, Protocol):
    """A policy that holds its model in this process: a worker opens it before the first turn, closes it at the end.

    Making one costs nothing. ``open`` may take minutes; it raises UserError for what the user must mend, and
    RolloutFailure where another machine may do better. ``lost`` becomes true when the model is gone for good:
    every further turn fails, and only a new process helps.
    """

    @property
    def lost(self) -> bool: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class RolloutPolicy(Policy, Protocol):
    """A policy with a state for each rollout: the replica that knows its prefix, a candidate, a session.

    ``rollout`` gives what generates the rollout's turns; the context is left when the rollout has ended, however.
    """

    def rollout(self, key: RolloutKey) -> AbstractAsyncContextManager[Policy]: ...


def turns_of(policy: Policy, key: RolloutKey) -> AbstractAsyncContextManager[Policy]:
    """Return what decides the turns of the rollout ``key``: the policy itself, unless it is a ``RolloutPolicy``."""
    return policy.rollout(key) if isinstance(policy, RolloutPolicy) else nullcontext(policy)


def texts(messages: Sequence[Message], origin: Origin) -> list[str]:
    """The texts of one origin, in order: the question, or the observations."""
    return [
        part.text
        for message in messages
        for part in message.parts
        if isinstance(part, TextPart) and part.origin == origin
    ]


def streamed(messages: Sequence[Message]) -> list[int]:
    """The ids that the style appended behind the opening of the conversation."""
    return [token for message in messages for token in message.tokens or ()]


def opening(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages that a chat template is to render: those without ids of their own."""
    return [message for message in messages if message.tokens is None]


def prompt_read(prompt: Sequence[int], messages: Sequence[Message]) -> PromptRead:
    """Compare what an engine read with the stream of ``messages``."""
    ids, stream = list(prompt), streamed(messages)
    return PromptRead(
        tokens=len(ids),
        hash=hashlib.sha256(msgspec.json.encode(ids)).hexdigest(),
        as_streamed=ids[-len(stream) :] == stream if stream else None,
    )
