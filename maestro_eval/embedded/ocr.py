"""Reads the printed text of a picture with PP-OCR on the CPU.

`read_text` returns every text line found, in reading order, with its box in the picture's own pixels; the readings of
the last `REMEMBERED` pictures are cached. A process has one engine behind one lock, because two readings at a time
would only share the same two cores. There is no angle classifier: it would take a tenth of the time and matter only
for upside-down text. The models are in the wheel of ``rapidocr``; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TextBox", "in_lines", "read_text", "warm"]

REMEMBERED = 256
_THREADS = 2
# Letters under ten pixels are missed, so small pictures are enlarged; above 1600 pixels only the time grows.
_SMALL, _LARGE, _MOST_ENLARGED = 640, 1600, 3.0
# Text that touches the edge is not detected.
_MARGIN = 16


@dataclass(frozen=True, slots=True)
class TextBox:
    """A line of text and the upright rectangle around it, in pixels; its words likewise, if there are several.

    OCR joins neighbours such as axis labels into one line; ``words`` separates them.
    """

    text: str
    confidence: float
    x0: float
    y0: float
    x1: float
    y1: float
    words: tuple[TextBox, ...] = ()

    @property
    def x(self) -> float:
        return (self.x0 + self.x1) / 2

    @property
    def y(self) -> float:
        return (self.y0 + self.y1) / 2

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


def read_text(image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
    """Return the text lines of an RGB picture, from top to bottom and left to right."""
    key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    with _lock:
        known = _remembered.pop(key, None)
        boxes = _read(image) if known is None else known
        _remembered[key] = boxes
        while len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
    return boxes


def warm() -> None:
    """Load the engine, so that the first question does not wait for it."""
    with _lock:
        _engine()


def in_lines(boxes: tuple[TextBox, ...]) -> list[list[TextBox]]:
    """Return the boxes grouped into printed lines: boxes that overlap by half their height are one line."""
    lines: list[list[TextBox]] = []
    for box in sorted(boxes, key=lambda box: box.y):
        home = next((line for line in reversed(lines) if _beside(line[-1], box)), None)
        if home is None:
            lines.append([box])
        else:
            home.append(box)
    return [sorted(line, key=lambda box: box.x0) for line in lines]


def _beside(one: TextBox, other: TextBox) -> bool:
    overlap = min(one.y1, other.y1) - max(one.y0, other.y0)
    return overlap > 0.5 * min(one.height, other.height)


_lock = threading.Lock()
_remembered: OrderedDict[bytes, tuple[TextBox, ...]] = OrderedDict()
_loaded: list[Any] = []


def _engine() -> Any:
    if not _loaded:
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        from rapidocr import RapidOCR

        _loaded.append(
            RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.use_cls": False,
                    "Global.max_side_len": 2 * _LARGE,
                    "Det.limit_type": "max",
                    "Det.limit_side_len": _LARGE + 2 * _MARGIN,
                    "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                }
            )
        )
    return _loaded[0]


def _read(image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
    import cv2
    import numpy as np

    long_side = max(image.shape[:2])
    scale = min(_LARGE / long_side, max(1.0, min(_MOST_ENLARGED, _SMALL / long_side)))
    picture = image
    if scale != 1.0:
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how).astype(np.uint8)
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    paper = [float(value) for value in np.median(edge, axis=0)]
    padded = cv2.copyMakeBorder(picture, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_CONSTANT, value=paper)
    found = _engine()(np.ascontiguousarray(padded[:, :, ::-1]), return_word_box=True)
    if found.boxes is None or found.txts is None or found.scores is None:
        return ()
    boxes = []
    for corners, text, score, pieces in zip(found.boxes, found.txts, found.scores, found.word_results, strict=True):
        xs, ys = (corners[:, 0] - _MARGIN) / scale, (corners[:, 1] - _MARGIN) / scale
        if not text.strip():
            continue
        x0, y0, x1, y1 = float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
        spans = _spans(text.split(), [(piece[0], [(x - _MARGIN) / scale for x, _ in piece[2]]) for piece in pieces])
        words = tuple(TextBox(word, float(score), left, y0, right, y1) for word, left, right in spans)
        boxes.append(TextBox(text.strip(), float(score), x0, y0, x1, y1, words))
    return tuple(box for line in in_lines(tuple(boxes)) for box in line)


def _spans(words: list[str], pieces: list[tuple[str, list[float]]]) -> list[tuple[str, float, float]]:
    """Return the box of each word, from the engine's pieces, which may be parts of words; empty if they disagree."""
    if len(words) < 2 or "".join(words) != "".join(text.replace(" ", "") for text, _ in pieces):
        return []
    spans: list[tuple[str, float, float]] = []
    rest = [(text.replace(" ", ""), min(xs), max(xs)) for text, xs in pieces]
    for word in words:
        taken: list[tuple[float, float]] = []
        letters = 0
        while letters < len(word) and rest:
            text, left, right = rest.pop(0)
            share = min(1.0, (len(word) - letters) / max(1, len(text)))
            cut = left + share * (right - left)
            taken.append((left, cut))
            if share < 1.0:
                rest.insert(0, (text[len(word) - letters :], cut, right))
            letters += len(text)
        if taken:
            spans.append((word, taken[0][0], taken[-1][1]))
    return spans
