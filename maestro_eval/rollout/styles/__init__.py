"""The conversation styles."""

from maestro_eval.records import Regime, UserError
from maestro_eval.rollout.styles.base import Reading, Style
from maestro_eval.rollout.styles.chat import ChatStyle
from maestro_eval.rollout.styles.released import (
    NO_TOKENIZER,
    STREAM_TEMPLATE,
    ReleasedStyle,
    released_stream,
    render_stream,
)
from maestro_eval.text import load_tokenizer

__all__ = [
    "STREAM_TEMPLATE",
    "ChatStyle",
    "Reading",
    "ReleasedStyle",
    "Style",
    "released_stream",
    "render_stream",
    "style_of",
]


def style_of(regime: Regime) -> Style:
    """Return the style that ``regime`` names, under its rules. UserError if its tokenizer cannot be loaded."""
    if regime.style != "released":
        return ChatStyle(regime)
    if regime.tokenizer in ("estimate", "policy"):
        raise UserError(NO_TOKENIZER.format(regime=regime.name))
    return ReleasedStyle(regime, load_tokenizer(regime.tokenizer))
