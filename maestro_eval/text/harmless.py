"""Keep the text of others from harming: from acting as ours, from acting on a terminal, from having no bytes.

What an expert says is put between our tags and into a chat. Were it allowed to have ``</information>``,
``<answer>`` or a chat template's control token, an expert (or a picture that it transcribes) could end the
observation early, answer in the policy's place, or open a new turn.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Spaces, case and a slash anywhere inside the brackets: chat models forgive them, so forgery may use them.
_TAG = re.compile(r"<(?=[\s/]*(?:search|information|answer|think|tool_call|tool_response)\b)", re.IGNORECASE)
# ChatML, Llama and DeepSeek write <|…|>; Gemma and Mistral words of their own.
_CONTROL = re.compile(r"<(?=\s*[|｜]|[\s/]*(?:(?:start|end)_of_turn|bos|eos|s)\s*>)", re.IGNORECASE)


def neutralise(text: str) -> str:
    """Open our tags (``<answer>``, …) and control tokens (``<|im_end|>``, …) of ``text`` by ``‹`` instead of ``<``.

    Everything else stays as it is; doing it twice changes nothing more.
    """
    return _CONTROL.sub("‹", _TAG.sub("‹", text))


def printable(text: str) -> str:
    """Return ``text`` on one line with plain spaces; control, direction and other invisible characters become "�"."""
    return text if text.isprintable() else "".join(map(_shown, text))


def one_line(text: str) -> str:
    """Return ``text`` as ``printable`` does, with each stretch of white space, line ends included, as one space."""
    return printable(" ".join(text.split()))


def whole_text(text: str) -> str:
    """Join pairs of surrogates in ``text``, and replace halves by U+FFFD: they have no bytes."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole(value: Any) -> Any:
    """Make every text in a JSON value whole."""
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
