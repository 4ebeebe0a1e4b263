"""MSEarthMCQ: ``query`` holds the question and its options as text, ``response`` the right one ("B. basalt", "B").

The figure is in ``images`` (the authors' JSON) or in ``image`` (their hub repositories of the same family).
"""

import re
from string import ascii_uppercase

_OPTION = re.compile(r"[ \t]*\(?([A-Z])[.:)\u3002][ \t]*(.*)")
_CHOSEN = re.compile(r"\s*\(?([A-Za-z])(?!\w)[.:)\u3002]?")
_IMAGE_MARK = "<image>"


def visual(doc):
    """The figure, or figures."""
    images = doc["images"] if doc.get("images") else [doc["image"]] if doc.get("image") else []
    return [image.convert("RGB") if hasattr(image, "convert") else image for image in images]


def question(doc, lmms_eval_specific_kwargs=None):
    """The query without its image marks: the images come first in our messages."""
    after = (lmms_eval_specific_kwargs or {}).get("post_prompt", "")
    return doc["query"].replace(_IMAGE_MARK, "").strip() + after


def choices(doc):
    """The options' texts in order, read from the query; none where they cannot be told apart."""
    lines = doc["query"].rpartition("Options:")[2].split("\n")
    options = []
    for line in lines:
        found = _OPTION.fullmatch(line)
        if found and found.group(1) == ascii_uppercase[len(options) % 26]:
            options.append(found.group(2).strip())
        elif options and line.strip():
            # An option may run over several lines.
            options[-1] = f"{options[-1]} {line.strip()}"
    return options if len(options) > 1 and all(options) else []


def target(doc):
    """The right option's letter, or its text where the response has no letter and is none of the options."""
    response = doc["response"].strip()
    options = choices(doc)
    if response in options:
        return ascii_uppercase[options.index(response)]
    chosen = _CHOSEN.match(response)
    return chosen.group(1).upper() if chosen else response
