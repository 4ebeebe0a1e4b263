"""What a message is made of: text that knows where it came from, and images that know their hash."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant"]

Origin = Literal["template", "question", "policy", "observation"]
"""Who wrote a piece of text. Baseline policies and the viewer read it; it never reaches an endpoint."""


class ImageRef(Struct, frozen=True):
    """An image without its pixels: what a journal keeps.

    ``sha256`` and ``size`` (bytes) are those of the file as the dataset has it, ``file`` is its name there where it is
    a file of its own. ``width`` and ``height`` are pixels of the picture when it is upright.
    """

    sha256: str
    media_type: str
    width: int
    height: int
    size: int
    file: str = ""


class Image(Struct, frozen=True, dict=True, weakref=True):
    """An encoded image (PNG, JPEG, …), the same to every reader.

    ``data`` is exactly what the dataset has, and hashes to ``ref.sha256``, except for a picture that engines read in
    different ways (a camera's turn, transparency, 16 bits): that is encoded again as it is to be seen.
    """

    ref: ImageRef
    data: bytes

    @cached_property
    def base64(self) -> bytes:
        """``data`` as Base64, made once and kept as long as the image is."""
        import pybase64

        return pybase64.b64encode(self.data)


class TextPart(Struct, frozen=True, tag="text"):
    """A piece of text and who wrote it."""

    text: str
    origin: Origin = "template"


class ImagePart(Struct, frozen=True, tag="image"):
    """An image in its place among the text."""

    image: Image


Part = TextPart | ImagePart


class Message(Struct, frozen=True):
    """One message of a chat. Adjacent text parts are joined as they stand when sent.

    ``tokens`` are the ids that it adds to the prompt, in a style that appends ids; ``None`` where the chat template
    says what a message becomes.
    """

    role: Role
    parts: tuple[Part, ...]
    tokens: tuple[int, ...] | None = None
