"""From a chart's marks and its printed text to a table: what each mark is called and which value it shows.

A value is the number printed at the mark where there is one, else it is measured on the linear scale that the axis'
printed numbers define; logarithmic axes are not known. Marks that cannot be named or measured are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from maestro_eval.embedded.chart_shapes import Kind, Patch, Rgb, Shapes, foot_of
from maestro_eval.embedded.ocr import TextBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Chart", "Mark", "number_in", "read_chart"]

_MULTIPLIER = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9}
_NUMBER = re.compile(
    r"([-\u2212\u2013]?)\s?[$€£]?\s?(\d{1,3}(?:[ ,]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)\s?([A-Za-z]*)"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """One value of the chart; `printed` is its label's text, empty when the value was measured."""

    category: str
    series: str
    value: float
    colour: Rgb
    printed: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    kind: Kind
    marks: tuple[Mark, ...]
    texts: tuple[TextBox, ...]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Value = slope x pixel + offset; `ticks` are the ids of the text boxes it was read from."""

    slope: float
    offset: float
    ticks: frozenset[int]

    def at(self, pixel: float) -> float:
        return self.slope * pixel + self.offset


def read_chart(shapes: Shapes, texts: Sequence[TextBox]) -> Chart:
    """The table of the chart, given its shapes and its printed text."""
    legend = _legend(shapes, texts)
    named = {id(box) for _, box, _ in legend}
    free = [box for box in texts if id(box) not in named]
    names = {colour: name for colour, _, name in legend}
    if shapes.kind == "pie":
        marks = _read_pie(shapes, free, names)
    elif shapes.kind == "lines":
        marks = _read_lines(shapes, free, names)
    else:
        marks = _read_bars(shapes, free, names)
    return Chart(shapes.kind, tuple(marks), tuple(texts))


def number_in(text: str) -> float | None:
    """The number that a label states ("60 000", "3.5k", "65 million tonnes", "-4%"); None if it is mostly words."""
    match = _NUMBER.search(text.strip()) if len(text) < 40 else None
    if match is None or re.search(r"[A-Za-z]", text[: match.start() + 1]) or re.search(r"\d", text[match.end() :]):
        return None
    rest = text[match.end() :].strip()
    if len(rest) > 12:
        return None
    value = float(match[2].replace(",", "").replace(" ", "")) * _MULTIPLIER.get(match[3].casefold(), 1.0)
    return -value if match[1] else value


def _legend(shapes: Shapes, texts: Sequence[TextBox]) -> list[tuple[Rgb, TextBox, str]]:
    """The series' names: text right of a small patch in a mark's colour."""
    colours = {p.colour for p in shapes.marks} | {colour for colour, _ in shapes.traces}
    found: dict[Rgb, tuple[int, TextBox]] = {}
    thin = shapes.kind == "lines"
    for patch in shapes.others:
        if patch.colour not in colours or patch.width > 60 or patch.height > 40:
            continue
        if any(m.x0 <= patch.x <= m.x1 and m.y0 <= patch.y <= m.y1 for m in shapes.marks):
            continue
        if patch.width < 5 or (not thin and (patch.solidity < 0.6 or patch.height < 5)):
            continue
        for box in texts:
            gap = box.x0 - patch.x1  # the reader may take the swatch into the text's box
            level = abs(box.y - patch.y) < 0.5 * box.height and patch.height < 1.6 * box.height
            own = box.x0 > patch.x0 - 8 and gap < 30 and box.x1 > patch.x1 + 6
            beside = own or any(-8 <= word.x0 - patch.x1 < 30 for word in box.words)
            if thin and number_in(box.text) is not None:
                continue
            if level and beside and (patch.colour not in found or patch.area > found[patch.colour][0]):
                found[patch.colour] = (patch.area, box)
    pairs = [(colour, box) for colour, (_, box) in found.items()]
    boxes = [box for _, box in pairs]
    return [
        (colour, box, _own_part(shapes, colour, box) if boxes.count(box) > 1 else box.text) for colour, box in pairs
    ]


def _own_part(shapes: Shapes, colour: Rgb, box: TextBox) -> str:
    """The words right of the colour's swatch, where the reader has joined several legend entries."""
    swatches = sorted(
        p.x1 for p in shapes.others if abs(p.y - box.y) < 0.5 * box.height and p.width < 60 and p.height > 4
    )
    mine = max((p.x1 for p in shapes.others if p.colour == colour and abs(p.y - box.y) < 0.5 * box.height), default=0)
    following = [x for x in swatches if x > mine + 8]
    words = [word for word in box.words if word.x > mine and (not following or word.x < following[0])]
    return " ".join(word.text for word in words) or box.text


