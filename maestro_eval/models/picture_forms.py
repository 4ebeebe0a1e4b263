"""Send a picture to an engine: as a file that both can read, by its UUID once the engine has it, or as bytes.

Every turn of a rollout shows the same pictures again, so the cheapest form that an endpoint accepts is used. ``auto``
finds it before the first picture is sent: only a server that declares itself as vLLM gets anything but bytes (another
one may ignore a form that it does not know, and answer without the picture); one on this node is sent a small picture
as a file. vLLM answers a file that it may not read with a 500 and a traceback, so that is tried once. A form that is
refused later is not tried again at that endpoint, and the refused call is sent again at once in the next form.

A UUID is the hash of the bytes that are sent. While one call uploads a picture, others with the same picture wait a
moment for it and then omit the bytes. An engine that does not have the picture, or has dropped it, reports that, and
gets the bytes; if that happens to many calls in a row, as behind a balancer over several engines, UUIDs are no longer
used.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from yarl import URL

from maestro_eval.files import own_picture_folder
from maestro_eval.models.http import EndpointError, HttpRequest
from maestro_eval.records import Endpoint, Image, ImageRef, PictureForm, TokenLimit

if TYPE_CHECKING:
    from maestro_eval.models.client import ExpertClient

_PROBE_S = 5.0
# Queues and first calls of an engine take longer than its list of models.
_FILE_PROBE_S = 60.0
# The time after which an upload counts as arrived. If it is too short, the engine reports a missing picture.
_ARRIVAL_S = 0.5
# The number of UUIDs remembered for an engine: more than its own cache has would be of no use.
_REMEMBERED = 8192
_MOST_MISSES = 8
_VLLM = "vllm"


class _Upload(Struct, frozen=True):
    """A picture on its way to the engine: ``ended`` resolves when a call with it has ended; ``until`` is loop time."""

    ended: asyncio.Future[None]
    until: float


@dataclass
class PictureRoute:
    """The ``form`` in which one endpoint accepts pictures, and whether a call in that form was ever answered."""

    form: PictureForm
    proven: bool = False
    _misses: int = 0
    _uploaded: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _uploads: dict[str, _Upload] = field(default_factory=dict)

    async def to_send(self, uuids: Sequence[str]) -> set[str]:
        """Return the pictures whose bytes a call must send, after a short wait for those in another call."""
        loop = asyncio.get_running_loop()
        while True:
            missing = {uuid for uuid in uuids if uuid not in self._uploaded and not self._has_arrived(uuid)}
            if not missing <= self._uploads.keys():
                for uuid in missing:
                    self._uploads.setdefault(uuid, _Upload(loop.create_future(), loop.time() + _ARRIVAL_S))
                return missing
            if not missing:
                return missing
            first = self._uploads[missing.pop()]
            await asyncio.wait([first.ended], timeout=first.until - loop.time())

    def answered(self, form: PictureForm, uuids: Sequence[str], *, left_out: bool) -> None:
        """Record that a call with these pictures was answered; ``left_out``: the bytes of some were omitted."""
        # A server without UUIDs ignores one beside the bytes, so only a call without bytes is a proof.
        self.proven = self.proven or (form == self.form and (left_out or form != "uuid"))
        if left_out:
            self._misses = 0
        if form == "uuid":
            for uuid in uuids:
                self._uploaded[uuid] = None
                self._uploaded.move_to_end(uuid)
            self.failed(uuids)
        while len(self._uploaded) > _REMEMBERED:
            self._uploaded.popitem(last=False)

    def failed(self, uuids: Sequence[str]) -> None:
        """End the uploads of a call with these pictures; another call may upload them."""
        for uuid in uuids:
            if (upload := self._uploads.pop(uuid, None)) is not None and not upload.ended.done():
                upload.ended.set_result(None)

    def missed(self, uuids: Sequence[str]) -> None:
        """Record that the engine does not have one of these pictures."""
        self._misses += any(uuid in self._uploaded for uuid in uuids)
        for uuid in uuids:
            self._uploaded.pop(uuid, None)
        self.failed(uuids)
        if self._misses >= _MOST_MISSES:
            self.refused("uuid")

    def refused(self, form: PictureForm) -> None:
        """Switch to the next form if the endpoint refused ``form``."""
        if self.form == form:
            self.form, self.proven = ("uuid" if form == "file" else "bytes"), False

    def _has_arrived(self, uuid: str) -> bool:
        upload = self._uploads.get(uuid)
        return upload is not None and asyncio.get_running_loop().time() >= upload.until


class EndpointForms:
    """The forms that the endpoints of one client accept: of the token limit's name, and of pictures."""

    def __init__(self, client: ExpertClient) -> None:
        self._client = client
        self.spool = Spool()
        self.token_limits: dict[tuple[str, str], TokenLimit] = {}
        self._routes: dict[tuple[str, str, str], asyncio.Future[PictureRoute]] = {}

    async def pictures(self, endpoint: Endpoint, model: str) -> PictureRoute:
        """Return how ``model`` at ``endpoint`` accepts pictures; the first call finds out, the others wait for it."""
        key = (endpoint.url, model, endpoint.pictures)
        found = self._routes.get(key)
        if found is None:
            found = self._routes[key] = asyncio.get_running_loop().create_future()
            route = PictureRoute("bytes")
            try:
                route = await self._find_out(endpoint, model)
            finally:
                # A call that is cancelled meanwhile chooses bytes, which every endpoint accepts.
                found.set_result(route)
        return await asyncio.shield(found)

    async def _find_out(self, endpoint: Endpoint, model: str) -> PictureRoute:
        if endpoint.pictures != "auto":
            return PictureRoute(endpoint.pictures)
        if endpoint.start:
            return PictureRoute("bytes")
        with suppress(EndpointError, TimeoutError):
            async with asyncio.timeout(_PROBE_S):
                owners = {served.id: served.owned_by for served in await self._client.models(endpoint)}
            if owners.get(model) == _VLLM:
                reads = is_on_this_node(endpoint.url) and await self._reads_files(endpoint, model)
                return PictureRoute("file", proven=True) if reads else PictureRoute("uuid")
        return PictureRoute("bytes")

    async def _reads_files(self, endpoint: Endpoint, model: str) -> bool:
        """Return whether the endpoint accepts a small picture as a file, in a call for one token."""
        image = _small_picture()
        with suppress(EndpointError, TimeoutError, OSError):
            async with asyncio.timeout(_FILE_PROBE_S):
                content = [file_part(await self.spool.path(uuid_of(image), image)), {"type": "text", "text": "?"}]
                body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
                await self._client.send(endpoint, HttpRequest("/chat/completions", (msgspec.json.encode(body),)), bytes)
                return True
        return False


