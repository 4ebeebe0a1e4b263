"""ERQA: the question's text holds its options and asks for the letter; ``visual_indices`` says where images belong.

Our messages carry all images first. Where one belongs within the text, a mark such as ``[image 2]`` takes its place.
"""

import re
from string import ascii_uppercase

_HEADING = re.compile(r"\b(?:choices|options)\b\s*[:.]", re.IGNORECASE)
_LETTER = re.compile(r"(?<!\S)([A-Z])[.:](?=\s)")
_INSTRUCTION = "Please answer"


def question(doc, lmms_eval_specific_kwargs=None):
    """The question as its authors wrote it, with marks where images belong."""
    text = doc["question"]
    places = doc.get("visual_indices") or []
    if len(places) < 2 or max(places) <= 0:
        # One image needs no name, and images before the text are where our messages have them.
        return text.strip()
    parts, end = [], 0
    for place, number in sorted((place, number) for number, place in enumerate(places, start=1)):
        begin, end = end, min(max(place, end), len(text))
        parts += [text[begin:end].rstrip(), f"[image {number}]"]
    return " ".join(filter(None, [*parts, text[end:].lstrip()])).strip()


def choices(doc):
    """The options' texts in order, read from the question; none where they cannot be told apart for sure."""
    headings = list(_HEADING.finditer(doc["question"]))
    if not headings:
        return []
    listed = doc["question"][headings[-1].end() :].partition(_INSTRUCTION)[0]
    marks = list(_LETTER.finditer(listed))
    if len(marks) < 2 or "".join(mark.group(1) for mark in marks) != ascii_uppercase[: len(marks)]:
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(listed)]
    options = [listed[mark.end() : end].strip().removesuffix(".") for mark, end in zip(marks, ends, strict=True)]
    return options if all(options) else []


def target(doc):
    """The letter of the right option."""
    return doc["answer"].strip().removesuffix(".").upper()
