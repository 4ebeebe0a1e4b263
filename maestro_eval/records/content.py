"""The question: a row of a task, and messages of texts with their author and images with their hash."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from msgspec import Struct, field

Role = Literal["system", "user", "assistant"]

Origin = Literal["template", "question", "policy", "observation"]
"""The author of a piece of text. Baseline policies and the viewer read it; it never reaches an endpoint."""


class ImageRef(Struct, frozen=True, gc=False):
    """An image without its pixels, as a journal stores it.

    ``sha256`` and ``size`` (bytes) are those of the file as the dataset has it, ``file`` is its name there if it is a
    separate file. ``width`` and ``height`` are pixels of the upright image.
    """

    sha256: str
    media_type: str
    width: int
    height: int
    size: int
    file: str = ""


class Image(Struct, frozen=True, dict=True, weakref=True):
    """An encoded image (PNG, JPEG, …), the same to every reader.

    ``data`` is exactly what the dataset has, and hashes to ``ref.sha256``. The exception is an image that engines
    decode differently (EXIF orientation, transparency, 16 bits): it is encoded again as it should be seen.
    """

    ref: ImageRef
    data: bytes

    @cached_property
    def base64(self) -> bytes:
        """``data`` as Base64, computed once and stored as long as the image is."""
        import pybase64

        return pybase64.b64encode(self.data)


class TextPart(Struct, frozen=True, tag="text"):
    """A piece of text and its author."""

    text: str
    origin: Origin = "template"


class ImagePart(Struct, frozen=True, tag="image"):
    """An image in its place among the text."""

    image: Image


Part = TextPart | ImagePart


class Message(Struct, frozen=True):
    """One message of a chat. Adjacent text parts are joined unchanged when sent.

    ``tokens`` are the ids that it adds to the prompt, in a style that appends ids; ``None`` if the chat template
    renders the message.
    """

    role: Role
    parts: tuple[Part, ...]
    tokens: tuple[int, ...] | None = None

    @property
    def text(self) -> str:
        """All its text."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[Image, ...]:
        """Its images, in the order sent."""
        return tuple(part.image for part in self.parts if isinstance(part, ImagePart))

    @property
    def pieces(self) -> list[str | Image]:
        """Its texts and images in the order sent: adjacent texts joined, empty ones left out."""
        pieces: list[str | Image] = []
        for part in self.parts:
            if isinstance(part, ImagePart):
                pieces.append(part.image)
            elif pieces and isinstance(pieces[-1], str):
                pieces[-1] += part.text
            elif part.text:
                pieces.append(part.text)
        return pieces


class Sample(Struct, frozen=True, gc=False):
    """One row of a task, as the journal stores it and the scorer reads it.

    ``targets`` are the accepted answers (any one is right). ``choices`` are the option texts of a multiple-choice
    question, in order A, B, …; then a target is a letter. ``category`` is what the task reports separately, ``stratum``
    what its accuracy averages over first, if that differs (HRBench's rotations). ``cluster`` groups samples that are
    not independent (same image, rotated options). ``fields`` are the task's own columns that its metric needs (for
    example OCRBench's ``dataset``). ``content_hash`` covers question, choices, targets and image bytes: two samples
    pair only when it is equal. It is ``""`` if the images could not be read.
    """

    task: str
    sample_id: str
    question: str
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    images: tuple[ImageRef, ...] = ()
    category: str = ""
    stratum: str = ""
    cluster: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    content_hash: str = ""


class LoadedSample(Struct, frozen=True):
    """A sample with its pixels; exists only while its rollout runs."""

    sample: Sample
    images: tuple[Image, ...]
