"""Serves a released skill's model calls on a local address, so that they are made and recorded as ours are.

Promise: each chat completion that the released code requests goes through our client to the registry's endpoint, with
our limits, retries, keys, deadlines and call cache, and is recorded. A service that fails is recorded as missing
evidence, which the released code ignores silently. No key reaches the released code.

Trade-offs: each use has its own server, on loopback, behind a path that cannot be guessed. A failure is returned as
status 422, which the released client does not retry: ours already has. Settings unknown to our client are refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from msgspec import Struct

from maestro_eval.models import ExpertClient
from maestro_eval.records import (
    CallError,
    ExpertCall,
    Image,
    ImagePart,
    ImageRef,
    Message,
    MissingEvidence,
    Part,
    Role,
    Sampling,
    TextPart,
)
from maestro_eval.registry import Expert, Registry, Service
from maestro_eval.skills import model_ask

EXPERT = "expert"

_LARGEST_REQUEST = 256 << 20
_REFUSED = 422


class Gateway:
    """An async context manager that runs the server. ``deadline`` is in ``time.monotonic()`` seconds.

    ``calls`` and ``missing`` grow with each request of the released code.
    """

    def __init__(self, client: ExpertClient, registry: Registry, expert: Expert, deadline: float) -> None:
        self.calls: list[ExpertCall] = []
        self.missing: list[MissingEvidence] = []
        self._client = client
        self._registry = registry
        self._expert = expert
        self._deadline = deadline
        self._secret = secrets.token_urlsafe(16)
        self._pictures: dict[str, list[str]] = {}
        self._runner: web.AppRunner | None = None

    def url(self, name: str) -> str:
        """Return the base address of a service, or of ``EXPERT``."""
        if self._runner is None:
            raise RuntimeError("the gateway is not open")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/{self._secret}/{name}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_post(f"/{self._secret}/{{name}}/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        try:
            asked = _decode(await request.read())
        except _UnreadableError as error:
            return _refusal(str(error))
        entry = self._expert if name == EXPERT else self._registry.services.get(name)
        if entry is None:
            fault = CallError("connection", f"{self._registry.name} has no service {name}", retriable=False)
            self._record_missing(name, asked, fault)
            return _refusal(str(fault))
        # The registry names the model: the one in the request is hard-coded in the released code.
        ask = model_ask(self._registry, entry, asked.messages, sampling=asked.sampling)
        call = await self._client.call(ask, deadline=self._deadline)
        self.calls.append(call)
        if call.fault is not None:
            if isinstance(entry, Service):
                self._record_missing(name, asked, call.fault)
            return _refusal(call.error)
        usage = call.usage
        return web.json_response(
            {
                "id": f"maestro-{len(self.calls)}",
                "object": "chat.completion",
                "created": int(call.timing.started_at),
                "model": ask.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": call.reply},
                        "finish_reason": call.finish_reason or "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens,
                    "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                },
            }
        )

    def _record_missing(self, name: str, asked: _Asked, fault: CallError) -> None:
        """Record missing evidence. A service gets the images in order, so the distinct images so far number it."""
        parts = (part for message in asked.messages for part in message.parts)
        first = next((part.image.ref.sha256 for part in parts if isinstance(part, ImagePart)), "")
        seen = self._pictures.setdefault(name, [])
        if first not in seen:
            seen.append(first)
        self.missing.append(MissingEvidence(name, seen.index(first) + 1, str(fault), fault))


class _UnreadableError(Exception):
    """Our client cannot make a request; the message is one line."""


class _Asked(Struct, frozen=True):
    messages: tuple[Message, ...]
    sampling: Sampling


class _Sent(Struct, forbid_unknown_fields=True):
    """The body of a request, with the fields that our client can forward."""

    model: str
    messages: list[_SentMessage]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False


class _SentMessage(Struct):
    role: Role
    content: str | list[dict[str, Any]]


_BODY = msgspec.json.Decoder(_Sent)


def _decode(body: bytes) -> _Asked:
    try:
        sent = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _UnreadableError(f"maestro-eval cannot make this call: {error}") from error
    if sent.stream:
        raise _UnreadableError("maestro-eval cannot make this call: it asks for a stream")
    stop = [sent.stop] if isinstance(sent.stop, str) else sent.stop or ()
    return _Asked(
        messages=tuple(Message(message.role, _parts(message.content)) for message in sent.messages),
        sampling=Sampling(
            temperature=sent.temperature,
            top_p=sent.top_p,
            max_tokens=sent.max_tokens,
            seed=sent.seed,
            stop=tuple(stop),
        ),
    )


def _parts(content: str | Sequence[dict[str, Any]]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(_part(part) for part in content)


def _part(part: dict[str, Any]) -> Part:
    return _image(part) if part.get("type") == "image_url" else TextPart(str(part.get("text", "")))


def _image(part: dict[str, Any]) -> ImagePart:
    import PIL.Image

    try:
        head, _, encoded = str(part["image_url"]["url"]).partition(",")
        data = base64.b64decode(encoded, validate=True)
        with PIL.Image.open(BytesIO(data)) as pixels:
            width, height = pixels.size
    except (binascii.Error, KeyError, TypeError, OSError, ValueError) as error:
        raise _UnreadableError(f"maestro-eval cannot make this call: no data URL of an image ({error})") from error
    media_type = head.removeprefix("data:").removesuffix(";base64")
    digest = hashlib.sha256(data).hexdigest()
    return ImagePart(Image(ImageRef(digest, media_type, width, height, len(data)), data))


def _refusal(why: str) -> web.Response:
    error = {"message": why, "type": "maestro_eval", "param": None, "code": None}
    return web.json_response({"error": error}, status=_REFUSED)
