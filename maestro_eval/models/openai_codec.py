"""Our messages as chat-completions JSON, and its replies as records.

Replies are hostile input: they are decoded into typed records, and what does not fit is a ``MalformedReplyError``
whose text names the field. A server with a reasoning parser sends the thought apart, as ``reasoning`` or
``reasoning_content``, or as a part of the content: it is ``Reply.reasoning``, and an empty text beside one is a reply.
So is an empty text of a model that refused, was filtered or called a tool instead: ``finish_reason`` names it. An error
that a gateway sends in the place of a completion is a ``SaidError``.

Text may hold halves of surrogate pairs (a data set cut in the middle of an emoji, say), which no JSON can carry:
they are sent as U+FFFD instead of failing the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from maestro_eval.models.error_body import ErrorSaid, error_said
from maestro_eval.models.records import ModelAsk, TokenLimit
from maestro_eval.records import Image, ImagePart, Message, TextPart, TokenIds, Usage

T = TypeVar("T")

PartOf = Callable[[Image], dict[str, Any]]
"""An image as a part of a message's content."""

# Why a model that ended its turn may have said nothing: no fault of the server.
_NOTHING_TO_SAY = ("length", "content_filter", "tool_calls", "function_call", "refusal", "safety")
# What vLLM says of a reply that its engine gave up; the text so far is not the model's answer.
_BROKEN_OFF = ("abort", "error")


class MalformedReplyError(Exception):
    """A body that is not the JSON we asked for; the message is one line. ``retry``: the next may be better."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class SaidError(Exception):
    """A body that reports an error where a reply was due."""

    def __init__(self, said: ErrorSaid) -> None:
        super().__init__(said.message)
        self.said = said


class Reply(Struct, frozen=True):
    """What a model said; ``reasoning`` is the thought, where the server returns it apart from the text."""

    text: str
    finish_reason: str
    usage: Usage
    reasoning: str = ""
    ids: TokenIds | None = None


def encode_ask(ask: ModelAsk, part_of: PartOf, token_limit: TokenLimit = "max_tokens") -> bytes:
    """The body of ``POST …/chat/completions``. Settings that are ``None`` are left out; ``part_of`` shows an image."""
    sampling = ask.sampling
    body: dict[str, Any] = {
        "model": ask.model,
        "messages": [{"role": message.role, "content": _content(message, part_of)} for message in ask.messages],
    }
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
        return msgspec.json.encode(_encodable(body))


def decode_reply(body: bytes) -> Reply:
    """Read a chat completion; its first choice is the reply. MalformedReplyError or SaidError."""
    try:
        completion = _decode(body, _COMPLETION)
        if not completion.choices:
            raise MalformedReplyError("`choices` is empty")
        choice = completion.choices[0]
        finish_reason = choice.finish_reason or ""
        if finish_reason in _BROKEN_OFF:
            raise MalformedReplyError(f"it broke its reply off (`finish_reason` is {finish_reason})", retry=True)
        content = _read_content(choice.message)
    except MalformedReplyError:
        if (said := error_said(body)) is not None:
            raise SaidError(said) from None
        raise
    if content.text is None:
        if content.refused:
            finish_reason = "refusal"
        elif not content.reasoning and finish_reason not in _NOTHING_TO_SAY and not _called(choice.message):
            raise MalformedReplyError("`content` is null")
    ids = _token_ids(completion.prompt_token_ids, choice.token_ids)
    return Reply(content.text or "", finish_reason, _usage(completion.usage), content.reasoning, ids)


def decode_models(body: bytes) -> list[str]:
    """The names in a reply to ``GET /v1/models``."""
    return [model.id for model in _decode(body, _MODELS).data]


def decode_owners(body: bytes) -> dict[str, object]:
    """Who serves each model, in a reply to ``GET /v1/models``."""
    return {model.id: model.owned_by for model in _decode(body, _MODELS).data}


def last_user_text(messages: Sequence[Message]) -> str:
    """The joined text of the last user message, ``""`` without one."""
    message = next((message for message in reversed(messages) if message.role == "user"), None)
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart)) if message else ""
    return text if text.isascii() else _whole(text)


def image_hashes(messages: Sequence[Message]) -> tuple[str, ...]:
    """The SHA-256 of every image, in the order sent."""
    return tuple(part.image.ref.sha256 for message in messages for part in message.parts if isinstance(part, ImagePart))


def _content(message: Message, part_of: PartOf) -> str | list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    text: list[str] = []

    def end_text() -> None:
        joined = "".join(text)
        text.clear()
        if joined:
            parts.append({"type": "text", "text": joined})

    for part in message.parts:
        if isinstance(part, TextPart):
            text.append(part.text)
        else:
            end_text()
            parts.append(part_of(part.image))
    if not parts:
        return "".join(text)
    end_text()
    return parts


def _encodable(value: Any) -> Any:
    """A body with every text made whole."""
    match value:
        case str():
            return _whole(value)
        case list():
            return [_encodable(item) for item in value]
        case dict():
            return {key: _encodable(item) for key, item in value.items()}
    return value


def _whole(text: str) -> str:
    """``text`` with pairs of surrogates joined and halves of them replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Message(Struct):
    # A text, or a list of parts; what else servers send here is looked at closely.
    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    # Some servers send other things than text here; a reply is not refused for it.
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


class _Model(Struct):
    id: str
    owned_by: Any = None


class _Models(Struct):
    data: list[_Model]


_COMPLETION = msgspec.json.Decoder(_Completion)
_MODELS = msgspec.json.Decoder(_Models)
_IDS = msgspec.json.Decoder(tuple[int, ...])
_USAGE = msgspec.json.Decoder(_Usage)


# An escaped backslash, both halves of a character, or one half alone.
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\\\|" + _HIGH + _LOW + rb"|(?P<half>" + _HIGH + rb"|" + _LOW + rb")")


def _whole_escape(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found["half"] else found[0]


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError:
            # Half a character of two, which a model's tokens may spell, is no text; all around it is.
            return decoder.decode(_ESCAPE.sub(_whole_escape, body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedReplyError(" ".join(str(error).split())) from None


class _Content(Struct, frozen=True):
    """``text`` is ``None`` where a message has none."""

    text: str | None
    reasoning: str
    refused: bool


def _read_content(message: _Message) -> _Content:
    """The text of a message, whose parts are joined; the thought beside it or among its parts."""
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
            # A part of a kind that we do not know (a picture, say) is passed over, its text is not.
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


def _token_ids(prompt: Raw, sampled: Raw) -> TokenIds | None:
    try:
        return TokenIds(_IDS.decode(prompt), _IDS.decode(sampled))
    except msgspec.DecodeError:
        return None


def _called(message: _Message) -> bool:
    return bool(message.tool_calls or message.function_call)


def _usage(raw: Raw) -> Usage:
    # Token counts are bookkeeping: a server that gets them wrong still gave a reply.
    try:
        counted = _USAGE.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return Usage()
    return Usage(counted.prompt_tokens, counted.completion_tokens)
