"""Measures a line chart: each line's height at the labels of the axis below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maestro_eval.embedded.chart_marks import Mark, number_in, scale_of
from maestro_eval.embedded.chart_shapes import Rgb, Shapes
from maestro_eval.embedded.ocr import TextBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_lines(shapes: Shapes, texts: Sequence[TextBox], names: dict[Rgb, str]) -> list[Mark]:
    """Measure each line at each label, or read the number that is printed there."""
    import numpy as np

    scale = scale_of(texts, upright=True)
    free = [box for box in texts if scale is None or id(box) not in scale.ticks]
    ticks = _ticks_below(free, shapes)
    free = [box for box in free if (box.text, box.x) not in ticks]
    marks = []
    for colour, mask in shapes.traces:
        trace = _trace(shapes, colour, mask)
        name = names.get(colour) or _name_at_end(trace, texts, many=len(shapes.traces) > 1)
        for label, x in ticks:
            near = [px for px, _ in trace if abs(px - x) <= 25]
            if not near or not trace[0][0] - 25 <= x <= trace[-1][0] + 25:
                continue
            y = float(np.interp(x, [px for px, _ in trace], [py for _, py in trace]))
            box = _value_at_point(x, y, free)
            value = number_in(box.text) if box is not None else scale.at(y) if scale is not None else None
            if value is not None:
                marks.append(Mark(label, name, value, colour, box.text if box is not None else ""))
    return marks


def _trace(shapes: Shapes, colour: Rgb, mask: NDArray[np.bool_]) -> list[tuple[int, float]]:
    """Return columns and heights of the line, without its legend swatch and printed words in its colour."""
    import numpy as np

    parts = [p for p in shapes.others if p.colour == colour and p.width > 6 and p.area > 12]
    longest = max(parts, key=lambda p: p.width, default=None)
    if longest is None:
        return []
    low, high = longest.y0, longest.y1
    keep = np.zeros_like(mask)
    for p in parts:
        swatch = p.height <= 8 and p.width < 60 and p is not longest and not low - 4 <= p.y <= high + 4
        if p is longest or not swatch:
            keep[p.y0 : p.y1, p.x0 : p.x1] = True
    kept = mask & keep
    return [(int(x), float(np.flatnonzero(kept[:, x]).mean())) for x in np.flatnonzero(kept.any(axis=0))]


def _ticks_below(texts: Sequence[TextBox], shapes: Shapes) -> list[tuple[str, float]]:
    """Return the labels of the lowest well-filled row of text that spans the lines, each with its place."""
    import numpy as np

    spans = [np.flatnonzero(mask.any(axis=0)) for _, mask in shapes.traces]
    left, right = min(int(s.min()) for s in spans), max(int(s.max()) for s in spans)
    middle = float(np.mean([np.flatnonzero(mask.any(axis=1)).mean() for _, mask in shapes.traces]))
    best: list[TextBox] = []
    for anchor in texts:
        if anchor.y < middle:
            continue
        row = [box for box in texts if abs(box.y - anchor.y) < 0.5 * anchor.height and left - 40 < box.x < right + 40]
        spread = max(b.x1 for b in [*row, anchor]) - min(b.x0 for b in [*row, anchor])
        many, most = (sum(_pieces(box, right - left) for box in boxes) for boxes in (row, best))
        if many >= 3 and many > most and spread > 0.5 * (right - left):
            best = row
    ticks: list[tuple[str, float]] = []
    for box in sorted(best, key=lambda box: box.x0):
        ticks += _split_row(box) if box.words and box.width > 6 * box.height else [(box.text, box.x)]
    return ticks


def _pieces(box: TextBox, span: float) -> int:
    """Count the labels that a box may contain: several only if it spans much of the axis."""
    return len(box.words) if box.words and box.width > 0.4 * span else 1


def _split_row(box: TextBox) -> list[tuple[str, float]]:
    """Split a joined row of labels: "May '20 Jun '20" is two labels of two words if all have the same form."""
    words = box.words
    suffixed = [word.text.startswith("'") or (word.text.isdigit() and at > 0) for at, word in enumerate(words)]
    pairs = len(words) % 2 == 0 and all(suffixed[1::2]) and not any(suffixed[0::2])
    if pairs:
        couples = zip(words[0::2], words[1::2], strict=True)
        return [(f"{a.text} {b.text}", (a.x0 + b.x1) / 2) for a, b in couples]
    return [(word.text, word.x) for word in words]


def _name_at_end(trace: Sequence[tuple[int, float]], texts: Sequence[TextBox], *, many: bool) -> str:
    if not trace or not many:
        return ""
    x, y = trace[-1]
    near = [box for box in texts if number_in(box.text) is None and box.x1 > x - 15 and abs(box.y - y) < 25]
    return min(near, key=lambda box: abs(box.y - y) + abs(box.x0 - x) / 4).text if near else ""


def _value_at_point(x: float, y: float, texts: Sequence[TextBox]) -> TextBox | None:
    near = [
        box for box in texts
        if number_in(box.text) is not None and abs(box.x - x) < 16 and abs(box.y - y) < 2.2 * box.height
    ]  # fmt: skip
    return min(near, key=lambda box: math.hypot(box.x - x, box.y - y), default=None)
