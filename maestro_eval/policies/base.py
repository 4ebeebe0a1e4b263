"""The policy interface: a function of the messages so far."""

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

    ``model`` identifies the policy in the manifest. ``generate`` raises RolloutFailure if it cannot decide; a
    deterministic policy depends on nothing but the messages and ``sampling.seed``.
    """

    @property
    def model(self) -> str: ...

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion: ...


@runtime_checkable
class ResidentPolicy(Policy, Protocol):
    """A policy with its model in this process: a worker calls ``open`` before the first turn, ``close`` at the end.

    The constructor is cheap. ``open`` may take minutes; it raises UserError for what the user must fix, and
    RolloutFailure if another machine may succeed. ``lost`` becomes true once the model has died: every further turn
    fails, and only a new process helps.
    """

    @property
    def lost(self) -> bool: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@runtime_checkable
class RolloutPolicy(Policy, Protocol):
    """A policy with a state for each rollout: the replica that has its prefix cached, a candidate, a session.

    ``rollout`` returns a context with the policy that generates the rollout's turns; it closes when the rollout ends.
    """

    def rollout(self, key: RolloutKey) -> AbstractAsyncContextManager[Policy]: ...


def turns_of(policy: Policy, key: RolloutKey) -> AbstractAsyncContextManager[Policy]:
    """Return the context of the policy for rollout ``key``: ``policy`` itself, unless it is a ``RolloutPolicy``."""
    return policy.rollout(key) if isinstance(policy, RolloutPolicy) else nullcontext(policy)


def texts(messages: Sequence[Message], origin: Origin) -> list[str]:
    """Return the texts of one origin, in order: the question, or the observations."""
    return [
        part.text
        for message in messages
        for part in message.parts
        if isinstance(part, TextPart) and part.origin == origin
    ]


def streamed(messages: Sequence[Message]) -> list[int]:
    """Return the token ids that the style appended after the opening of the conversation."""
    return [token for message in messages for token in message.tokens or ()]


def opening(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages that a chat template renders: those without token ids."""
    return [message for message in messages if message.tokens is None]


def prompt_read(prompt: Sequence[int], messages: Sequence[Message]) -> PromptRead:
    """Compare the prompt that an engine read with the token stream of ``messages``."""
    ids, stream = list(prompt), streamed(messages)
    return PromptRead(
        tokens=len(ids),
        hash=hashlib.sha256(msgspec.json.encode(ids)).hexdigest(),
        as_streamed=ids[-len(stream) :] == stream if stream else None,
    )