def _read_pie(shapes: Shapes, texts: Sequence[TextBox], names: dict[Rgb, str]) -> list[Mark]:
    whole = sum(p.area for p in shapes.marks)
    x = (min(p.x0 for p in shapes.marks) + max(p.x1 for p in shapes.marks)) / 2
    y = (min(p.y0 for p in shapes.marks) + max(p.y1 for p in shapes.marks)) / 2
    radius = (max(p.x1 for p in shapes.marks) - min(p.x0 for p in shapes.marks)) / 2
    by_colour: dict[Rgb, list[Patch]] = {}
    for patch in shapes.marks:
        by_colour.setdefault(patch.colour, []).append(patch)
    # A split slice (text across it) is one slice where each colour has a name, else each patch is its own.
    slices = list(by_colour.values()) if names else [[p] for p in shapes.marks]
    labels: list[list[TextBox]] = [[] for _ in slices]
    values: list[list[TextBox]] = [[] for _ in slices]
    near = [box for box in texts if _from_box(x, y, box) < 1.35 * radius]
    for home, numeric in ((values, True), (labels, False)):
        boxes = [box for box in near if (number_in(box.text) is not None) is numeric]
        pairs = sorted(
            (_turn(x, y, parts, box), at, i) for at, parts in enumerate(slices) for i, box in enumerate(boxes)
        )
        # Every slice first takes its own nearest label; what is left over goes to the nearest slice.
        left = set(range(len(boxes)))
        for spare in (False, True):
            for turn, at, i in pairs:
                close = not spare or (not numeric and _from_box(x, y, boxes[i]) < 1.18 * radius)
                if i in left and turn < 0.6 and (spare or not home[at]) and close:
                    home[at].append(boxes[i])
                    left.discard(i)
    marks = []
    for at, parts in enumerate(slices):
        name = names.get(parts[0].colour) or " ".join(box.text for box in labels[at])
        share = 100 * sum(p.area for p in parts) / whole
        printed, inline = (values[at][0].text if values[at] else ""), re.search(r"\d+(?:\.\d+)?\s?%", name)
        if not printed and inline:
            printed, name = inline.group(), name.replace(inline.group(), "").strip(" :()")
        value = number_in(printed) if printed else None
        marks.append(Mark(name, "", share if value is None else value, parts[0].colour, printed))
    return [mark for mark in marks if mark.category] or marks


def _from_box(x: float, y: float, box: TextBox) -> float:
    return math.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


def _turn(x: float, y: float, parts: Sequence[Patch], box: TextBox) -> float:
    """The angle at the centre between a text and the nearest part of a slice."""
    angle = math.atan2(box.y - y, box.x - x)
    return min(abs(math.remainder(math.atan2(p.mass_y - y, p.mass_x - x) - angle, math.tau)) for p in parts)


