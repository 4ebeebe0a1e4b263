"""Our messages as chat-completions JSON, and its replies as records.

Replies are hostile input: they are decoded into typed records, and a mismatch is a ``MalformedReplyError`` whose text
names the field. A server with a reasoning parser sends the thought separately, as ``reasoning`` or
``reasoning_content``, or as a part of the content: it becomes ``Reply.reasoning``, and an empty text beside one is a
valid reply. So is the empty text of a model that refused, was filtered or called a tool: ``finish_reason`` names it. An
error that a gateway sends instead of a completion is an ``ErrorReply``.

Text may contain halves of surrogate pairs (from a data set that cuts an emoji, for example), which JSON cannot encode:
they are sent as U+FFFD instead of failing the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from maestro_eval.models.server_errors import ReportedError, reported_error
from maestro_eval.records import Endpoint, Image, Message, Sampling, TokenIds, TokenLimit, Usage
from maestro_eval.text import whole, whole_text

T = TypeVar("T")

PartOf = Callable[[Image], dict[str, Any]]
"""An image as a part of a message's content."""

# Reasons for an empty reply that are no fault of the server.
_MAY_BE_EMPTY = ("length", "content_filter", "tool_calls", "function_call", "refusal", "safety")
# vLLM's reasons for a reply that its engine abandoned; the text so far is not the model's answer.
_ABORTED = ("abort", "error")


