"""One chat completion in the form that its endpoint accepts, which is learnt from its refusals.

Some models accept the limit of a reply as ``max_completion_tokens`` only, and engines differ in how they accept
pictures (``picture_forms``). Another form with the same meaning changes no result, so a call that was refused for its
form is sent again at once, and later ones begin with the accepted form. A setting that would change the question, such
as a temperature, is never dropped: the error names it instead.

If a picture must be sent, its Base64 is computed once, outside of the event loop, and written to the socket from there:
the JSON around it is encoded with a marker in its place.
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

# Random, so that no other text contains it and is mistaken for a picture's place.
_MARK = f"@{secrets.token_hex(16)}@"
# Smaller pictures take less time than starting a thread.
_THREAD_BYTES = 128 * 2**10


class ChatCall:
    """A call that may take several tries: ``build`` makes each request, ``decode`` reads the body of a 200 reply.

    ``change_form`` returns whether to send it again at once, in another form; that is so a bounded number of times.
    """

    def __init__(self, ask: ModelAsk, forms: EndpointForms) -> None:
        self._ask = ask
        self._endpoint = ask.endpoint
        self._forms = forms
        self._limit: TokenLimit = "max_tokens"
        self._images = {id(image): image for message in ask.messages for image in message.images}
        self._uuids = list(map(uuid_of, self._images.values()))
        self._route: PictureRoute | None = None
        # The form of the current try, and whether it omits the bytes of a picture.
        self._form: PictureForm = "bytes"
        self._left_out = False

    async def build(self) -> HttpRequest:
        named, learnt = self._endpoint.token_limit, self._forms.token_limits
        self._limit = learnt.get((self._endpoint.url, self._ask.model), "max_tokens") if named == "auto" else named
        shown = await self._shown() if self._images else {}
        body = encode_ask(self._ask, lambda image: shown[id(image)], self._limit)
        pieces = enumerate(body.split(_MARK.encode()))
        # Each marker is replaced by the Base64 of its image.
        spliced = (self._images[int(piece)].base64 if number % 2 else piece for number, piece in pieces)
        return HttpRequest("/chat/completions", tuple(spliced))

    def decode(self, body: bytes) -> Reply:
        reply = decode_reply(body)
        if self._route is not None:
            self._route.answered(self._form, self._uuids, left_out=self._left_out)
        return reply

    def change_form(self, fault: EndpointError) -> bool:
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
        """Return each image as a part of a message, by its ``id``."""
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
                # For example, the disk is full.
                route.refused("file")
                self._form = route.form
        names: dict[int, dict[str, Any]] = {}
        sent = list(self._images.values())
        if self._form == "uuid":
            names = {number: {"uuid": uuid} for number, uuid in zip(self._images, self._uuids, strict=True)}
            missing = await route.to_send(self._uuids)
            sent = [image for number, image in self._images.items() if names[number]["uuid"] in missing]
        self._left_out = len(sent) < len(self._images)
        if sum(len(image.data) for image in sent) > _THREAD_BYTES:
            await asyncio.to_thread(lambda: [image.base64 for image in sent])
        urls: dict[int, Any] = {
            id(image): {"url": f"data:{image.ref.media_type};base64,{_MARK}{id(image)}{_MARK}"} for image in sent
        }
        return {
            number: {"type": "image_url", "image_url": urls.get(number), **names.get(number, {})}
            for number in self._images
        }
