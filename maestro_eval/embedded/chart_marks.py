"""Parses the numbers of a chart's labels, and finds the scale that an axis' numbers define."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from maestro_eval.embedded.chart_shapes import Rgb
from maestro_eval.embedded.ocr import TextBox

_MULTIPLIER = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9}
_NUMBER = re.compile(
    r"([-\u2212\u2013]?)\s?[$€£]?\s?(\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)\s?([A-Za-z]*)"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """One value of the chart; `printed` is its label's text, empty if the value was measured."""

    category: str
    series: str
    value: float
    colour: Rgb
    printed: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale: value = slope x pixel + offset; `ticks` are the ids of the text boxes that define it."""

    slope: float
    offset: float
    ticks: frozenset[int]

    def at(self, pixel: float) -> float:
        return self.slope * pixel + self.offset


def number_in(text: str) -> float | None:
    """Return the number in a label ("60 000", "3.5k", "65 million tonnes", "-4%"); None if it is mostly words."""
    match = _NUMBER.search(text.strip()) if len(text) < 40 else None
    if match is None or re.search(r"[A-Za-z]", text[: match.start() + 1]) or re.search(r"\d", text[match.end() :]):
        return None
    rest = text[match.end() :].strip()
    if len(rest) > 12:
        return None
    value = float(match[2].replace(",", "").replace(" ", "")) * _MULTIPLIER.get(match[3].casefold(), 1.0)
    return -value if match[1] else value


def scale_of(texts: Sequence[TextBox], *, upright: bool) -> Scale | None:
    """Return the scale of numbers in one column (row) that fit their places; None if there are fewer than three."""
    ticks = [(box, value) for box in texts for value in [number_in(box.text)] if value is not None]
    if not upright:
        pieces = [word for box in texts for word in box.words]
        ticks += [(word, value) for word in pieces for value in [number_in(word.text)] if value is not None]
    best: list[tuple[float, float]] = []
    boxes: list[TextBox] = []
    for anchor, _ in ticks:
        if upright:
            row = [tick for tick in ticks if min(abs(tick[0].x1 - anchor.x1), abs(tick[0].x0 - anchor.x0)) < 7]
        else:
            row = [tick for tick in ticks if abs(tick[0].y - anchor.y) < 0.5 * anchor.height]
        agreed = _collinear([(box.y if upright else box.x, value) for box, value in row])
        if len(agreed) > len(best):
            best, boxes = agreed, [box for box, _ in row]
    if len(best) < 3:
        return None
    (p0, v0), (p1, v1) = min(best), max(best)
    slope = (v1 - v0) / (p1 - p0)
    return Scale(slope, v0 - slope * p0, frozenset(id(box) for box in boxes))


def _collinear(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the largest set of ticks on one linear scale, within 2.5 pixels."""
    best: list[tuple[float, float]] = []
    for i, (p0, v0) in enumerate(points):
        for p1, v1 in points[i + 1 :]:
            if abs(p1 - p0) < 8 or v0 == v1:
                continue
            slope = (v1 - v0) / (p1 - p0)
            near = [(p, v) for p, v in points if abs((v - v0) / slope + p0 - p) < 2.5]
            if len({v for _, v in near}) > len({v for _, v in best}):
                best = near
    return best
