"""How is a policy spoken to? The conversation styles."""

from maestro_eval.records import Regime
from maestro_eval.rollout.styles.base import Reading, Style
from maestro_eval.rollout.styles.chat import ChatStyle
from maestro_eval.rollout.styles.released import ReleasedStyle, released_style
from maestro_eval.rollout.styles.stream import STREAM_TEMPLATE, released_stream, render_stream

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
    """The style that ``regime`` names, under its rules. UserError where its tokenizer cannot be had."""
    return released_style(regime) if regime.style == "released" else ChatStyle(regime)
