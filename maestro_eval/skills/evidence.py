"""Evidence of services about the images; each report is fetched once per rollout, whatever the number of skills.

A service's reply is read by the service's kind: a text, boxes to draw, or a region to crop.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.models import ExpertClient
from maestro_eval.records import ExpertCall, Image, MissingEvidence, RolloutFailure
from maestro_eval.registry import EvidenceUse, Registry, Service, render_template
from maestro_eval.skills.boxes import MOST_BOXES, Box, called_box, calls_tool, find_boxes, listed_boxes, place
from maestro_eval.skills.models import ask_model
from maestro_eval.skills.pictures import PictureError, as_jpeg, crop, crop_as_given, draw_boxes
from maestro_eval.text import clip, neutralise, spoken

Layout = Literal["after", "beside"]
"""The place of the evidence's pictures: after all images, or each after the image from which it is derived."""


# The most tokens that a service adds to a prompt; GLM-OCR's own limit for a page.
_MOST_TOKENS = 4096


@dataclass
class Gathering:
    """Evidence in the order of services and images, the new calls, and the missing evidence.

    ``failure`` is set if the call of a service that is not optional failed.
    """

    evidence: tuple[Evidence, ...] = ()
    calls: list[ExpertCall] = field(default_factory=list)
    missing: list[MissingEvidence] = field(default_factory=list)
    failure: RolloutFailure | None = None


class EvidenceCache:
    """The evidence of one rollout.

    Reports are fetched in parallel, except those that depend on others; a report in flight is awaited. Failures are
    cached too: a service that is down is not asked again in the same rollout.

    ``zoom_rescale`` converts boxes from the image as a service sees it to the original one (``boxes.place``).
    """

    def __init__(
        self, registry: Registry, client: ExpertClient, deadline: float | None, *, zoom_rescale: bool = True
    ) -> None:
        self.zoom_rescale = zoom_rescale
        self._registry = registry
        self._client = client
        self._deadline = deadline
        self._reports: dict[_Key, _Report] = {}
        self._locks: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sent: dict[str, Image] = {}

    async def sent(self, image: Image) -> Image:
        """Return one of the sample's images as models get it. PictureError if it must be decoded and cannot be."""
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
        layout: Layout = "after",
    ) -> Gathering:
        """Ask the services in ``uses`` about ``images``, unless their reports are cached.

        ``question`` and ``request`` fill a service's prompt; the question is the same for the whole rollout.
        """
        gathering = Gathering()
        found: list[tuple[Evidence, EvidenceUse]] = []
        for number in sorted({number for use in uses for number in _numbers(use, len(images))}):
            await self.sent(images[number - 1])
        for wave in _waves(uses):
            asks = [
                self._ask(use, number, images[number - 1], question, request, [evidence for evidence, _ in found])
                for use in wave
                for number in _numbers(use, len(images))
            ]
            # A dict, so that a repeated picture is asked about once.
            fresh = await asyncio.gather(*(self._fetch(ask) for ask in {ask.key: ask for ask in asks}.values()))
            gathering.calls.extend(call for call in fresh if call is not None)
            for ask in asks:
                report, service = self._reports[ask.key], self._registry.services[ask.use.service]
                call = report.call
                if report.missing:
                    gathering.missing.append(MissingEvidence(service.name, ask.number, report.missing, call.fault))
                elif report.evidence is not None:
                    found.append((replace(report.evidence, service=service.name, image=ask.number), ask.use))
                if call.error and not service.optional and gathering.failure is None:
                    gathering.failure = RolloutFailure.of_call("service", call, name=service.name)
        shown = [part for evidence, use in found if (part := _shown(evidence, use)) is not None]
        gathering.evidence = _numbered(shown, images, layout)
        return gathering

    def _ask(
        self, use: EvidenceUse, number: int, image: Image, question: str, request: str, found: Sequence[Evidence]
    ) -> _Ask:
        entry = self._registry.services[use.service]
        given = [each for each in found if each.image == number and each.service in use.given]
        text = render_template(
            entry.request,
            f"{self._registry.path}: services.{entry.name}.request",
            question=question,
            request=request,
            hint=use.hint,
            evidence=given,
        )
        beside = tuple(each.picture for each in given if each.picture is not None)
        key = _Key(use.service, image.ref.sha256, text, tuple(picture.ref.sha256 for picture in beside))
        return _Ask(key, use, number, image, beside)

    async def _fetch(self, ask: _Ask) -> ExpertCall | None:
        """Fetch a report and return its call; None if it was cached."""
        key = ask.key
        async with self._locks[key]:
            if key in self._reports:
                return None
            entry = self._registry.services[key.service]
            images = [await self.sent(ask.image), *ask.beside]
            call = await ask_model(self._client, self._registry, entry, key.text, images, deadline=self._deadline)
            evidence, missing = None, call.error
            if not missing:
                as_jpegs = self._registry.image_encoding == "jpeg"
                try:
                    evidence = await asyncio.to_thread(
                        read_reply, entry, ask.image, call.reply, rescale=self.zoom_rescale, as_jpegs=as_jpegs
                    )
                except NoEvidence as why:
                    missing = str(why)
            self._reports[key] = _Report(call, evidence, missing)
            return call


