"""Conversion of our messages to a chat template's format, with the images in the template's order.

It serves policies that run their model in this process. The model reads the same as over HTTP: adjacent texts are
joined, images keep their place, and the markers of a text's author are omitted.

A template writes a placeholder for each image, and the processor finds the images' places by these placeholders. One
inside a text (a question about chat templates, or a forgery) would shift every later image, so its ``<`` is replaced by
``‹``, whoever wrote the text. Other control tokens are left to the regime's ``neutralise``, as for an endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.files import read_pixels
from maestro_eval.records import CallError, Image, Message, RolloutFailure
from maestro_eval.text import whole_text

if TYPE_CHECKING:
    import PIL.Image

# These fields of transformers' processors contain placeholders; others are found among the tokenizer's special tokens.
_PLACEHOLDER_FIELDS = (
    "image_token", "video_token", "audio_token", "vision_start_token", "vision_end_token", "boi_token", "eoi_token",
    "fake_image_token", "global_image_token", "image_break_token", "image_end_token",
)  # fmt: skip
_MEDIA_WORD = re.compile(r"image|img|vision|video|audio", re.IGNORECASE)


class Loaded(Struct, frozen=True):
    """Turns messages into a model's prompts; ``context`` is the largest number of tokens of a prompt with its turn."""

    processor: Any
    placeholders: Placeholders
    context: int

    @property
    def tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)


class Chat(Struct, frozen=True):
    """Messages for ``apply_chat_template``; ``images`` are in the order of their placeholders."""

    messages: list[dict[str, Any]]
    images: tuple[Image, ...]


class Placeholders:
    """The tokens that mark images for one processor; ``escape`` removes them from texts."""

    def __init__(self, tokens: Iterable[str]) -> None:
        # Longest first, so that a token which is the beginning of another does not hide it.
        ordered = sorted({token for token in tokens if token}, key=lambda token: (-len(token), token))
        self.tokens = tuple(ordered)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, processor: Any) -> Placeholders:
        """Return the placeholders of a transformers processor (or of a bare tokenizer)."""
        tokenizer = getattr(processor, "tokenizer", processor)
        named = [getattr(processor, field, None) for field in _PLACEHOLDER_FIELDS]
        special = [token for token in tokenizer.all_special_tokens if _MEDIA_WORD.search(token)]
        return cls(token for token in (*named, *special) if isinstance(token, str))

    def escape(self, text: str) -> str:
        """Return ``text`` with every placeholder broken and the rest unchanged."""
        # Once is enough: no placeholder begins with the replacement.
        return self._pattern.sub(_opened, text) if self._pattern else text


def chat_of(messages: Sequence[Message], placeholders: Placeholders, *, as_text: bool = False) -> Chat:
    """Convert ``messages``. ``as_text``: each content is a string, for models without image input.

    RolloutFailure if there are images and the model takes none.
    """
    images = tuple(image for message in messages for image in message.images)
    if as_text and images:
        detail = f"the model takes no images, and the prompt has {len(images)}"
        raise RolloutFailure("policy", detail, kind="images")
    plain: list[dict[str, Any]] = []
    for message in messages:
        # Joined before escaping: two adjacent parts may form a placeholder together.
        content = [
            {"type": "text", "text": placeholders.escape(whole_text(piece))}
            if isinstance(piece, str)
            else {"type": "image"}
            for piece in message.pieces
        ]
        plain.append({"role": message.role, "content": _joined(content) if as_text else content})
    return Chat(plain, images)


def render(chat: Chat, processor: Any, template: str | None = None) -> str:
    """Return the prompt's text with one placeholder per image, ending where the assistant's turn begins.

    ``template`` is the model's own by default. RolloutFailure if it fails, or renders another number of images.
    """
    try:
        own = {} if template is None else {"chat_template": template}
        prompt = processor.apply_chat_template(chat.messages, tokenize=False, add_generation_prompt=True, **own)
    except Exception as error:  # a template is its author's program: whatever it raises is the model's fault
        detail = f"its chat template fails: {one_line(error)}"
        raise RolloutFailure("policy", detail, kind="chat template") from error
    marker = getattr(processor, "image_token", None)
    if isinstance(marker, str) and chat.images and prompt.count(marker) != len(chat.images):
        shown = prompt.count(marker)
        detail = f"its chat template shows {shown} of {len(chat.images)} images"
        raise RolloutFailure("policy", detail, kind="chat template")
    return str(prompt)


def open_image(image: Image) -> PIL.Image.Image:
    """Return the pixels as RGB. RolloutFailure if they cannot be read."""
    import PIL.Image

    try:
        return read_pixels(image.data)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        detail = f"image {image.ref.sha256[:12]} cannot be read: {one_line(error)}"
        raise RolloutFailure("policy", detail, kind="unreadable image") from error


def one_line(error: BaseException) -> str:
    """Return an error as one line, short enough for a record."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:400] if said else type(error).__name__


def _joined(content: Sequence[Mapping[str, str]]) -> str:
    return "".join(part["text"] for part in content)


def _opened(found: re.Match[str]) -> str:
    return "‹" + found[0][1:]


def too_long(length: int, context: int) -> RolloutFailure:
    """Return the failure for a prompt of ``length`` tokens that leaves no room in the model's ``context``."""
    detail = f"the prompt has {length} tokens, the model's context {context}; raise max_model_len"
    return RolloutFailure("policy", detail, fault=CallError("context", detail, retriable=False))
