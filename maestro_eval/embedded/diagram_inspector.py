"""Answers questions about simple diagrams: crossings, touching circles, squares, grids, rings, a circled letter, maps.

The words of the question alone choose the kind, before any pixel is read, and the picture must then be a drawing of
that kind: pictures of filled shapes, photographs and charts are refused. OCR runs for the circled letter only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import cv2
import numpy as np

from maestro_eval.embedded.ask import Ask, cannot_tell, state
from maestro_eval.embedded.colours import Pixels, background, find_names
from maestro_eval.embedded.line_paths import crossings, find_labels, joining_colours, line_colours
from maestro_eval.embedded.ocr import read_text
from maestro_eval.embedded.outlines import count_outlines, count_squares, grid_size, ink, is_line_art, two_discs

__all__ = ["answer"]

_MOST_PIXELS = 2_200_000
_LONGEST_QUESTION = 2000

_COUNT = re.compile(r"\b(?:how many|how often|how much|count|number of|total)\b")
_MEET = re.compile(r"\b(?:cross\w*|intersect\w*|meet\w*|touch\w*)\b")
_LINES = re.compile(r"\b(?:lines?|curves?|polylines?|plots?|paths?)\b")
_TWO_ROUND = re.compile(r"\b(?:circles|discs|disks|dots|balls)\b")
_CONTACT = re.compile(r"\b(?:touch\w*|overlap\w*|intersect\w*|tangent|contact|apart|separate\w*|gap)\b")
_OVERLAP = re.compile(r"\b(?:overlap\w*|intersect\w*)\b")
_APART = re.compile(r"\b(?:apart|separate\w*|gap)\b")
_ROWS, _COLUMNS = re.compile(r"\brows?\b"), re.compile(r"\bcolumns?\b")
_LETTER = re.compile(r"\b(?:letter|character|glyph)s?\b")
_OPTION_LETTER = re.compile(r"\bletter of (?:the|your) (?:\w+ )?(?:option|choice|answer)|\boption(?:'s)? letter")
_RING = re.compile(r"\b(?:oval|ellipse|circled|circle (?:around|about)|encircled|ring(?:ed)?|highlight\w*)\b")
_ROUTES = re.compile(r"\b(?:routes?|paths?|lines?|connections?|tracks?|ways?)\b")
_ONE_COLOUR = re.compile(r"\b(?:one|single|same)[- ]?(?:colou?r(?:ed)?)\b|\bsubway\b|\bmetro\b|\bstations?\b")
_STATIONS = re.compile(r"(?<![\w{(])([A-Z])(?![\w'])")
_SHAPES = re.compile(r"\b(circle|ring|pentagon|hexagon|triangle)s\b")
_FILLED_SCENE = re.compile(r"\b(?:left|right|above|below|larger|smaller|bigger|filled|solid)\b")

_LOOK_ALIKES = str.maketrans("01i|5", "ollls")
_WIDTHS = {
    **dict.fromkeys("ijlI.,'|", 0.25), **dict.fromkeys("tfr", 0.3), **dict.fromkeys("ckszvxyJ", 0.5),
    **dict.fromkeys("mM", 0.83), **dict.fromkeys("W", 0.94), **dict.fromkeys("GOQ", 0.78),
    **dict.fromkeys("wCDHNRU", 0.72), **dict.fromkeys("ABEKPSVXY", 0.66), **dict.fromkeys("FTZ", 0.61),
}  # fmt: skip
"""Widths of letters in common sans-serif faces, as parts of the type size; others are near 0.56."""


def answer(ask: Ask) -> str:
    """Return the reply to a question about a diagram, or a refusal."""
    measure = _kind(ask.question)
    if measure is None:
        return cannot_tell("this is no question about crossings, touching shapes, grids, a circled letter or a map")
    if not ask.images:
        return cannot_tell("there is no picture")
    image = _within_bounds(ask.images[0])
    if min(image.shape[:2]) < 16:
        return cannot_tell("the picture is too small")
    return measure(ask.question, image)


def _kind(question: str) -> Callable[[str, Pixels], str] | None:
    """Choose the measurement by the words of the question; None if they fit no kind."""
    words = _OPTION_LETTER.sub("option", question[:_LONGEST_QUESTION].lower())
    counts = bool(_COUNT.search(words))
    if _ROWS.search(words) and _COLUMNS.search(words):
        return _grid
    if _LETTER.search(words) and _RING.search(words):
        return _circled_letter
    if counts and _ROUTES.search(words) and _ONE_COLOUR.search(words) and len(_stations(question)) == 2:
        return _subway
    if _LINES.search(words) and _MEET.search(words) and not _TWO_ROUND.search(words):
        return _crossings
    if _TWO_ROUND.search(words) and _CONTACT.search(words) and not counts:
        return _contact
    if counts and not _FILLED_SCENE.search(words) and not find_names(words):
        if re.search(r"\bsquares\b", words):
            return _squares
        if _SHAPES.search(words):
            return _rings
    return None


def _crossings(question: str, image: Pixels) -> str:
    names = list(dict.fromkeys(find_names(question)))[:2]
    found = line_colours(image, names if len(names) == 2 else [])
    if len(found) != 2:
        return cannot_tell("the picture does not show two lines of two colours")
    if any(np.count_nonzero(paint.mask) > 0.2 * paint.mask.size for paint in found):
        return cannot_tell("the coloured parts of the picture are no lines")
    first, second = found
    times = crossings(first, second)
    return state(question, str(times), f"The two coloured lines meet {_times(times)}.")


def _contact(question: str, image: Pixels) -> str:
    pair = two_discs(image)
    if pair is None:
        return cannot_tell("the picture does not show two circles")
    first, second = pair
    gap = math.hypot(first.x - second.x, first.y - second.y) - first.radius - second.radius
    words = question.lower()
    # A gap or an overlap of about a pixel is not visible.
    slack = 1.25 + 0.004 * (first.radius + second.radius)
    is_yes = gap < -slack if _OVERLAP.search(words) else gap <= slack
    if _APART.search(words):
        is_yes = gap > slack
    seen = f"are {gap:.0f} pixels apart" if gap > slack else "overlap" if gap < -slack else "just touch"
    return state(question, "Yes" if is_yes else "No", f"The two circles {seen}.")


def _squares(question: str, image: Pixels) -> str:
    mask = ink(image)
    count = count_squares(mask) if is_line_art(mask) else None
    if count is None:
        return cannot_tell("the picture shows no outlines of squares")
    return state(question, str(count), f"I see {count} closed square outlines.")


def _grid(question: str, image: Pixels) -> str:
    size = grid_size(ink(image))
    if size is None:
        return cannot_tell("the picture shows no ruled grid")
    rows, columns = size
    tight = re.sub(r"\s", "", question.lower())
    value = f"({rows},{columns})"
    if "rows={" in tight or "row={" in tight:
        value = f"rows={{{rows}}} columns={{{columns}}}"
    elif "curly" in tight:
        value = f"{{{rows}}}{{{columns}}}"
    return state(question, value, f"The grid has {rows} rows and {columns} columns.")


def _rings(question: str, image: Pixels) -> str:
    match = _SHAPES.search(question.lower())
    shape = match[1] if match else "circle"
    mask = ink(image)
    count = count_outlines(mask, "circle" if shape == "ring" else shape) if is_line_art(mask) else None
    if count is None:
        return cannot_tell(f"the picture shows no outlines of {shape}s")
    return state(question, str(count), f"I see the outlines of {count} {shape}s.")


def _subway(question: str, image: Pixels) -> str:
    start, end = _stations(question)
    labels = {label.letter: label for label in find_labels(image, [start, end])}
    if len(labels) < 2:
        return cannot_tell(f"I do not find the stations {start} and {end}")
    count = joining_colours(image, labels[start], labels[end])
    if count is None:
        return cannot_tell(f"no line ends at {start} or {end}")
    return state(question, str(count), f"Lines of {count} colours end at both {start} and {end}.")


def _circled_letter(question: str, image: Pixels) -> str:
    rings = line_colours(image, [(find_names(question) or ["red"])[0]])
    if not rings:
        return cannot_tell("the picture shows no coloured oval")
    ring, paper = _largest_piece(rings[0].mask), background(image)
    x, y, width, height = cv2.boundingRect(ring)
    if min(width, height) < 8:
        return cannot_tell("the picture shows no coloured oval")
    plain = image.copy()
    plain[cv2.dilate(rings[0].mask, np.ones((3, 3), np.uint8)) > 0] = paper
    glyph = _within_ring(ink(plain), ring)
    if glyph is None:
        return cannot_tell("there is no letter within the oval")
    words, alone = _read_both(plain, glyph)
    line = _letters_of_line(plain, (x, y, width, height))
    found = _at(words, line, x + width / 2, alone)
    if not found:
        return cannot_tell("I cannot read the word with the oval")
    return state(question, found, f'The oval is around "{found}".')


def _stations(question: str) -> list[str]:
    """Return the two letters that name stations: the last two lone capitals, since an "A" may begin a sentence."""
    found = [match[1] for match in _STATIONS.finditer(question[:_LONGEST_QUESTION]) if match[1] != "I"]
    return list(dict.fromkeys(found))[-2:]


def _within_ring(letters: Pixels, ring: Pixels) -> Pixels | None:
    """Return the picture of the letter inside the oval, without the parts of its neighbours inside the oval."""
    outline = max(cv2.findContours(ring, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    inside = cv2.drawContours(np.zeros_like(ring), [outline], -1, 255, cv2.FILLED)
    x, y, width, height = cv2.boundingRect(outline)
    core = np.zeros_like(ring)
    cv2.ellipse(core, (x + width // 2, y + height // 2), (int(0.3 * width), int(0.36 * height)), 0, 0, 360, 255, -1)
    count, labels = cv2.connectedComponents(cv2.bitwise_and(letters, inside), connectivity=8)
    kept = np.zeros_like(ring)
    for piece in range(1, count):
        here = labels == piece
        if np.count_nonzero(here & (core > 0)) > 0.25 * np.count_nonzero(here):
            kept[here] = 255
    box = cv2.findNonZero(kept)
    if box is None:
        return None
    x, y, width, height = cv2.boundingRect(box)
    return kept[y : y + height, x : x + width]


def _read_both(plain: Pixels, glyph: Pixels) -> tuple[list[str], str]:
    """Read the words of a picture, and its letter alone five times in a row, because OCR misses lone letters."""
    scale = 40 / max(glyph.shape)
    letter = 255 - cv2.resize(glyph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tall, wide = letter.shape[:2]
    height, width = plain.shape[:2]
    sheet = np.full((height + 120, max(width, 260), 3), 255, np.uint8)
    sheet[:height, :width] = plain
    for copy in range(5):
        left = 20 + copy * (wide + 8)
        if left + wide < sheet.shape[1]:
            sheet[height + 40 : height + 40 + tall, left : left + wide] = letter[:, :, None]
    boxes = read_text(sheet)
    above = [box.text.replace(" ", "") for box in boxes if (box.y0 + box.y1) / 2 < height]
    below = "".join(box.text for box in boxes if (box.y0 + box.y1) / 2 >= height)
    letters = [letter for letter in below if letter.isalnum()]
    return above, max(letters, key=letters.count) if letters else ""


def _letters_of_line(plain: Pixels, ring: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return the left and right end of the line of text that passes through the oval."""
    _, y, _, height = ring
    columns = np.flatnonzero(ink(plain)[max(0, y) : y + height].any(axis=0))
    return (int(columns[0]), int(columns[-1])) if len(columns) else (0, plain.shape[1])


