"""A matplotlib figure as an SVG that can stand in a page: the same bytes for the same data, and nothing fetched.

Text stays text: it can be selected and searched, and is set in the reader's own sans-serif. What is drawn in ``INK``
takes the colour of the text around it, so that a plot is readable on a light page and on a dark one. Names are never
read as mathematics. matplotlib is imported here and only when something is drawn.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from typing import TYPE_CHECKING, Any

from maestro_eval.report.table import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Text, axes and marks: becomes ``currentColor``."""

_SALT = "maestro-eval"
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": _SALT,
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_HEADING = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(r"\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL)
_ROOT = re.compile(r"<svg\b[^>]*>")
_VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(?<=href="#)[^"]+(?=")|(?<=url\(#)[^)]+(?=\))')


def drawing() -> AbstractContextManager[Any]:
    """The settings under which every plot is drawn; ImportError where matplotlib is not installed."""
    import matplotlib

    # Whatever a user's own matplotlibrc says, a plot looks the same.
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "svg"}
    return matplotlib.rc_context(settings | _SETTINGS)


def draw(name: str, title: str, description: str, paint: Callable[[], Figure]) -> str:
    """What ``paint`` draws, as an ``<svg>`` element. ``name`` (our own word) makes its ids its own on a page.

    ``title`` and ``description`` are read out to who cannot see it.
    """
    with drawing(), warnings.catch_warnings():
        # A name in a script that the measuring font lacks is still written, and the reader's font has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = paint()
        file = io.StringIO()
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.06, metadata={"Date": None})
    return _embedded(file.getvalue(), name, title, description)


def standalone(svg: str) -> str:
    """An ``<svg>`` of ``draw`` as a file of its own: dark on white, whatever shows it."""
    body = svg.replace("<svg ", '<svg style="color: #1a1a1a" ', 1)
    end = _ROOT.search(body)
    assert end is not None
    at = end.end()
    paper = '\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body[:at]}{paper}{body[at:]}\n'


def _embedded(text: str, name: str, title: str, description: str) -> str:
    box = _VIEW_BOX.search(text)
    assert box is not None
    width, height = float(box[1]), float(box[2])
    # The style sheet would hold for the whole page; its two rules are inherited from the root as well.
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width / 0.75:.0f}" height="{height / 0.75:.0f}" stroke-linejoin="round" stroke-linecap="butt">\n'
        f' <title id="{name}-title">{escape(printable(title))}</title>\n'
        f' <desc id="{name}-desc">{escape(printable(description))}</desc>'
    )
    text = _STYLE.sub("", _METADATA.sub("", _HEADING.sub("", text)), count=1)
    used = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = _REFERENCE.sub(lambda found: f"{name}-{found[0]}", text)
    text = _ROOT.sub(lambda _: root, text, count=1)
    return text.replace(INK, "currentColor").strip()
