"""Pages from templates: escaping, text made harmless to look at, numbers as tables show them.

Everything is escaped by Jinja2. What escaping leaves (direction marks that reorder a line, control characters, escape
sequences) is shown as what it is.
"""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from maestro_eval.analysis import Estimate

HERE = Path(__file__).parent
EXCERPT = 4000
"""Characters of a text that a page shows at once; the whole is an address of its own."""

SIGNS = {"right": "✓", "wrong": "✗", "partial": "◐", "unjudged": "–"}

_SHOWN_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if code not in (9, 10)} | {0x7F: "␡", 13: ""}
_UNSEEN = ("Cf", "Cc", "Cs", "Co", "Zl", "Zp")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates, with autoescape and strict about names."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "plain": plain,
        "line": line,
        "percent": percent,
        "interval": interval,
        "points": points,
        "span": span,
        "count": count,
        "seconds": seconds,
        "ago": ago,
        "moment": moment,
        "short": short_task,
        "marks": marks,
    }
    made.globals |= {"SIGNS": SIGNS, "dot": dot, "bar": bar}
    return made


def render(template: str, **context: Any) -> str:
    return environment().get_template(template).render(**context)


def plain(text: object) -> str:
    """``text`` with its lines, each invisible or reordering character shown as its number."""
    return _shown(str(text).translate(_SHOWN_CONTROLS))


def line(text: object, longest: int = 200) -> str:
    """``text`` on one line, cut where it is long."""
    shown = _shown(" ".join(str(text)[: 4 * longest].translate(_SHOWN_CONTROLS).split()))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _shown(text: str) -> str:
    if text.isascii():
        return text
    return "".join(
        f"⟨{ord(sign):04X}⟩" if sign not in "\n\t\u200d\ufe0f" and unicodedata.category(sign) in _UNSEEN else sign
        for sign in text
    )


def percent(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def interval(estimate: Estimate) -> str:
    return f"[{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def points(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def span(estimate: Estimate) -> str:
    return f"[{points(estimate.low)}, {points(estimate.high)}]"


def count(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def seconds(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:.1f} h"
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.1f} s" if value >= 0.95 else f"{1000 * value:.0f} ms"


def moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def ago(at: float) -> str:
    """How long ago, in the largest unit that fits."""
    gone = max(0.0, time.time() - at)
    for size, unit in ((86400 * 2, "d"), (3600 * 2, "h"), (120, "min")):
        if gone >= size:
            return f"{gone / {'d': 86400, 'h': 3600, 'min': 60}[unit]:.0f} {unit} ago"
    return "just now"


def short_task(name: str) -> str:
    """A task's name without ``maestro_``, and with "(mini)" where it is generated."""
    short = name.removeprefix("maestro_")
    return line(f"{short.removeprefix('mini_')} (mini)" if short.startswith("mini_") else short, 60)


def marks(verdict: str) -> Markup:
    """A verdict as a sign with its word for those who cannot see it."""
    return Markup(
        '<span class="v v-{0}" title="{0}"><span aria-hidden="true">{1}</span><span class="hide">{0}</span></span>'
    ).format(verdict, SIGNS.get(verdict, "·"))


def dot(estimate: Estimate | Mapping[str, float], low: float = 0.0, high: float = 1.0) -> Markup:
    """An interval with its value on the scale from ``low`` to ``high``; the text beside it says the same."""
    value, begin, end = (
        (estimate["value"], estimate["low"], estimate["high"])
        if isinstance(estimate, Mapping)
        else (estimate.value, estimate.low, estimate.high)
    )

    def at(number: float) -> str:
        return f"{4 + 192 * min(1.0, max(0.0, (number - low) / (high - low))):.1f}"

    zero = f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="0" y2="16"/>' if low < 0 else ""
    return Markup(
        '<svg class="dot" viewBox="0 0 200 16" aria-hidden="true" focusable="false">'
        f'<line class="axis" x1="4" x2="196" y1="8" y2="8"/>{zero}'
        f'<line class="reach" x1="{at(begin)}" x2="{at(end)}" y1="8" y2="8"/>'
        f'<circle cx="{at(value)}" cy="8" r="4.5"/></svg>'
    )


def bar(parts: Mapping[str, int], kind: str = "") -> Markup:
    """Shares of a whole as one bar, in the order given."""
    total = sum(parts.values()) or 1
    at, made = 0.0, []
    for name, number in parts.items():
        width = 200 * number / total
        made.append(
            Markup('<rect class="b-{}" x="{:.2f}" width="{:.2f}" height="10"><title>{}: {}</title></rect>').format(
                name.replace(" ", "-"), at, max(0.0, width - (0.6 if width > 2 else 0)), name, number
            )
        )
        at += width
    return Markup(
        '<svg class="bar {}" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(escape(kind), Markup("").join(made))