def _at(words: list[str], line: tuple[int, int], x: float, alone: str) -> str:
    """Return the letter of the longest word at x: of those nearby, the one that was also read alone."""
    word = max(words, key=len, default="")
    if not word:
        return alone
    widths = np.array([_WIDTHS.get(letter, 0.56) for letter in word])
    ends = np.cumsum(widths)
    centres = line[0] + (line[1] - line[0]) * (ends - widths / 2) / ends[-1]
    away = np.abs(centres - x) / (line[1] - line[0] + 1) * ends[-1]
    order = [int(at) for at in np.argsort(away) if away[at] < 1.6]
    same = [word[at] for at in order if _alike(word[at], alone)]
    if same:
        return same[0]
    return alone or (word[order[0]] if order else "")


def _alike(letter: str, other: str) -> bool:
    """Return True if OCR cannot distinguish the two letters alone."""
    return letter.casefold().translate(_LOOK_ALIKES) == other.casefold().translate(_LOOK_ALIKES)


def _largest_piece(mask: Pixels) -> Pixels:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.where(labels == largest, 255, 0).astype(np.uint8)


def _within_bounds(image: Pixels) -> Pixels:
    """Return the picture with three channels, scaled down so that reading it takes a fraction of a second."""
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    size = image.shape[0] * image.shape[1]
    if size <= _MOST_PIXELS:
        return image
    scale = math.sqrt(_MOST_PIXELS / size)
    shape = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _times(count: int) -> str:
    return {0: "nowhere", 1: "once", 2: "twice"}.get(count, f"{count} times")
