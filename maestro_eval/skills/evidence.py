"""What services report about the images: each piece fetched once a rollout, however many skills ask for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.models import ExpertClient
from maestro_eval.records import ExpertCall, Image, MissingEvidence, RolloutFailure
from maestro_eval.registry import EvidenceUse, Registry, Service, render_template
from maestro_eval.skills.models import ask_model
from maestro_eval.skills.pictures import as_jpeg
from maestro_eval.skills.reading import Reading, read_reply

Layout = Literal["after", "beside"]
"""Where the pictures of the evidence are shown: behind all images, or each behind the image that it is made of."""


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

    Pieces are fetched at the same time, but for those that are given others; one that is being fetched is waited for.
    A failure is kept as well: a service that is down is not asked again in the same rollout.
    """

    def __init__(self, registry: Registry, client: ExpertClient, deadline: float | None) -> None:
        self._registry = registry
        self._client = client
        self._deadline = deadline
        self._reports: dict[_Key, _Report] = {}
        self._locks: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sent: dict[str, Image] = {}

    async def sent(self, image: Image) -> Image:
        """One of the sample's images as models are sent it. PictureError where it has to be decoded and cannot be."""
        if self._registry.image_encoding == "original":
            return image
        if image.ref.sha256 not in self._sent:
            self._sent[image.ref.sha256] = await asyncio.to_thread(as_jpeg, image)
        return self._sent[image.ref.sha256]

    async def gather(
        self,
        uses: Sequence[EvidenceUse],
        images: Sequence[Image],
        *,
        question: str = "",
        request: str = "",
        rescale: bool = True,
        layout: Layout = "after",
    ) -> Gathered:
        """What the services in ``uses`` say of ``images``.

        question, request: fill a service's request; the first is the same for the whole rollout.
        rescale: carry boxes over to the original image (``boxes.place``).
        """
        gathered = _Gathering()
        for number in sorted({number for use in uses for number in _numbers(use, len(images))}):
            await self.sent(images[number - 1])
        for wave in _waves(uses):
            asks = [
                self._ask(use, number, images[number - 1], question, request, rescale, gathered.pieces)
                for use in wave
                for number in _numbers(use, len(images))
            ]
            # A dict, so that a picture shown twice is read once.
            fresh = await asyncio.gather(*(self._fetch(ask) for ask in {ask.key: ask for ask in asks}.values()))
            gathered.calls.extend(call for call in fresh if call is not None)
            for ask in asks:
                gathered.add(ask, self._reports[ask.key], self._registry.services[ask.use.service])
        shown = [_shown(piece, use) for piece, use in gathered.pieces]
        pieces = _numbered([piece for piece in shown if piece is not None], images, layout)
        return Gathered(pieces, tuple(gathered.calls), tuple(gathered.missing), gathered.failure)

    def _ask(
        self,
        use: EvidenceUse,
        number: int,
        image: Image,
        question: str,
        request: str,
        rescale: bool,
        pieces: Sequence[tuple[Piece, EvidenceUse]],
    ) -> _Ask:
        entry = self._registry.services[use.service]
        given = [piece for piece, _ in pieces if piece.image == number and piece.service in use.given]
        text = render_template(
            entry.request,
            f"{self._registry.path}: services.{entry.name}.request",
            question=question,
            request=request,
            hint=use.hint,
            evidence=given,
        )
        beside = tuple(piece.picture for piece in given if piece.picture is not None)
        key = _Key(use.service, image.ref.sha256, rescale, text, tuple(picture.ref.sha256 for picture in beside))
        return _Ask(key, use, number, image, beside)

    async def _fetch(self, ask: _Ask) -> ExpertCall | None:
        """The call that it took to have the report, ``None`` when it was there."""
        key = ask.key
        async with self._locks[key]:
            if key in self._reports:
                return None
            entry = self._registry.services[key.service]
            images = [await self.sent(ask.image), *ask.beside]
            call = await ask_model(self._client, self._registry, entry, key.text, images, deadline=self._deadline)
            reading = Reading()
            if not call.error:
                as_jpegs = self._registry.image_encoding == "jpeg"
                reading = await asyncio.to_thread(
                    read_reply, entry, ask.image, call.reply, rescale=key.rescale, as_jpegs=as_jpegs
                )
            self._reports[key] = _Report(call, reading)
            return call


