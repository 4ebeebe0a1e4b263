"""What services report about the images: each piece fetched once a rollout, however many skills ask for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.experts import ExpertClient
from maestro_eval.registry import EvidenceUse, Registry, Service, render_template
from maestro_eval.skills.models import ask_model
from maestro_eval.skills.reading import Reading, read_reply
from maestro_eval.types import ExpertCall, Image, MissingEvidence, RolloutFailure


class Piece(Struct, frozen=True):
    """What ``service`` said of image number ``image`` (from 1), and the ``picture`` made of it, if any."""

    service: str
    image: int
    text: str
    picture: Image | None = None


class Gathered(Struct, frozen=True):
    """Pieces in the order of services and images, the calls made just now, and what is missing.

    ``failure`` is set where a service that is not optional could not be asked.
    """

    pieces: tuple[Piece, ...]
    calls: tuple[ExpertCall, ...]
    missing: tuple[MissingEvidence, ...]
    failure: RolloutFailure | None = None


class EvidenceBoard:
    """The evidence of one rollout.

    Pieces are fetched at the same time, and one that is being fetched is waited for. A failure is kept as well: a
    service that is down is not asked again in the same rollout.
    """

    def __init__(self, registry: Registry, client: ExpertClient, deadline: float | None) -> None:
        self._registry = registry
        self._client = client
        self._deadline = deadline
        self._reports: dict[_Key, _Report] = {}
        self._locks: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def gather(
        self, uses: Sequence[EvidenceUse], images: Sequence[Image], *, question: str = "", rescale: bool = True
    ) -> Gathered:
        """What the services in ``uses`` say of ``images``.

        question: fills ``{{ question }}`` in a service's request; the same for the whole rollout.
        rescale: carry boxes over to the original image (``boxes.place``).
        """
        wanted = list(dict.fromkeys((use.service, n) for use in uses for n in _numbers(use, len(images))))
        keys = [_Key(service, images[number - 1].ref.sha256, rescale) for service, number in wanted]
        # A dict, so that a picture shown twice is read once.
        asked = {key: images[number - 1] for key, (_, number) in zip(keys, wanted, strict=True)}
        fresh = await asyncio.gather(*(self._fetch(key, image, question) for key, image in asked.items()))
        pieces: list[Piece] = []
        missing: list[MissingEvidence] = []
        failure: RolloutFailure | None = None
        for key, (service, number) in zip(keys, wanted, strict=True):
            report = self._reports[key]
            if report.missing:
                missing.append(MissingEvidence(service, number, report.missing, report.call.fault))
            else:
                pieces.append(Piece(service, number, report.reading.text, report.reading.picture))
            failure = failure or _failure(self._registry.services[service], report.call)
        calls = tuple(call for call in fresh if call is not None)
        return Gathered(_numbered(pieces, images), calls, tuple(missing), failure)

    async def _fetch(self, key: _Key, image: Image, question: str) -> ExpertCall | None:
        """The call that it took to have the report, ``None`` when it was there."""
        async with self._locks[key]:
            if key in self._reports:
                return None
            entry = self._registry.services[key.service]
            what = f"{self._registry.path}: services.{entry.name}.request"
            request = render_template(entry.request, what, question=question)
            call = await ask_model(self._client, self._registry, entry, request, [image], deadline=self._deadline)
            reading = Reading()
            if not call.error:
                reading = await asyncio.to_thread(read_reply, entry, image, call.reply, rescale=key.rescale)
            self._reports[key] = _Report(call, reading)
            return call


class _Key(Struct, frozen=True):
    service: str
    sha256: str
    rescale: bool


class _Report(Struct, frozen=True):
    call: ExpertCall
    reading: Reading

    @property
    def missing(self) -> str:
        """Why there is no evidence, ``""`` when there is some."""
        return self.call.error or self.reading.note


def _numbers(use: EvidenceUse, images: int) -> range:
    most = 1 if use.images == "first" else images
    return range(1, min(images, most, use.limit or most) + 1)


def _failure(service: Service, call: ExpertCall) -> RolloutFailure | None:
    if service.optional or not call.error:
        return None
    return RolloutFailure.of_call("service", call, name=service.name)


def _numbered(pieces: Sequence[Piece], images: Sequence[Image]) -> tuple[Piece, ...]:
    """The pieces, those with a picture saying which of the shown images it is: pictures follow the originals."""
    shown: dict[str, int] = {}
    numbered = []
    for piece in pieces:
        if piece.picture is not None:
            number = shown.setdefault(piece.picture.ref.sha256, len(images) + len(shown) + 1)
            piece = replace(piece, text=f"{piece.text} See image {number}.")
        numbered.append(piece)
    return tuple(numbered)
