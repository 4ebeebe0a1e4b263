"""Fit text into a token budget without a tokenizer."""

from __future__ import annotations

from typing import Literal

_CHARACTERS_PER_TOKEN = 4
_CUT = "\n[… {} characters left out …]\n"


def estimate_tokens(text: str) -> int:
    """Tokens of ``text`` at 4 characters each, rounded up: near enough for English, low for CJK."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def clip(text: str, tokens: int, keep: Literal["ends", "tail"] = "ends") -> str:
    """``text`` within about ``tokens`` tokens, with a mark that says how much is gone.

    ``ends`` keeps the beginning and the end in equal parts, ``tail`` the end only.
    """
    budget = tokens * _CHARACTERS_PER_TOKEN
    if len(text) <= budget:
        return text
    mark = _CUT.format(len(text) - budget)
    if keep == "tail":
        return mark.lstrip() + text[len(text) - budget :]
    head = budget // 2
    return text[:head] + mark + text[len(text) - (budget - head) :]