class MalformedReplyError(Exception):
    """A body that is not the expected JSON; the message is one line. ``retry``: another try may succeed."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class ErrorReply(Exception):
    """A body that reports an error instead of a reply."""

    def __init__(self, reported: ReportedError) -> None:
        super().__init__(reported.message)
        self.reported = reported


class ModelAsk(Struct, frozen=True):
    """One question to one model.

    ``name`` is the registry's entry, ``model`` the name at the endpoint, ``revision`` the model's own if the registry
    knows it (it is not sent; it is in the call cache's key). ``reuse`` lets the call cache store a reply that would not
    repeat. ``token_ids`` requests the ids of prompt and reply too (vLLM's ``return_token_ids``).
    """

    kind: Literal["expert", "service", "policy"]
    name: str
    model: str
    endpoint: Endpoint
    messages: tuple[Message, ...]
    sampling: Sampling
    revision: str = ""
    reuse: bool = False
    token_ids: bool = False


class Reply(Struct, frozen=True):
    """The reply of a model; ``reasoning`` is the thought if the server returns it separately from the text."""

    text: str
    finish_reason: str
    usage: Usage
    reasoning: str = ""
    ids: TokenIds | None = None


class ServedModel(Struct, frozen=True):
    """A model that a server lists. ``max_model_len`` is vLLM's. Fields other than ``id`` may have any type."""

    id: str
    owned_by: Any = None
    max_model_len: Any = None


def encode_ask(ask: ModelAsk, part_of: PartOf, token_limit: TokenLimit = "max_tokens") -> bytes:
    """Return the body of ``POST …/chat/completions`` without settings that are None; ``part_of`` encodes an image."""
    sampling = ask.sampling
    messages: list[dict[str, Any]] = []
    for message in ask.messages:
        pieces = message.pieces
        parts = [{"type": "text", "text": piece} if isinstance(piece, str) else part_of(piece) for piece in pieces]
        has_images = any(isinstance(piece, Image) for piece in pieces)
        messages.append({"role": message.role, "content": parts if has_images else message.text})
    body: dict[str, Any] = {"model": ask.model, "messages": messages}
    settings = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        token_limit: sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        # vLLM's own field, which no standard one can replace: a JSON schema is not a regular expression.
        "structured_outputs": {"regex": sampling.regex} if sampling.regex is not None else None,
        "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty,
        "return_token_ids": ask.token_ids or None,
    }
    body.update({name: value for name, value in settings.items() if value is not None})
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(whole(body))


def decode_reply(body: bytes) -> Reply:
    """Decode a chat completion; its first choice is the reply. MalformedReplyError or ErrorReply."""
    try:
        completion = _decode(body, _COMPLETION)
        if not completion.choices:
            raise MalformedReplyError("`choices` is empty")
        choice = completion.choices[0]
        finish_reason = choice.finish_reason or ""
        if finish_reason in _ABORTED:
            raise MalformedReplyError(f"it broke its reply off (`finish_reason` is {finish_reason})", retry=True)
        content = _read_content(choice.message)
    except MalformedReplyError:
        if (said := reported_error(body)) is not None:
            raise ErrorReply(said) from None
        raise
    if content.text is None:
        called = choice.message.tool_calls or choice.message.function_call
        if content.refused:
            finish_reason = "refusal"
        elif not (content.reasoning or finish_reason in _MAY_BE_EMPTY or called):
            raise MalformedReplyError("`content` is null")
    ids, usage = None, Usage()
    with suppress(msgspec.DecodeError):
        ids = TokenIds(_IDS.decode(completion.prompt_token_ids), _IDS.decode(choice.token_ids))
    # Token counts are bookkeeping: a reply with wrong counts is still a reply.
    with suppress(msgspec.DecodeError, RecursionError):
        counted = _USAGE.decode(completion.usage)
        usage = Usage(counted.prompt_tokens, counted.completion_tokens)
    return Reply(content.text or "", finish_reason, usage, content.reasoning, ids)


def decode_models(body: bytes) -> tuple[ServedModel, ...]:
    """Decode a reply to ``GET /v1/models``."""
    return _decode(body, _MODELS).data


def last_user_text(messages: Sequence[Message]) -> str:
    """Return the text of the last user message, empty without one."""
    return whole_text(next((message.text for message in reversed(messages) if message.role == "user"), ""))


class _Message(Struct):
    # A text, or a list of parts; ``_read_content`` handles other values.
    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    # Some servers send other types than text here; such a reply is still valid.
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None
    token_ids: Raw = Raw(b"null")


class _Completion(Struct):
    choices: list[_Choice]
    prompt_token_ids: Raw = Raw(b"null")
    usage: Raw = Raw(b"null")


class _Usage(Struct):
    prompt_tokens: Annotated[int, Meta(ge=0)] = 0
    completion_tokens: Annotated[int, Meta(ge=0)] = 0


class _Models(Struct):
    data: tuple[ServedModel, ...]


_COMPLETION = msgspec.json.Decoder(_Completion)
_MODELS = msgspec.json.Decoder(_Models)
_IDS = msgspec.json.Decoder(tuple[int, ...])
_USAGE = msgspec.json.Decoder(_Usage)


# An escaped backslash, both halves of a surrogate pair, or one half alone.
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\\\|" + _HIGH + _LOW + rb"|(?P<half>" + _HIGH + rb"|" + _LOW + rb")")


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError:
            # A model's tokens may end within a surrogate pair; half of one is no text, but the rest of the body is.
            return decoder.decode(_ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedReplyError(" ".join(str(error).split())) from None


class _Content(Struct, frozen=True):
    """The content of a message; ``text`` is None if it has none."""

    text: str | None
    reasoning: str
    refused: bool


def _read_content(message: _Message) -> _Content:
    """Return the text of a message, its parts joined, and the thought beside it or among its parts."""
    content, texts, thoughts = message.content, list[str](), list[str]()
    beside = message.reasoning or message.reasoning_content or ""
    thoughts.append(beside if isinstance(beside, str) else msgspec.json.encode(beside).decode())
    refused = bool(message.refusal)
    if isinstance(content, str) or content is None:
        return _Content(content, thoughts[0], refused and not content)
    for part in [content] if isinstance(content, dict) else content if isinstance(content, list) else [None]:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            raise MalformedReplyError(f"`content` holds {type(content).__name__}, expected text or a list of parts")
        kind = str(part.get("type", "text"))
        if "think" in kind or "reason" in kind:
            thoughts.append(_part_text(part, ("thinking", "reasoning", "text", "content", "summary")))
        elif kind == "refusal":
            refused = True
        else:
            # Of a part of unknown kind (a picture, for example) only the text is used.
            texts.append(_part_text(part, ("text", "content")))
    text = "".join(texts)
    return _Content(text or (None if refused else ""), "".join(thoughts), refused)


def _part_text(part: dict[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        match part.get(key):
            case str() as text:
                return text
            case {"value": str() as text}:
                return text
            case list() as inner:
                return "".join(_part_text(one, keys) if isinstance(one, dict) else str(one) for one in inner)
    return ""
