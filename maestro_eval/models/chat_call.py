"""One chat completion in the form that its endpoint takes, which is learnt from what the endpoint refuses.

Some models take the limit of a reply as ``max_completion_tokens`` only, and engines differ in how they take pictures
(``picture_forms``). Saying the same in another form changes nothing that is measured, so a call that was refused for it
is sent again at once, and later ones begin that way. What would change the question, a temperature for instance, is
never left out by us: the error names the setting instead.

Where a picture must be sent, its Base64 is made once, off the event loop, and goes from there to the socket: the JSON
around it is encoded with a mark in its place.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Hashable, Iterator
from typing import Any, Protocol, TypeVar

from maestro_eval.models.http import EndpointError, HttpRequest
from maestro_eval.models.openai_codec import Reply, decode_models, decode_reply, encode_ask
from maestro_eval.models.picture_forms import Door, Doors, Send, file_part, uuid_of
from maestro_eval.models.records import Endpoint, ModelAsk, PictureForm, TokenLimit
from maestro_eval.models.refusals import is_lost_picture
from maestro_eval.models.spool import Spool
from maestro_eval.records import Image, ImagePart

T = TypeVar("T")

# No text of others holds it, so that none is taken for a picture's place.
_MARK = f"@{secrets.token_hex(16)}@"
# Smaller ones take less time than a thread does.
_APART_BYTES = 128 * 2**10


class Conversation(Protocol[T]):
    """A request that may take several tries: ``build`` makes each, ``decode`` reads a good body.

    ``sort`` is equal for replies that cost about as much time, ``None`` keeps one out of comparisons. ``amend`` is true
    where a fault is to be met by sending it again at once, in another form; that is so a bounded number of times.
    """

    endpoint: Endpoint

    async def build(self) -> HttpRequest: ...

    def decode(self, body: bytes) -> T: ...

    def sort(self, value: T) -> Hashable: ...

    def amend(self, fault: EndpointError) -> bool: ...


class Forms:
    """What the calls of one client have learnt of its endpoints."""

    def __init__(self, send: Send) -> None:
        self.spool = Spool()
        self.doors = Doors(send, self.spool)
        self.token_limits: dict[tuple[str, str], TokenLimit] = {}

    def close(self) -> None:
        """Remove the files that were written."""
        self.spool.close()


class ChatCall:
    """A ``Conversation`` that asks a model."""

    def __init__(self, ask: ModelAsk, forms: Forms) -> None:
        self.endpoint = ask.endpoint
        self._ask = ask
        self._forms = forms
        self._limit: TokenLimit = "max_tokens"
        self._images = {id(image): image for image in _images(ask)}
        self._uuids = list(map(uuid_of, self._images.values()))
        self._door: Door | None = None
        # Of the try that is under way: in which form, and whether the bytes of a picture were left out.
        self._form: PictureForm = "bytes"
        self._left_out = False

    async def build(self) -> HttpRequest:
        named = self.endpoint.token_limit
        self._limit = self._forms.token_limits.get(self._learner, "max_tokens") if named == "auto" else named
        shown = await self._shown() if self._images else {}
        body = encode_ask(self._ask, lambda image: shown[id(image)], self._limit)
        return HttpRequest("/chat/completions", tuple(_spliced(body, self._images)), self._weight(len(body)))

    def decode(self, body: bytes) -> Reply:
        reply = decode_reply(body)
        if self._door is not None:
            self._door.answered(self._form, self._uuids, left_out=self._left_out)
        return reply

    def sort(self, value: Reply) -> Hashable:
        return self._ask.kind, self._ask.name, value.usage.completion_tokens.bit_length()

    def amend(self, fault: EndpointError) -> bool:
        if self._limit == fault.parameter and self.endpoint.token_limit == "auto":
            self._forms.token_limits[self._learner] = "max_completion_tokens"
            return self._ask.sampling.max_tokens is not None
        return self._door is not None and self._amend_pictures(self._door, fault)

    def _amend_pictures(self, door: Door, fault: EndpointError) -> bool:
        if fault.kind != "http" or fault.status not in (400, 404, 422, 500):
            door.failed(self._uuids)
            return False
        if self._left_out and is_lost_picture(str(fault)):
            door.missed(self._uuids)
            return True
        if self._form == "bytes" or self.endpoint.pictures != "auto" or (door.form == self._form and door.proven):
            door.failed(self._uuids)
            return False
        door.refused(self._form)
        return True

    async def _shown(self) -> dict[int, dict[str, Any]]:
        """Each image as a part of a message, by its ``id``."""
        self._door = door = await self._forms.doors.door(self.endpoint, self._ask.model)
        self._form, self._left_out = door.form, False
        if self._form == "file":
            try:
                paths = [
                    await self._forms.spool.path(uuid, image)
                    for uuid, image in zip(self._uuids, self._images.values(), strict=True)
                ]
                return {number: file_part(path) for number, path in zip(self._images, paths, strict=True)}
            except OSError:
                # Its disk is full, say.
                door.refused("file")
                self._form = door.form
        names: dict[int, dict[str, Any]] = {}
        sent = list(self._images.values())
        if self._form == "uuid":
            names = {number: {"uuid": uuid} for number, uuid in zip(self._images, self._uuids, strict=True)}
            brought = await door.to_bring(self._uuids)
            sent = [image for number, image in self._images.items() if names[number]["uuid"] in brought]
        self._left_out = len(sent) < len(self._images)
        if sum(len(image.data) for image in sent) > _APART_BYTES:
            await asyncio.to_thread(lambda: [image.base64 for image in sent])
        urls: dict[int, Any] = {
            id(image): {"url": f"data:{image.ref.media_type};base64,{_MARK}{id(image)}{_MARK}"} for image in sent
        }
        return {
            number: {"type": "image_url", "image_url": urls.get(number), **names.get(number, {})}
            for number in self._images
        }

    def _weight(self, body: int) -> int:
        """The size that the request has with all its pictures, in whatever form they go."""
        return body + sum(len(image.data) for image in self._images.values()) * 4 // 3

    @property
    def _learner(self) -> tuple[str, str]:
        return self.endpoint.url, self._ask.model


class ModelList:
    """A ``Conversation`` that asks which models are served."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def build(self) -> HttpRequest:
        return HttpRequest("/models")

    def decode(self, body: bytes) -> list[str]:
        return decode_models(body)

    def sort(self, value: list[str]) -> Hashable:
        return None

    def amend(self, fault: EndpointError) -> bool:
        return False


def _images(ask: ModelAsk) -> Iterator[Image]:
    return (part.image for message in ask.messages for part in message.parts if isinstance(part, ImagePart))


def _spliced(body: bytes, images: dict[int, Image]) -> Iterator[bytes]:
    """``body`` with the Base64 of each image in the place of its mark."""
    for number, piece in enumerate(body.split(_MARK.encode())):
        yield images[int(piece)].base64 if number % 2 else piece
