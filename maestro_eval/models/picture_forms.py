"""How a picture gets to an engine: as a file that both can read, by its UUID once the engine has it, or as bytes.

Every turn of a rollout shows the same pictures again, so the cheapest form that an endpoint takes is used. ``auto``
finds out before the first picture is sent: only a server that says it is vLLM is sent anything but bytes (another may
pass over what it does not understand, and answer without the picture); one on this node is shown a small picture as a
file. vLLM meets a file that it may not read with a 500 and a traceback, so that is asked once. A form that is refused
later is not tried again at that endpoint, and the refused call is sent again at once in the next form.

A UUID is the hash of the bytes that are sent. While one call brings an engine a picture, others with the same picture
wait a moment for it and then leave the bytes out. An engine that has no such picture, or has dropped it, says so, and
gets the bytes; where that happens to many calls one after the other, as behind a balancer that spreads them over
engines, UUIDs are given up.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from yarl import URL

from maestro_eval.models.http import EndpointError, HttpRequest
from maestro_eval.models.openai_codec import MalformedReplyError, decode_owners
from maestro_eval.models.records import Endpoint, PictureForm
from maestro_eval.models.spool import Spool
from maestro_eval.records import Image, ImageRef

_PROBE_S = 5.0
# Queues and first calls of an engine are longer than its list of models takes.
_FILE_PROBE_S = 60.0
# How long after a call was given a picture to bring the engine has it. Where that is too short, the engine says so.
_ARRIVAL_S = 0.5
# UUIDs that are remembered for an engine: beyond what its own cache holds there is no use in them.
_REMEMBERED = 8192
_MOST_MISSES = 8
_VLLM = "vllm"
Send = Callable[[Endpoint, HttpRequest], Awaitable[bytes]]
"""A good reply's body to a request; EndpointError."""


class _Brought(Struct, frozen=True):
    """A picture on its way to the engine: resolved once a call with it has ended; ``until`` is on the loop's clock."""

    ended: asyncio.Future[None]
    until: float


@dataclass
class Door:
    """What is known of one endpoint: the ``form`` that it takes, and whether a call in that form was ever answered."""

    form: PictureForm
    proven: bool = False
    _misses: int = 0
    _held: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _brought: dict[str, _Brought] = field(default_factory=dict)

    async def to_bring(self, uuids: Sequence[str]) -> set[str]:
        """Those pictures whose bytes a call has to bring, after a moment's wait where another is bringing them."""
        loop = asyncio.get_running_loop()
        while True:
            missing = {uuid for uuid in uuids if uuid not in self._held and not self._has_arrived(uuid)}
            if not missing <= self._brought.keys():
                for uuid in missing:
                    self._brought.setdefault(uuid, _Brought(loop.create_future(), loop.time() + _ARRIVAL_S))
                return missing
            if not missing:
                return missing
            first = self._brought[missing.pop()]
            await asyncio.wait([first.ended], timeout=first.until - loop.time())

    def answered(self, form: PictureForm, uuids: Sequence[str], *, left_out: bool) -> None:
        """A call with these pictures was answered; ``left_out``: without the bytes of some."""
        # A server that knows of no UUIDs passes over one beside the bytes.
        self.proven = self.proven or (form == self.form and (left_out or form != "uuid"))
        if left_out:
            self._misses = 0
        if form == "uuid":
            for uuid in uuids:
                self._held[uuid] = None
                self._held.move_to_end(uuid)
            self.failed(uuids)
        while len(self._held) > _REMEMBERED:
            self._held.popitem(last=False)

    def failed(self, uuids: Sequence[str]) -> None:
        """A call with these pictures is over; another may bring them."""
        for uuid in uuids:
            if (brought := self._brought.pop(uuid, None)) is not None and not brought.ended.done():
                brought.ended.set_result(None)

    def missed(self, uuids: Sequence[str]) -> None:
        """The engine lacks one of these pictures."""
        self._misses += any(uuid in self._held for uuid in uuids)
        for uuid in uuids:
            self._held.pop(uuid, None)
        self.failed(uuids)
        if self._misses >= _MOST_MISSES:
            self.refused("uuid")

    def refused(self, form: PictureForm) -> None:
        """The endpoint does not take ``form``."""
        if self.form == form:
            self.form, self.proven = ("uuid" if form == "file" else "bytes"), False

    def _has_arrived(self, uuid: str) -> bool:
        brought = self._brought.get(uuid)
        return brought is not None and asyncio.get_running_loop().time() >= brought.until


class Doors:
    """The doors of all endpoints that one client sends pictures to."""

    def __init__(self, send: Send, spool: Spool) -> None:
        self._send = send
        self._spool = spool
        self._doors: dict[tuple[str, str, str], asyncio.Future[Door]] = {}

    async def door(self, endpoint: Endpoint, model: str) -> Door:
        """The door of ``endpoint`` for ``model``; who asks first finds out, the others wait for it."""
        key = (endpoint.url, model, endpoint.pictures)
        found = self._doors.get(key)
        if found is None:
            found = self._doors[key] = asyncio.get_running_loop().create_future()
            door = Door("bytes")
            try:
                door = await self._find_out(endpoint, model)
            finally:
                # A call that is cancelled while it asks decides for bytes, which are always right.
                found.set_result(door)
        return await asyncio.shield(found)

    async def _find_out(self, endpoint: Endpoint, model: str) -> Door:
        if endpoint.pictures != "auto":
            return Door(endpoint.pictures)
        if endpoint.kind:
            return Door("bytes")
        with suppress(EndpointError, MalformedReplyError, TimeoutError):
            async with asyncio.timeout(_PROBE_S):
                owners = decode_owners(await self._send(endpoint, HttpRequest("/models")))
            if owners.get(model) == _VLLM:
                reads = is_on_this_node(endpoint.url) and await self._reads_files(endpoint, model)
                return Door("file", proven=True) if reads else Door("uuid")
        return Door("bytes")

    async def _reads_files(self, endpoint: Endpoint, model: str) -> bool:
        """Whether a small picture that is a file is taken, with a reply of one token."""
        image = _small_picture()
        with suppress(EndpointError, TimeoutError, OSError):
            async with asyncio.timeout(_FILE_PROBE_S):
                content = [file_part(await self._spool.path(uuid_of(image), image)), {"type": "text", "text": "?"}]
                body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
                await self._send(endpoint, HttpRequest("/chat/completions", (msgspec.json.encode(body),)))
                return True
        return False


def file_part(path: str) -> dict[str, Any]:
    """The part of a message that shows a file."""
    return {"type": "image_url", "image_url": {"url": f"file://{quote(path)}"}}


def uuid_of(image: Image) -> str:
    """What names the bytes of ``image`` to an engine."""
    return image.ref.sha256 if len(image.data) == image.ref.size else f"{image.ref.sha256}-plain"


@lru_cache(maxsize=256)
def is_on_this_node(url: str) -> bool:
    """Whether an address is of this machine, so that what listens there may see its files."""
    try:
        host = (URL(url).host or "").casefold()
    except ValueError:
        return False
    return host in ("localhost", "::1", socket.gethostname().casefold()) or host.startswith("127.")


def _small_picture() -> Image:
    """A picture of the fewest pixels that vision models take."""
    from PIL import Image as Pillow

    file, sides = BytesIO(), (64, 64)
    Pillow.new("L", sides).save(file, "PNG")
    data = file.getvalue()
    return Image(ImageRef(hashlib.sha256(data).hexdigest(), "image/png", *sides, len(data)), data)