def arrange(images: Sequence[Image], evidence: Sequence[Evidence], layout: Layout) -> tuple[Image, ...]:
    """Return the images with the pictures of the evidence, in the order in which a model is shown them.

    In layout ``after``, a picture that several pieces of evidence share is shown once.
    """
    if layout == "after":
        pictures = {each.picture.ref.sha256: each.picture for each in evidence if each.picture is not None}
        return (*images, *pictures.values())
    return tuple(
        image
        for number, original in enumerate(images, start=1)
        for image in (original, *(e.picture for e in evidence if e.image == number and e.picture is not None))
    )


class _Key(Struct, frozen=True):
    """Everything on which a report depends; ``beside`` are the hashes of further images."""

    service: str
    sha256: str
    text: str
    beside: tuple[str, ...]


class _Ask(Struct, frozen=True):
    """One use for one image; ``beside`` are the pictures of the evidence that it depends on."""

    key: _Key
    use: EvidenceUse
    number: int
    image: Image
    beside: tuple[Image, ...]


class _Report(Struct, frozen=True):
    """A call and the evidence in its reply; ``missing`` is the reason if there should be evidence and is none."""

    call: ExpertCall
    evidence: Evidence | None
    missing: str


def _waves(uses: Sequence[EvidenceUse]) -> Iterator[list[EvidenceUse]]:
    """Yield the uses in order, as batches: a use that depends on a service of the current batch begins the next."""
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


def _shown(evidence: Evidence, use: EvidenceUse) -> Evidence | None:
    """Return the part of the evidence that is shown to the expert; None if there is none."""
    match use.show:
        case "all":
            return evidence
        case "text":
            return replace(evidence, picture=None)
        case "picture":
            return replace(evidence, text="") if evidence.picture is not None else None
        case "nothing":
            return None


def _numbered(evidence: Sequence[Evidence], images: Sequence[Image], layout: Layout) -> tuple[Evidence, ...]:
    """Add to each text with a picture the number of that picture among the shown images."""
    places: dict[str, int] = {}
    for number, image in enumerate(arrange(images, evidence, layout), start=1):
        if layout == "beside" or number > len(images):
            places.setdefault(image.ref.sha256, number)
    return tuple(
        each
        if each.picture is None or not each.text
        else replace(each, text=f"{each.text} See image {places[each.picture.ref.sha256]}.")
        for each in evidence
    )


class Evidence(Struct, frozen=True):
    """The report of ``service`` about image number ``image`` (from 1): a text, and perhaps a derived ``picture``."""

    text: str
    picture: Image | None = None
    service: str = ""
    image: int = 0


class NoEvidence(Exception):
    """The one-line reason why a reply cannot be read or its box is invalid. It counts as missing evidence."""


