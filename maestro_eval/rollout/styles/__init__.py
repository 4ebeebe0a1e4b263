"""How is a policy spoken to? The conversation styles."""

from maestro_eval.rollout.styles.base import Reading, Style
from maestro_eval.rollout.styles.chat import ChatStyle
from maestro_eval.types import Regime

__all__ = ["ChatStyle", "Reading", "Style", "style_of"]


def style_of(regime: Regime) -> Style:
    """The style that ``regime`` names, under its rules."""
    return ChatStyle(regime)
