"""Our messages as a chat template takes them, with the images beside them in the template's order.

For policies that hold their model themselves. What reaches a model is the same as over HTTP: adjacent texts are
joined, images keep their place, and the marks of who wrote a text stay behind.

A template writes a placeholder for each image, and the processor finds images again by those placeholders. A text
that holds one (a question about chat templates, or a forgery) would shift every image after it, so placeholders
inside texts are opened by ``‹`` instead of ``<``, whoever wrote them. Other control tokens are left to the
regime's ``neutralise``, as they are for an endpoint.
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

# Known by name in the processors of transformers; the rest are found among the tokenizer's special tokens.
_PLACEHOLDER_FIELDS = (
    "image_token", "video_token", "audio_token", "vision_start_token", "vision_end_token", "boi_token", "eoi_token",
    "fake_image_token", "global_image_token", "image_break_token", "image_end_token",
)  # fmt: skip
_MEDIA_WORD = re.compile(r"image|img|vision|video|audio", re.IGNORECASE)


class Loaded(Struct, frozen=True):
    """Turns messages into a model's prompts; ``context`` is how many tokens a prompt and its turn may have."""

    processor: Any
    placeholders: Placeholders
    context: int

    @property
    def tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)


class Chat(Struct, frozen=True):
    """``messages`` as ``apply_chat_template`` takes them; ``images`` in the order of their placeholders."""

    messages: list[dict[str, Any]]
    images: tuple[Image, ...]


class Placeholders:
    """The tokens by which one processor marks images, and how to keep them out of texts."""

    def __init__(self, tokens: Iterable[str]) -> None:
        # Longest first, so that a token which begins another does not hide it.
        ordered = sorted({token for token in tokens if token}, key=lambda token: (-len(token), token))
        self.tokens = tuple(ordered)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, processor: Any) -> Placeholders:
        """Those of a transformers processor (or of a bare tokenizer)."""
        tokenizer = getattr(processor, "tokenizer", processor)
        named = [getattr(processor, field, None) for field in _PLACEHOLDER_FIELDS]
        special = [token for token in tokenizer.all_special_tokens if _MEDIA_WORD.search(token)]
        return cls(token for token in (*named, *special) if isinstance(token, str))

    def escape(self, text: str) -> str:
        """``text`` in which no placeholder stands any more; everything else as it is."""
        # Once is enough: no placeholder begins with what replaces one.
        return self._pattern.sub(_opened, text) if self._pattern else text


def chat_of(messages: Sequence[Message], placeholders: Placeholders, *, as_text: bool = False) -> Chat:
    """The chat of ``messages``. ``as_text``: each content is a string, for models that see no images.

    RolloutFailure when there are images and nowhere to put them.
    """
    images = tuple(image for message in messages for image in message.images)
    if as_text and images:
        detail = f"the model takes no images, and the prompt has {len(images)}"
        raise RolloutFailure("policy", detail, kind="images")
    plain: list[dict[str, Any]] = []
    for message in messages:
        # Joined before escaping: two parts may make a placeholder together that neither holds.
        content = [
            {"type": "text", "text": placeholders.escape(whole_text(piece))}
            if isinstance(piece, str)
            else {"type": "image"}
            for piece in message.pieces
        ]
        plain.append({"role": message.role, "content": _joined(content) if as_text else content})
    return Chat(plain, images)


def render(chat: Chat, processor: Any, template: str | None = None) -> str:
    """The prompt's text, one placeholder an image, ready for the assistant's turn; ``None``: by the model's template.

    RolloutFailure for a template that cannot render it, or renders another number of images than there are.
    """
    try:
        own = {} if template is None else {"chat_template": template}
        prompt = processor.apply_chat_template(chat.messages, tokenize=False, add_generation_prompt=True, **own)
    except Exception as error:  # a template is a program of its author's: whatever it raises is the model's fault
        detail = f"its chat template fails: {one_line(error)}"
        raise RolloutFailure("policy", detail, kind="chat template") from error
    marker = getattr(processor, "image_token", None)
    if isinstance(marker, str) and chat.images and prompt.count(marker) != len(chat.images):
        shown = prompt.count(marker)
        detail = f"its chat template shows {shown} of {len(chat.images)} images"
        raise RolloutFailure("policy", detail, kind="chat template")
    return str(prompt)


def open_image(image: Image) -> PIL.Image.Image:
    """The pixels as RGB, as everybody reads them."""
    import PIL.Image

    try:
        return read_pixels(image.data)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        detail = f"image {image.ref.sha256[:12]} cannot be read: {one_line(error)}"
        raise RolloutFailure("policy", detail, kind="unreadable image") from error


def one_line(error: BaseException) -> str:
    """Return an error's text, short enough for a record."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:400] if said else type(error).__name__


def _joined(content: Sequence[Mapping[str, str]]) -> str:
    return "".join(part["text"] for part in content)


def _opened(found: re.Match[str]) -> str:
    return "‹" + found[0][1:]


def too_long(length: int, context: int) -> RolloutFailure:
    """The failure of a prompt of ``length`` tokens where the model's ``context`` is shorter."""
    detail = f"the prompt has {length} tokens, the model's context {context}; raise max_model_len"
    return RolloutFailure("policy", detail, fault=CallError("context", detail, retriable=False))
