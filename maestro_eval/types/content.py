"""What a message is made of: text that knows where it came from, and images that know their hash."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant"]

Origin = Literal["template", "question", "policy", "observation"]
"""Who wrote a piece of text. Baseline policies and the viewer read it; it never reaches an endpoint."""


class ImageRef(Struct, frozen=True):
    """An image without its pixels: what a journal keeps.

    ``width`` and ``height`` are pixels, ``size`` is the length of the encoded file in bytes.
    """

    sha256: str
    media_type: str
    width: int
    height: int
    size: int


class Image(Struct, frozen=True):
    """An encoded image (PNG, JPEG, …) exactly as its dataset has it; ``data`` hashes to ``ref.sha256``."""

    ref: ImageRef
    data: bytes


class TextPart(Struct, frozen=True, tag="text"):
    """A piece of text and who wrote it."""

    text: str
    origin: Origin = "template"


class ImagePart(Struct, frozen=True, tag="image"):
    """An image in its place among the text."""

    image: Image


Part = TextPart | ImagePart


class Message(Struct, frozen=True):
    """One message of a chat. Adjacent text parts are joined as they stand when sent."""

    role: Role
    parts: tuple[Part, ...]
