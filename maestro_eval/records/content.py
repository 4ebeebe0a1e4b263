"""The question: a row of a task, and messages of texts that know where they came from and images with their hash."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from msgspec import Struct, field

Role = Literal["system", "user", "assistant"]

Origin = Literal["template", "question", "policy", "observation"]
"""The author of a piece of text. Baseline policies and the viewer read it; it never reaches an endpoint."""


class ImageRef(Struct, frozen=True, gc=False):
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
    """One row of a task, as the journal keeps it and the scorer reads it.

    ``targets`` are the accepted answers (any one is right). ``choices`` are the option texts of a
    multiple-choice question, in order A, B, …; then a target is a letter. ``category`` is what the task
    reports apart, ``stratum`` what its accuracy averages over first, where that is something else (HRBench's
    rotations). ``cluster`` groups samples that are not independent (same image, rotated options). ``fields``
    are the task's own columns that its metric needs (say OCRBench's ``dataset``). ``content_hash`` covers
    question, choices, targets and image bytes: two samples pair only when it is equal. It is ``""`` where the
    images could not be read.
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
    """A sample with its pixels: held only while its rollout runs."""

    sample: Sample
    images: tuple[Image, ...]
