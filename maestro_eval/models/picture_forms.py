"""How a picture gets to an engine: as a file that both can read, by its UUID once the engine has it, or as bytes.

Every turn of a rollout shows the same pictures again, so the cheapest form that an endpoint takes is used. ``auto``
finds out: only a server that says it is vLLM is sent anything but bytes (another may pass over what it does not
understand, and answer without the picture); one on this node is offered a file first. A form that is refused is not
tried again at that endpoint, and the refused call is sent again at once in the next form. vLLM meets a file that it
may not read with a 500 and a traceback, so one call alone finds that out.

A UUID is the hash of the bytes that are sent. An engine that has dropped a picture says so, and gets the bytes again;
where that happens to many calls one after the other, as behind a balancer that spreads them over engines, UUIDs are
given up.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from yarl import URL

from maestro_eval.models.http import EndpointError
from maestro_eval.models.openai_codec import MalformedReplyError, decode_owners
from maestro_eval.models.records import Endpoint, PictureForm
from maestro_eval.records import Image

_PROBE_S = 5.0
# UUIDs that are remembered for an engine: beyond what its own cache holds there is no use in them.
_REMEMBERED = 8192
_MOST_MISSES = 8
_VLLM = "vllm"

Get = Callable[[Endpoint, str], Awaitable[bytes]]
"""A good reply's body to a GET of that path; EndpointError."""


@dataclass
class Door:
    """What is known of one endpoint: the ``form`` that it takes, and whether a call in that form was ever answered."""

    form: PictureForm
    proven: bool = False
    misses: int = 0
    _offered: bool = False
    _held: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def choose(self) -> PictureForm:
        """The form of the next call. Until a file is known to be read, one call tries it and the others send bytes."""
        if self.form != "file" or self.proven:
            return self.form
        if self._offered:
            return "bytes"
        self._offered = True
        return "file"

    def failed(self, form: PictureForm) -> None:
        """A call in ``form`` ended for a reason that says nothing of pictures."""
        self._offered = self._offered and form != "file"

    def has(self, uuid: str) -> bool:
        return uuid in self._held

    def answered(self, form: PictureForm, uuids: Sequence[str], *, left_out: bool) -> None:
        """A call with these pictures was answered; ``left_out``: without the bytes of some."""
        # A server that knows of no UUIDs passes over one beside the bytes.
        self.proven = self.proven or (form == self.form and (left_out or form != "uuid"))
        if left_out:
            self.misses = 0
        for uuid in uuids if form == "uuid" else ():
            self._held[uuid] = None
            self._held.move_to_end(uuid)
        while len(self._held) > _REMEMBERED:
            self._held.popitem(last=False)

    def missed(self, uuids: Sequence[str]) -> None:
        """The engine has lost one of these pictures."""
        for uuid in uuids:
            self._held.pop(uuid, None)
        self.misses += 1
        if self.misses >= _MOST_MISSES:
            self.refused("uuid")

    def refused(self, form: PictureForm) -> None:
        """The endpoint does not take ``form``."""
        if self.form == form:
            self.form, self.proven = ("uuid" if form == "file" else "bytes"), False


class Doors:
    """The doors of all endpoints that one client sends pictures to."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._doors: dict[tuple[str, str, str], asyncio.Future[Door]] = {}

    async def door(self, endpoint: Endpoint, model: str) -> Door:
        """The door of ``endpoint`` for ``model``; who asks first finds out, the others wait for it."""
        key = (endpoint.url, model, endpoint.pictures)
        found = self._doors.get(key)
        if found is None:
            found = self._doors[key] = asyncio.get_running_loop().create_future()
            form: PictureForm = "bytes"
            try:
                form = await self._find_out(endpoint, model)
            finally:
                # A call that is cancelled while it asks decides for bytes, which are always right.
                found.set_result(Door(form))
        return await asyncio.shield(found)

    async def _find_out(self, endpoint: Endpoint, model: str) -> PictureForm:
        if endpoint.pictures != "auto":
            return endpoint.pictures
        if endpoint.kind:
            return "bytes"
        with suppress(EndpointError, MalformedReplyError, TimeoutError):
            async with asyncio.timeout(_PROBE_S):
                owners = decode_owners(await self._get(endpoint, "/models"))
            if owners.get(model) == _VLLM:
                return "file" if is_on_this_node(endpoint.url) else "uuid"
        return "bytes"


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
