"""Makes a table from a chart's marks and its printed text: the label and the value of each mark.

A value is the number printed at the mark, or else it is measured on the linear scale that the axis' printed numbers
define; logarithmic axes are not supported. Marks that cannot be named or measured are omitted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from maestro_eval.embedded.chart_lines import read_lines
from maestro_eval.embedded.chart_marks import Mark, Scale, number_in, scale_of
from maestro_eval.embedded.chart_shapes import Kind, Patch, Rgb, Shapes, foot_of
from maestro_eval.embedded.ocr import TextBox


@dataclass(frozen=True, slots=True)
class Chart:
    kind: Kind
    marks: tuple[Mark, ...]
    texts: tuple[TextBox, ...]


def read_chart(shapes: Shapes, texts: Sequence[TextBox]) -> Chart:
    """Return the table of the chart, given its shapes and its printed text."""
    legend = _legend(shapes, texts)
    named = {id(box) for _, box, _ in legend}
    free = [box for box in texts if id(box) not in named]
    names = {colour: name for colour, _, name in legend}
    if shapes.kind == "pie":
        marks = _read_pie(shapes, free, names)
    elif shapes.kind == "lines":
        marks = read_lines(shapes, free, names)
    else:
        marks = _read_bars(shapes, free, names)
    return Chart(shapes.kind, tuple(marks), tuple(texts))


def _legend(shapes: Shapes, texts: Sequence[TextBox]) -> list[tuple[Rgb, TextBox, str]]:
    """Return the series' names: text right of a small patch in a mark's colour."""
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
            gap = box.x0 - patch.x1  # OCR may include the swatch in the text's box
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
    """Return the words right of the colour's swatch, if OCR has joined several legend entries."""
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
    # If colours have names, the patches of one colour are one slice, split by text; otherwise each patch is a slice.
    slices = list(by_colour.values()) if names else [[p] for p in shapes.marks]
    labels: list[list[TextBox]] = [[] for _ in slices]
    values: list[list[TextBox]] = [[] for _ in slices]
    near = [box for box in texts if _from_box(x, y, box) < 1.35 * radius]
    for home, numeric in ((values, True), (labels, False)):
        boxes = [box for box in near if (number_in(box.text) is not None) is numeric]
        pairs = sorted(
            (_turn(x, y, parts, box), at, i) for at, parts in enumerate(slices) for i, box in enumerate(boxes)
        )
        # Every slice first gets its nearest label; the remaining labels go to the nearest slice.
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
    """Return the angle at the centre between a text and the nearest part of a slice."""
    angle = math.atan2(box.y - y, box.x - x)
    return min(abs(math.remainder(math.atan2(p.mass_y - y, p.mass_x - x) - angle, math.tau)) for p in parts)


def _read_bars(shapes: Shapes, texts: Sequence[TextBox], names: dict[Rgb, str]) -> list[Mark]:
    upright = shapes.kind == "vertical bars"
    groups = _groups(shapes.marks, upright, many=len(names) > 1)
    centres = [sum(_place(p, upright) for p in group) / len(group) for group in groups]
    foot = median([foot_of(p, upright) for p in shapes.marks] if len(groups) == len(shapes.marks) else
                  [max(p.y1 for p in g) if upright else min(p.x0 for p in g) for g in groups])  # fmt: skip
    scale = scale_of(texts, upright=upright)
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
    """Group bars by category: at the wider gaps, or, if all gaps are equal, where a colour recurs."""
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
    """Return the names of series, printed right above the first group's bars."""
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
    """Return the words under each centre: the first row of text below the axis, and a second one of broken labels."""
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
    """Return slanted labels, which end, begin or are centred at their tick: whichever fits all of them best."""

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
    """Return the printed number at the bar's end or inside the bar."""
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


def _measure(patch: Patch, scale: Scale | None, foot: float, upright: bool) -> float | None:
    if scale is None:
        return None
    base = patch.y1 if upright else patch.x0
    tip = patch.y0 if upright else patch.x1
    if abs(base - foot) > 3:  # stacked: only its own part counts
        return abs(scale.slope) * abs(tip - base)
    return scale.at(tip)