def arrange(images: Sequence[Image], pieces: Sequence[Piece], layout: Layout) -> tuple[Image, ...]:
    """The images with the pictures of the evidence, in the order in which a model is shown them.

    Behind the images, a picture is shown once however many pieces have it.
    """
    if layout == "after":
        pictures = {piece.picture.ref.sha256: piece.picture for piece in pieces if piece.picture is not None}
        return (*images, *pictures.values())
    return tuple(
        image
        for number, original in enumerate(images, start=1)
        for image in (original, *(p.picture for p in pieces if p.image == number and p.picture is not None))
    )


class _Key(Struct, frozen=True):
    """What a report depends on; ``beside`` are the hashes of further images."""

    service: str
    sha256: str
    rescale: bool
    text: str
    beside: tuple[str, ...]


class _Ask(Struct, frozen=True):
    """One use about one image; ``beside`` are pictures of the evidence that it is given."""

    key: _Key
    use: EvidenceUse
    number: int
    image: Image
    beside: tuple[Image, ...]


class _Report(Struct, frozen=True):
    call: ExpertCall
    reading: Reading

    @property
    def missing(self) -> str:
        """Why there is no evidence, ``""`` when there is some."""
        return self.call.error or self.reading.note


class _Gathering:
    """What has been gathered so far."""

    def __init__(self) -> None:
        self.pieces: list[tuple[Piece, EvidenceUse]] = []
        self.calls: list[ExpertCall] = []
        self.missing: list[MissingEvidence] = []
        self.failure: RolloutFailure | None = None

    def add(self, ask: _Ask, report: _Report, service: Service) -> None:
        if report.missing:
            self.missing.append(MissingEvidence(service.name, ask.number, report.missing, report.call.fault))
        elif report.reading.text:
            piece = Piece(service.name, ask.number, report.reading.text, report.reading.picture)
            self.pieces.append((piece, ask.use))
        self.failure = self.failure or _failure(service, report.call)


def _waves(uses: Sequence[EvidenceUse]) -> Iterator[list[EvidenceUse]]:
    """The uses in their order, cut where one needs what those before it found."""
    wave: list[EvidenceUse] = []
    for use in dict.fromkeys(uses):
        if wave and set(use.given) & {earlier.service for earlier in wave}:
            yield wave
            wave = []
        wave.append(use)
    if wave:
        yield wave


def _numbers(use: EvidenceUse, images: int) -> range:
    most = 1 if use.images == "first" else images
    return range(1, min(images, most, use.limit or most) + 1)


def _failure(service: Service, call: ExpertCall) -> RolloutFailure | None:
    if service.optional or not call.error:
        return None
    return RolloutFailure.of_call("service", call, name=service.name)


def _shown(piece: Piece, use: EvidenceUse) -> Piece | None:
    """What of a piece the expert is shown."""
    match use.show:
        case "all":
            return piece
        case "text":
            return replace(piece, picture=None)
        case "picture":
            return replace(piece, text="") if piece.picture is not None else None
        case "nothing":
            return None


def _numbered(pieces: Sequence[Piece], images: Sequence[Image], layout: Layout) -> tuple[Piece, ...]:
    """The pieces, those with a text and a picture saying which of the shown images it is."""
    places: dict[str, int] = {}
    for place, image in enumerate(arrange(images, pieces, layout), start=1):
        if layout == "beside" or place > len(images):
            places.setdefault(image.ref.sha256, place)
    return tuple(
        piece
        if piece.picture is None or not piece.text
        else replace(piece, text=f"{piece.text} See image {places[piece.picture.ref.sha256]}.")
        for piece in pieces
    )
