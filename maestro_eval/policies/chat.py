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
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from maestro_eval.files import read_pixels
from maestro_eval.records import CallError, Image, Message, RolloutFailure, TextPart

if TYPE_CHECKING:
    import PIL.Image

# Known by name in the processors of transformers; the rest are found among the tokenizer's special tokens.
_PLACEHOLDER_FIELDS = (
    "image_token", "video_token", "audio_token", "vision_start_token", "vision_end_token", "boi_token", "eoi_token",
    "fake_image_token", "global_image_token", "image_break_token", "image_end_token",
)  # fmt: skip
_MEDIA_WORD = re.compile(r"image|img|vision|video|audio", re.IGNORECASE)


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

    def defuse(self, text: str) -> str:
        """``text`` in which no placeholder stands any more; everything else as it is."""
        # Once is enough: no placeholder begins with what replaces one.
        return self._pattern.sub(_opened, text) if self._pattern else text


def chat_of(messages: Sequence[Message], placeholders: Placeholders, *, as_text: bool = False) -> Chat:
    """The chat of ``messages``. ``as_text``: each content is a string, for models that see no images.

    RolloutFailure when there are images and nowhere to put them.
    """
    plain: list[dict[str, Any]] = []
    images: list[Image] = []
    for message in messages:
        content: list[dict[str, str]] = []
        text: list[str] = []
        for part in message.parts:
            if isinstance(part, TextPart):
                text.append(part.text)
                continue
            _end_text(content, text, placeholders)
            content.append({"type": "image"})
            images.append(part.image)
        _end_text(content, text, placeholders)
        plain.append({"role": message.role, "content": content})
    if not as_text:
        return Chat(plain, tuple(images))
    if images:
        detail = f"the model takes no images, and the prompt has {len(images)}"
        raise RolloutFailure("policy", detail, kind="images")
    flat = [{**entry, "content": "".join(part["text"] for part in entry["content"])} for entry in plain]
    return Chat(flat, ())


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
    """What an error says, short enough for a record."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:400] if said else type(error).__name__


def _end_text(content: list[dict[str, str]], text: list[str], placeholders: Placeholders) -> None:
    # Joined before defusing: two parts may make a placeholder together that neither holds.
    joined = _whole("".join(text))
    text.clear()
    if joined:
        content.append({"type": "text", "text": placeholders.defuse(joined)})


def _opened(found: re.Match[str]) -> str:
    return "‹" + found[0][1:]


def _whole(text: str) -> str:
    """``text`` with halves of surrogate pairs replaced: no tokenizer takes them."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def too_long(length: int, context: int) -> RolloutFailure:
    """The failure of a prompt of ``length`` tokens where the model's ``context`` is shorter."""
    detail = f"the prompt has {length} tokens, the model's context {context}; raise max_model_len"
    return RolloutFailure("policy", detail, fault=CallError("context", detail, retriable=False))