def _read_bars(shapes: Shapes, texts: Sequence[TextBox], names: dict[Rgb, str]) -> list[Mark]:
    upright = shapes.kind == "vertical bars"
    groups = _groups(shapes.marks, upright, many=len(names) > 1)
    centres = [sum(_place(p, upright) for p in group) / len(group) for group in groups]
    foot = median([foot_of(p, upright) for p in shapes.marks] if len(groups) == len(shapes.marks) else
                  [max(p.y1 for p in g) if upright else min(p.x0 for p in g) for g in groups])  # fmt: skip
    scale = _scale(texts, upright=upright)
    free = [box for box in texts if scale is None or id(box) not in scale.ticks]
    labels = _labels_below(free, centres, foot) if upright else _labels_left(free, groups, foot)
    if not names and any(len(group) > 1 for group in groups):
        names = _column_heads(groups[0], free)
    if names and not any(labels):
        labels = [names.get(group[0].colour, "") for group in groups]
    marks = []
    taken: set[int] = set()
    for group, label in zip(groups, labels, strict=True):
        for patch in group:
            box = _value_box(patch, free, upright, taken)
            measured = _measure(patch, scale, foot, upright)
            value = number_in(box.text) if box is not None else measured
            if box is not None:
                taken.add(id(box))
            if value is None:
                continue
            series = names.get(patch.colour, "") if len(group) > 1 or label != names.get(patch.colour) else ""
            marks.append(Mark(label, series, value, patch.colour, box.text if box is not None else ""))
    return marks


def _groups(marks: Sequence[Patch], upright: bool, *, many: bool) -> list[list[Patch]]:
    """Bars that share a category: by the wider gaps, or, where all gaps are alike, by the return of a colour."""
    ordered = sorted(marks, key=lambda p: _place(p, upright))
    gaps = [max(0, (b.x0 - a.x1) if upright else (b.y0 - a.y1)) for a, b in pairwise(ordered)]
    apart = [(b.x0 >= a.x1 - 2) if upright else (b.y0 >= a.y1 - 2) for a, b in pairwise(ordered)]
    side_by_side = [gap for gap, free in zip(gaps, apart, strict=True) if free]
    limit = (min(side_by_side) + max(side_by_side)) / 2 if side_by_side else 0.0
    clear = bool(side_by_side) and max(side_by_side) > 1.6 * min(side_by_side) + 3
    stacked = not all(apart)
    groups: list[list[Patch]] = [[ordered[0]]]
    for at, patch in enumerate(ordered[1:]):
        repeated = any(patch.colour == other.colour for other in groups[-1])
        if not apart[at] or (many and not stacked and (gaps[at] <= limit if clear else not repeated)):
            groups[-1].append(patch)
        else:
            groups.append([patch])
    return groups


def _place(patch: Patch, upright: bool) -> float:
    return patch.x if upright else patch.y


def _column_heads(group: Sequence[Patch], texts: Sequence[TextBox]) -> dict[Rgb, str]:
    """Series named by words right above the first group's bars."""
    heads: dict[Rgb, str] = {}
    for patch in group:
        above = [
            box for box in texts
            if number_in(box.text) is None and 0 < patch.y0 - box.y < 3 * box.height
            and box.x0 < patch.x1 and box.x1 > patch.x0 and box.width < 2.5 * patch.width
        ]  # fmt: skip
        if above:
            heads[patch.colour] = min(above, key=lambda box: abs(box.x - patch.x)).text
    return heads


def _labels_below(texts: Sequence[TextBox], centres: Sequence[float], foot: float) -> list[str]:
    """The words under each centre: the first row of text below the axis, and a second one if labels are broken."""
    below = sorted((box for box in texts if box.y > foot), key=lambda box: box.y0)
    spacing = min((b - a for a, b in pairwise(centres)), default=100.0)
    below = [box for box in below if centres[0] - spacing < box.x < centres[-1] + spacing]
    if not below:
        return ["" for _ in centres]
    first = [box for box in below if box.y0 < below[0].y0 + 0.6 * min(box.height, below[0].height)]
    second = [box for box in below if box not in first and box.y0 < max(one.y1 for one in first) + 0.4 * box.height]
    rows = [*first, *(second if len(second) > 1 or len(first) < len(centres) / 2 else [])]
    if all(box.height > 0.45 * box.width for box in first) and sum(len(box.text) for box in first) > 5 * len(first):
        return _tilted_labels(first, centres)
    found: list[list[str]] = [[] for _ in centres]
    for box in rows:
        pieces = box.words if box.words and box.width > 1.3 * spacing else (box,)
        for piece in pieces:
            at = min(range(len(centres)), key=lambda i: abs(centres[i] - piece.x))
            if abs(centres[at] - piece.x) < 0.75 * spacing:
                found[at].append(piece.text)
    return [" ".join(words) for words in found]


