"""Makes foreign text harmless: it cannot act as our tags, control a terminal, or fail to encode.

An expert's reply is inserted between our tags and into a chat. With ``</information>``, ``<answer>`` or a chat
template's control token in it, an expert (or an image that it transcribes) could end the observation early, answer in
the policy's place, or open a new turn.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Spaces, case and a slash anywhere inside the brackets: chat models accept them, so a forgery may use them.
_TAG = re.compile(r"<(?=[\s/]*(?:search|information|answer|think|tool_call|tool_response)\b)", re.IGNORECASE)
# ChatML, Llama and DeepSeek write <|…|>; Gemma and Mistral other words.
_CONTROL = re.compile(r"<(?=\s*[|｜]|[\s/]*(?:(?:start|end)_of_turn|bos|eos|s)\s*>)", re.IGNORECASE)


def neutralise(text: str) -> str:
    """Replace the ``<`` of our tags (``<answer>``, …) and of control tokens (``<|im_end|>``, …) in ``text`` by ``‹``.

    Everything else stays unchanged; a second application changes nothing.
    """
    return _CONTROL.sub("‹", _TAG.sub("‹", text))


def printable(text: str) -> str:
    """Return ``text`` on one line with plain spaces; control, direction and other invisible characters become "�"."""
    return text if text.isprintable() else "".join(map(_shown, text))


def one_line(text: str) -> str:
    """Return ``text`` as ``printable`` does, with each stretch of white space, line ends included, as one space."""
    return printable(" ".join(text.split()))


def whole_text(text: str) -> str:
    """Join surrogate pairs in ``text``, and replace lone surrogates, which cannot be encoded, by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole(value: Any) -> Any:
    """Apply ``whole_text`` to every text in a JSON value."""
    match value:
        case str():
            return whole_text(value)
        case list():
            return [whole(item) for item in value]
        case dict():
            return {whole(key): whole(item) for key, item in value.items()}
    return value


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else "�"