@dataclass
class _Entry:
    """A file, and the number of live images with its content."""

    images: int = 0
    file: Path = Path()
    written: asyncio.Future[int] | None = None


class Spool:
    """Pictures as files for engines on this node: written when first sent, removed with the last ``Image`` of them.

    ``path`` returns the file of an image; ``close`` removes all files. A spool belongs to one event loop.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._numbers = count()
        self._entries: dict[str, _Entry] = {}
        self._known: dict[int, str] = {}

    async def path(self, name: str, image: Image) -> str:
        """Return the absolute path of a file with the bytes of the image, which ``name`` identifies. OSError."""
        if self._folder is None:
            self._folder = own_picture_folder()
        if id(image) not in self._known:
            self._known[id(image)] = name
            self._entries.setdefault(name, _Entry()).images += 1
            weakref.finalize(image, self._release, id(image)).atexit = False
        entry = self._entries[name]
        if entry.written is None:
            entry.file = self._folder / str(next(self._numbers))
            entry.written = asyncio.ensure_future(asyncio.to_thread(entry.file.write_bytes, image.data))
        await asyncio.shield(entry.written)
        return str(entry.file)

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _release(self, number: int) -> None:
        name = self._known.pop(number)
        entry = self._entries[name]
        entry.images -= 1
        if entry.images:
            return
        del self._entries[name]
        # The file of an unfinished write stays until ``close``.
        if entry.written is not None and entry.written.done():
            with suppress(OSError):
                entry.file.unlink()


def file_part(path: str) -> dict[str, Any]:
    """Return the part of a message that shows a file."""
    return {"type": "image_url", "image_url": {"url": f"file://{quote(path)}"}}


def uuid_of(image: Image) -> str:
    """Return the name of the bytes of ``image`` for an engine."""
    return image.ref.sha256 if len(image.data) == image.ref.size else f"{image.ref.sha256}-plain"


@lru_cache(maxsize=256)
def is_on_this_node(url: str) -> bool:
    """Return whether an address is on this machine, so that its server may read this machine's files."""
    try:
        host = (URL(url).host or "").casefold()
    except ValueError:
        return False
    return host in ("localhost", "::1", socket.gethostname().casefold()) or host.startswith("127.")


def _small_picture() -> Image:
    """Return a picture of the fewest pixels that vision models accept."""
    from PIL import Image as Pillow

    file, sides = BytesIO(), (64, 64)
    Pillow.new("L", sides).save(file, "PNG")
    data = file.getvalue()
    return Image(ImageRef(hashlib.sha256(data).hexdigest(), "image/png", *sides, len(data)), data)