def _tilted_labels(boxes: Sequence[TextBox], centres: Sequence[float]) -> list[str]:
    """Slanted labels end, begin or are centred at their tick: whichever fits all of them best."""

    def misfit(share: float) -> float:
        return sum(min(abs(c - (box.x0 + share * box.width)) for c in centres) for box in boxes)

    share = min((0.5, 0.9, 0.1), key=misfit)
    found = ["" for _ in centres]
    for box in boxes:
        at = min(range(len(centres)), key=lambda i: abs(centres[i] - (box.x0 + share * box.width)))
        found[at] = box.text
    return found


def _labels_left(texts: Sequence[TextBox], groups: Sequence[Sequence[Patch]], foot: float) -> list[str]:
    spans = [(min(p.y0 for p in group), max(p.y1 for p in group)) for group in groups]
    found: list[list[TextBox]] = [[] for _ in groups]
    middles = [(low + high) / 2 for low, high in spans]
    spacing = min((b - a for a, b in pairwise(middles)), default=100.0)
    for box in texts:
        if box.x1 > foot + 8 or box.height > 1.5 * box.width or (box.text.isdigit() and len(box.text) < 4):
            continue
        at = min(range(len(groups)), key=lambda i: abs(middles[i] - box.y))
        if abs(middles[at] - box.y) < 0.5 * spacing:
            found[at].append(box)
    return [" ".join(box.text for box in sorted(boxes, key=lambda box: box.y)) for boxes in found]


def _value_box(patch: Patch, texts: Sequence[TextBox], upright: bool, taken: set[int]) -> TextBox | None:
    """The printed number at the bar's end or within it."""
    best: tuple[float, TextBox] | None = None
    for box in texts:
        if id(box) in taken or number_in(box.text) is None:
            continue
        if upright:
            level = abs(box.x - patch.x) < max(0.5 * patch.width, 6)
            distance = abs(box.y1 - patch.y0) if box.y < patch.y0 else abs(box.y - patch.y) / 2
            inside = patch.y0 <= box.y <= patch.y1
            level = level and box.y <= patch.y1
        else:
            level = abs(box.y - patch.y) < max(0.5 * patch.height, 5)
            distance = abs(box.x0 - patch.x1) if box.x > patch.x1 else abs(box.x - patch.x) / 2
            inside = patch.x0 <= box.x <= patch.x1
            level = level and box.x >= patch.x0
        near = inside or distance < 1.1 * box.height + 6
        if level and near and (best is None or distance < best[0]):
            best = (distance, box)
    return None if best is None else best[1]


def _measure(patch: Patch, scale: _Scale | None, foot: float, upright: bool) -> float | None:
    if scale is None:
        return None
    base = patch.y1 if upright else patch.x0
    tip = patch.y0 if upright else patch.x1
    if abs(base - foot) > 3:  # stacked: only its own part counts
        return abs(scale.slope) * abs(tip - base)
    return scale.at(tip)


def _scale(texts: Sequence[TextBox], *, upright: bool) -> _Scale | None:
    """The scale of the numbers that stand in one column (row) and agree with their places."""
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
    return _Scale(slope, v0 - slope * p0, frozenset(id(box) for box in boxes))


def _collinear(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The largest set of ticks on one straight scale, within two pixels and a half."""
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


def _read_lines(shapes: Shapes, texts: Sequence[TextBox], names: dict[Rgb, str]) -> list[Mark]:
    import numpy as np

    scale = _scale(texts, upright=True)
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
    """Column and height of the line, without its legend swatch and without printed words in its colour."""
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
    """The labels of the lowest well-filled row of text that spans the lines, each with its place."""
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
    """How many labels a box may hold: several only if it runs along much of the axis."""
    return len(box.words) if box.words and box.width > 0.4 * span else 1


def _split_row(box: TextBox) -> list[tuple[str, float]]:
    """A joined row of labels taken apart: "May '20 Jun '20" is two labels of two words if all begin alike."""
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
