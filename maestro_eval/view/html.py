"""Renders pages from templates, with filters that format numbers and make text safe to display.

Jinja2 escapes everything. Characters that escaping leaves and that could mislead a reader (direction marks, control
characters, escape sequences) are shown as visible codes.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from maestro_eval.report import percent, percent_interval, points, points_interval, scope_title
from maestro_eval.view.answers import Answer
from maestro_eval.view.columns import VERDICTS

HERE = Path(__file__).parent
EXCERPT = 4000
"""Characters of a text that a page shows; the whole text has an address of its own."""

SIGNS = {"right": "✓", "wrong": "✗", "partial": "◐", "unjudged": "–"}

_SHOWN_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if code not in (9, 10)} | {0x7F: "␡", 13: ""}
_UNSEEN = ("Cf", "Cc", "Cs", "Co", "Zl", "Zp")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the compiled templates; they escape by default and reject undefined names."""
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
        "interval": percent_interval,
        "points": points,
        "span": points_interval,
        "count": count,
        "seconds": seconds,
        "ago": ago,
        "moment": moment,
        "short": short,
        "verdict": verdict_of,
    }
    made.globals["SIGNS"] = SIGNS
    # Compiled now, so that no page waits for a template.
    for name in made.list_templates():
        made.get_template(name)
    return made


def render(template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any) -> Answer:
    """Render a template as an answer."""
    body = environment().get_template(template).render(**context)
    return Answer(status, body.encode(), headers=headers or {})


def plain(text: object) -> str:
    """Return ``text`` with each invisible or reordering character shown as its code; newlines stay."""
    return _shown(str(text).translate(_SHOWN_CONTROLS))


def line(text: object, longest: int = 200) -> str:
    """Return ``text`` on one line, cut to ``longest`` characters."""
    shown = _shown(" ".join(str(text)[: 4 * longest].translate(_SHOWN_CONTROLS).split()))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _shown(text: str) -> str:
    if text.isascii():
        return text
    return "".join(
        f"⟨{ord(sign):04X}⟩" if sign not in "\n\t\u200d\ufe0f" and unicodedata.category(sign) in _UNSEEN else sign
        for sign in text
    )


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
    """Return the age of a Unix time in the largest unit that fits."""
    gone = max(0.0, time.time() - at)
    for size, unit in ((86400 * 2, "d"), (3600 * 2, "h"), (120, "min")):
        if gone >= size:
            return f"{gone / {'d': 86400, 'h': 3600, 'min': 60}[unit]:.0f} {unit} ago"
    return "just now"


def short(scope: str, is_mean: bool = False) -> str:
    """Return the name of a task or a group for tables."""
    return line(scope_title(scope, is_mean=is_mean), 60)


def verdict_of(value: float | None) -> str:
    """Return the verdict for a score's value."""
    return VERDICTS[0 if value is None else 3 if value >= 1 else 2 if value > 0 else 1]