def read_reply(service: Service, image: Image, reply: str, *, rescale: bool, as_jpegs: bool = False) -> Evidence | None:
    """Read ``reply``. Return None if the service has nothing to add; NoEvidence if it cannot be read. Blocks to decode.

    ``rescale`` converts boxes from the image as Qwen2.5-VL sees it. ``as_jpegs`` encodes crops and drawings as JPEG,
    like all images that this registry sends.
    """
    if service.kind == "text":
        # Text in a picture must not open a turn in the expert's chat.
        return Evidence(_text(spoken(reply).text))
    try:
        if service.boxes == "as_given":
            return _as_given(service, image, reply)
        return _fitted(service, image, reply, rescale, as_jpegs)
    except PictureError as error:
        raise NoEvidence(str(error)) from error


def pictures_of(image: Image, reply: str, *, rescale: bool) -> Iterator[Image]:
    """Yield every picture that a reply about ``image`` may have produced, for every kind of service.

    The caller identifies the right one by its hash. Blocks, like ``read_reply``.
    """
    for boxes, kind, as_jpegs in product(("fitted", "as_given"), ("region", "boxes"), (False, True)):
        service = Service.model_construct(kind=kind, boxes=boxes)
        with suppress(NoEvidence):
            evidence = read_reply(service, image, reply, rescale=rescale, as_jpegs=as_jpegs)
            if evidence is not None and evidence.picture is not None:
                yield evidence.picture


def _text(said: str) -> str:
    text = neutralise(clip(said, _MOST_TOKENS))
    if not text:
        raise NoEvidence("the reply is empty")
    return text


def _as_given(service: Service, image: Image, reply: str) -> Evidence | None:
    """Read boxes as the released code does; the text is the reply itself."""
    if service.kind == "region":
        if not calls_tool(reply):
            return None
        corners = called_box(reply)
        if corners is None:
            raise NoEvidence("no box in the tool call")
        box = ", ".join(f"{corner:g}" for corner in corners)
        return Evidence(f"A close-up of the part ({box}).", crop_as_given(image, corners))
    text, boxes = _text(reply.strip()), listed_boxes(reply, image.ref.width, image.ref.height)
    return Evidence(text, draw_boxes(image, boxes, as_jpegs=True))


def _fitted(service: Service, image: Image, reply: str, rescale: bool, as_jpegs: bool) -> Evidence:
    boxes = find_boxes(reply)
    if boxes is None:
        raise NoEvidence("no JSON box in the reply")
    placed = [place(box, image.ref.width, image.ref.height, rescale=rescale) for box in boxes]
    usable = [box for box in placed if box is not None]
    if boxes and not usable:
        raise NoEvidence("rejected: the box is empty, inverted or outside the image")
    return _detected(image, usable, as_jpegs) if service.kind == "boxes" else _zoomed(image, usable, as_jpegs)


def _detected(image: Image, boxes: list[Box], as_jpegs: bool) -> Evidence:
    if not boxes:
        return Evidence("No object was found.")
    lines = [f"{number}. {box.label or 'object'}: {box.text()}" for number, box in enumerate(boxes, start=1)]
    more = f" (the first {MOST_BOXES})" if len(boxes) == MOST_BOXES else ""
    size = f"{image.ref.width} × {image.ref.height}"
    head = f"{len(boxes)} objects{more}, each with its box in pixels from the top left corner of {size}:"
    text = "\n".join([head, *lines, "The boxes are drawn with their numbers."])
    return Evidence(text, draw_boxes(image, boxes, as_jpegs=as_jpegs))


def _zoomed(image: Image, boxes: list[Box], as_jpegs: bool) -> Evidence:
    if not boxes:
        raise NoEvidence("no box was proposed")
    part = boxes[0]
    size = f"{image.ref.width} × {image.ref.height}"
    return Evidence(f"A close-up of the part {part.text()} of {size} pixels.", crop(image, part, as_jpegs=as_jpegs))
