"""The terminal's tables as an SVG picture, for a README or a slide.

The picture is self-contained: rich's link to a web font is taken out, so that a browser which shows it fetches
nothing. The same comparison gives the same bytes.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.files import write_atomic
from maestro_eval.report.terminal import draw

if TYPE_CHECKING:
    from maestro_eval.analysis import Comparison

_WEB_FONT = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def write_svg(path: Path, comparison: Comparison, width: int = 100) -> None:
    """Write ``render_svg(comparison, width)`` to ``path``, whole or not at all."""
    write_atomic(path, render_svg(comparison, width))


def render_svg(comparison: Comparison, width: int = 100) -> str:
    """``comparison`` as a terminal of ``width`` columns would show it."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        record=True,
        width=width,
        highlight=False,
        markup=False,
        force_terminal=True,
        color_system="truecolor",
        _environ={},
    )
    draw(comparison, console)
    return _WEB_FONT.sub("", console.export_svg(title="maestro-eval"))
