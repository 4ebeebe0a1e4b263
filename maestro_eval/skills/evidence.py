"""What services report about the images: each piece fetched once a rollout, however many skills ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from maestro_eval.experts import ExpertClient
from maestro_eval.registry import Registry
from maestro_eval.skills.models import ask_model
from maestro_eval.text import neutralise
from maestro_eval.types import ExpertCall, Image


class Piece(Struct, frozen=True):
    """What ``service`` said of image number ``image`` (from 1)."""

    service: str
    image: int
    text: str


class EvidenceBoard:
    """The evidence of one rollout.

    Pieces are fetched at the same time. A service that fails is left out and named in the notes: evidence is
    optional, but its absence is never silent.
    """

    def __init__(self, registry: Registry, client: ExpertClient, deadline: float | None) -> None:
        self._registry = registry
        self._client = client
        self._deadline = deadline
        self._fetched: dict[tuple[str, str], ExpertCall] = {}

    async def gather(
        self, services: Sequence[str], images: Sequence[Image]
    ) -> tuple[tuple[Piece, ...], tuple[ExpertCall, ...], tuple[str, ...]]:
        """The pieces in the order of services and images, the calls made just now, and notes of what is missing."""
        wanted = [(service, number, image) for service in services for number, image in enumerate(images, start=1)]
        # A dict, so that a picture shown twice is read once.
        missing = {
            (service, image.ref.sha256): image
            for service, _, image in wanted
            if (service, image.ref.sha256) not in self._fetched
        }
        calls = await asyncio.gather(*(self._fetch(service, image) for (service, _), image in missing.items()))
        self._fetched.update(zip(missing, calls, strict=True))
        pieces, notes = [], []
        for service, number, image in wanted:
            call = self._fetched[service, image.ref.sha256]
            if call.error:
                notes.append(f"service {service} missing for image {number}: {call.error}")
            else:
                # A picture's own text must not open a turn in the expert's chat.
                pieces.append(Piece(service, number, neutralise(call.reply)))
        return tuple(pieces), tuple(calls), tuple(notes)

    async def _fetch(self, service: str, image: Image) -> ExpertCall:
        entry = self._registry.services[service]
        return await ask_model(self._client, self._registry, entry, entry.request, [image], deadline=self._deadline)
