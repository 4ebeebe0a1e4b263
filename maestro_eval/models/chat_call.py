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
from typing import Any

from maestro_eval.models.http import EndpointError, HttpRequest
from maestro_eval.models.openai_codec import ModelAsk, Reply, decode_reply, encode_ask
from maestro_eval.models.picture_forms import EndpointForms, PictureRoute, file_part, uuid_of
from maestro_eval.models.server_errors import is_lost_picture
from maestro_eval.records import PictureForm, TokenLimit

# No text of others holds it, so that none is taken for a picture's place.
_MARK = f"@{secrets.token_hex(16)}@"
# Smaller ones take less time than a thread does.
_APART_BYTES = 128 * 2**10


class ChatCall:
    """A call that may take several tries: ``build`` makes each, ``decode`` reads a good body.

    ``amend`` is true where a fault is to be met by sending it again at once, in another form; that is so a bounded
    number of times.
    """

    def __init__(self, ask: ModelAsk, forms: EndpointForms) -> None:
        self._ask = ask
        self._endpoint = ask.endpoint
        self._forms = forms
        self._limit: TokenLimit = "max_tokens"
        self._images = {id(image): image for message in ask.messages for image in message.images}
        self._uuids = list(map(uuid_of, self._images.values()))
        self._route: PictureRoute | None = None
        # Of the try that is under way: in which form, and whether the bytes of a picture were left out.
        self._form: PictureForm = "bytes"
        self._left_out = False

    async def build(self) -> HttpRequest:
        named, learnt = self._endpoint.token_limit, self._forms.token_limits
        self._limit = learnt.get((self._endpoint.url, self._ask.model), "max_tokens") if named == "auto" else named
        shown = await self._shown() if self._images else {}
        body = encode_ask(self._ask, lambda image: shown[id(image)], self._limit)
        pieces = enumerate(body.split(_MARK.encode()))
        # The Base64 of each image is put in the place of its mark.
        spliced = (self._images[int(piece)].base64 if number % 2 else piece for number, piece in pieces)
        return HttpRequest("/chat/completions", tuple(spliced))

    def decode(self, body: bytes) -> Reply:
        reply = decode_reply(body)
        if self._route is not None:
            self._route.answered(self._form, self._uuids, left_out=self._left_out)
        return reply

    def amend(self, fault: EndpointError) -> bool:
        if self._limit == fault.parameter and self._endpoint.token_limit == "auto":
            self._forms.token_limits[self._endpoint.url, self._ask.model] = "max_completion_tokens"
            return self._ask.sampling.max_tokens is not None
        if (route := self._route) is None:
            return False
        refused = fault.kind == "http" and fault.status in (400, 404, 422, 500)
        if refused and self._left_out and is_lost_picture(str(fault)):
            route.missed(self._uuids)
            return True
        settled = self._form == "bytes" or self._endpoint.pictures != "auto"
        if not refused or settled or (route.form == self._form and route.proven):
            route.failed(self._uuids)
            return False
        route.refused(self._form)
        return True

    async def _shown(self) -> dict[int, dict[str, Any]]:
        """Each image as a part of a message, by its ``id``."""
        self._route = route = await self._forms.pictures(self._endpoint, self._ask.model)
        self._form, self._left_out = route.form, False
        if self._form == "file":
            try:
                paths = [
                    await self._forms.spool.path(uuid, image)
                    for uuid, image in zip(self._uuids, self._images.values(), strict=True)
                ]
                return {number: file_part(path) for number, path in zip(self._images, paths, strict=True)}
            except OSError:
                # Its disk is full, say.
                route.refused("file")
                self._form = route.form
        names: dict[int, dict[str, Any]] = {}
        sent = list(self._images.values())
        if self._form == "uuid":
            names = {number: {"uuid": uuid} for number, uuid in zip(self._images, self._uuids, strict=True)}
            missing = await route.to_send(self._uuids)
            sent = [image for number, image in self._images.items() if names[number]["uuid"] in missing]
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
