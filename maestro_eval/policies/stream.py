"""A conversation as one stream of ids: what an in-process engine is given, and what an engine says that it read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from maestro_eval.records import Message, PromptRead


def streamed(messages: Sequence[Message]) -> list[int]:
    """The ids that the style appended behind the opening of the conversation."""
    return [token for message in messages for token in message.tokens or ()]


def opening(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages that a chat template is to render: those without ids of their own."""
    return [message for message in messages if message.tokens is None]


def prompt_read(prompt: Sequence[int], messages: Sequence[Message]) -> PromptRead:
    """What an engine read, held against the stream of ``messages``."""
    ids, stream = list(prompt), streamed(messages)
    return PromptRead(
        tokens=len(ids),
        hash=hashlib.sha256(msgspec.json.encode(ids)).hexdigest(),
        as_streamed=ids[-len(stream) :] == stream if stream else None,
    )
