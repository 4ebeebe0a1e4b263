"""V*: the question's text holds its options, ``(A) … (B) …``, and then an instruction.

The options are read out, so that they can be listed as in every other multiple-choice task, and the instruction
gives way to the task file's own.
"""

import re
from string import ascii_uppercase

_MARK = re.compile(r"\(([A-Z])\)")


def question(doc, lmms_eval_specific_kwargs=None):
    """The question and one line for each option."""
    asked, options = _split(doc["text"])
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    after = (lmms_eval_specific_kwargs or {}).get("post_prompt", "")
    return "\n".join([asked, *lines]) + after


def choices(doc):
    """The options' texts in order."""
    return _split(doc["text"])[1]


def target(doc):
    """The letter of the right option."""
    return doc["label"].strip().strip("()").upper()


def _split(text):
    """What is asked, and the options: marked (A), (B), … in that order, each ending at the next or with its line."""
    marks = []
    for mark in _MARK.finditer(text):
        if mark.group(1) == "A" and len(marks) < 2:
            # An earlier (A) without a (B) after it was part of what is asked.
            marks = [mark]
        elif mark.group(1) == ascii_uppercase[len(marks) % 26]:
            marks.append(mark)
    if len(marks) < 2:
        raise ValueError(f"no options (A), (B), … in the text {text[:60]!r}")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = [text[mark.end() : end].strip().split("\n")[0].strip() for mark, end in zip(marks, ends, strict=True)]
    return text[: marks[0].start()].strip(), options
