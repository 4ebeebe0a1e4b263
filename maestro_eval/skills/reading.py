"""What a service's reply says of an image, by the service's kind.

A reply that cannot be read, or proposes a box that is none, gives a note instead of evidence: it is as good as
missing, and is said to be.
"""

from __future__ import annotations

from msgspec import Struct

from maestro_eval.records import Image
from maestro_eval.registry import Service
from maestro_eval.skills.boxes import MOST_BOXES, Box, find_boxes, place
from maestro_eval.skills.boxes_as_given import called_box, calls_tool, listed_boxes
from maestro_eval.skills.pictures import PictureError, crop, crop_as_given, draw_boxes
from maestro_eval.text import clip, neutralise, spoken

# What a service may add to a prompt; GLM-OCR's own limit on a page.
_MOST_TOKENS = 4096


class Reading(Struct, frozen=True):
    """The evidence in a reply: its ``text`` and perhaps a ``picture``; or a ``note`` of why there is none.

    Neither is no loss: the service found nothing to add.
    """

    text: str = ""
    picture: Image | None = None
    note: str = ""


def read_reply(service: Service, image: Image, reply: str, *, rescale: bool, as_jpegs: bool = False) -> Reading:
    """Read ``reply``. ``rescale`` carries boxes over from the image as Qwen2.5-VL sees it. Blocks: decodes images.

    ``as_jpegs``: crops and drawings are JPEG, as all that this registry's models are sent.
    """
    if service.kind == "text":
        # A picture's own text must not open a turn in the expert's chat.
        text = neutralise(clip(spoken(reply).text, _MOST_TOKENS))
        return Reading(text) if text else Reading(note="the reply is empty")
    try:
        if service.boxes == "as_given":
            return _as_given(service, image, reply)
        return _fitted(service, image, reply, rescale, as_jpegs)
    except PictureError as error:
        return Reading(note=str(error))


def _as_given(service: Service, image: Image, reply: str) -> Reading:
    """Boxes as the released code reads them: the text is the reply itself."""
    if service.kind == "region":
        if not calls_tool(reply):
            return Reading()
        corners = called_box(reply)
        if corners is None:
            return Reading(note="no box in the tool call")
        box = ", ".join(f"{corner:g}" for corner in corners)
        return Reading(f"A close-up of the part ({box}).", crop_as_given(image, corners))
    text = neutralise(clip(reply.strip(), _MOST_TOKENS))
    if not text:
        return Reading(note="the reply is empty")
    return Reading(text, draw_boxes(image, listed_boxes(reply, image.ref.width, image.ref.height), as_jpegs=True))


def _fitted(service: Service, image: Image, reply: str, rescale: bool, as_jpegs: bool) -> Reading:
    boxes = find_boxes(reply)
    if boxes is None:
        return Reading(note="no JSON box in the reply")
    placed = [place(box, image.ref.width, image.ref.height, rescale=rescale) for box in boxes]
    usable = [box for box in placed if box is not None]
    if boxes and not usable:
        return Reading(note="rejected: the box is empty, inverted or outside the image")
    return _detected(image, usable, as_jpegs) if service.kind == "boxes" else _zoomed(image, usable, as_jpegs)


def _detected(image: Image, boxes: list[Box], as_jpegs: bool) -> Reading:
    if not boxes:
        return Reading("No object was found.")
    lines = [f"{number}. {box.label or 'object'}: {box.text()}" for number, box in enumerate(boxes, start=1)]
    more = f" (the first {MOST_BOXES})" if len(boxes) == MOST_BOXES else ""
    size = f"{image.ref.width} × {image.ref.height}"
    head = f"{len(boxes)} objects{more}, each with its box in pixels from the top left corner of {size}:"
    text = "\n".join([head, *lines, "The boxes are drawn with their numbers."])
    return Reading(text, draw_boxes(image, boxes, as_jpegs=as_jpegs))


def _zoomed(image: Image, boxes: list[Box], as_jpegs: bool) -> Reading:
    if not boxes:
        return Reading(note="no box was proposed")
    part = boxes[0]
    size = f"{image.ref.width} × {image.ref.height}"
    return Reading(f"A close-up of the part {part.text()} of {size} pixels.", crop(image, part, as_jpegs=as_jpegs))
