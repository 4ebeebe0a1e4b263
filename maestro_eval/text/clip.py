"""Cuts text to a token budget.

A :class:`Ruler` locates the ends of tokens. Without a tokenizer it estimates 4 characters a token: near enough for
English, low for CJK, and free. With one the count is the model's own, except at the cut: the remaining text may be
tokenized a little differently than it was within the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

from maestro_eval.text.tokenizer import load_tokenizer

ESTIMATE = "estimate"

_CHARACTERS_PER_TOKEN = 4
_CUT = "\n[… {} characters left out …]\n"

Spans = Callable[[str], Sequence[tuple[int, int]]]
"""Maps a text to the characters (begin, end) of each of its tokens."""


class Ruler:
    """Measures text in tokens: by ``spans``, or by estimate without them."""

    def __init__(self, spans: Spans | None = None) -> None:
        self._spans = spans

    def tail_start(self, text: str, tokens: int) -> int:
        """Return where the last ``tokens`` tokens of ``text`` begin; 0 when it has no more than that."""
        if self._spans is None:
            return max(0, len(text) - tokens * _CHARACTERS_PER_TOKEN)
        spans = self._spans(text)
        if len(spans) <= tokens:
            return 0
        if not tokens:
            return len(text)
        # Tokens may share a character (bytes of one emoji): all of it is kept, or nothing.
        return spans[-tokens - 1][1]

    def head_end(self, text: str, tokens: int) -> int:
        """Return where the first ``tokens`` tokens of ``text`` end; its length when it has no more than that."""
        if self._spans is None:
            return min(len(text), tokens * _CHARACTERS_PER_TOKEN)
        spans = self._spans(text)
        return len(text) if len(spans) <= tokens else spans[tokens][0]


_ESTIMATING = Ruler()


@lru_cache(maxsize=8)
def ruler(tokenizer: str = ESTIMATE) -> Ruler:
    """Return the ruler for ``estimate`` or for `load_tokenizer`; UserError when that cannot be loaded."""
    if tokenizer == ESTIMATE:
        return _ESTIMATING
    return Ruler(load_tokenizer(tokenizer).spans)


def estimate_tokens(text: str) -> int:
    """Count the tokens of ``text`` at 4 characters each, rounded up."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def clip(
    text: str,
    tokens: int,
    keep: Literal["ends", "tail"] = "ends",
    *,
    measure: Ruler = _ESTIMATING,
    mark: bool = True,
) -> str:
    """Cut ``text`` to about ``tokens`` tokens; ``mark`` notes in it how much was cut.

    ``ends`` keeps the beginning and the end in equal parts (an odd token goes to the end); ``tail`` keeps the end only.
    """
    begin = measure.tail_start(text, tokens)
    if begin == 0:
        return text
    if keep == "tail":
        return (_CUT.format(begin).lstrip() if mark else "") + text[begin:]
    end = measure.head_end(text, tokens // 2)
    begin = measure.tail_start(text, tokens - tokens // 2)
    return text[:end] + (_CUT.format(begin - end) if mark else "") + text[begin:]
