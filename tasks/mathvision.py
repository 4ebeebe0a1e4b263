"""MathVision: a problem that refers to its one picture by ``<image1>``, ``<image2>``, …, and options or none.

Where the options are drawn in the picture, the column holds their letters alone.
"""

import re
from string import ascii_uppercase

_IMAGE_MARK = re.compile(r"<image(\d{1,2})>")


def visual(doc):
    """The picture (the column ``image`` holds a path)."""
    image = doc["decoded_image"]
    return [image.convert("RGB") if hasattr(image, "convert") else image]


def question(doc, lmms_eval_specific_kwargs=None):
    """The problem, one line for each option that has a text, and what form the answer is to have."""
    prompts = lmms_eval_specific_kwargs or {}
    options = doc["options"]
    # In a chat template a mark like <image1> could pass for a picture's place.
    lines = [_IMAGE_MARK.sub(r"[image \1]", doc["question"]).strip()]
    if options != list(ascii_uppercase[: len(options)]):
        lines += [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join(lines) + prompts.get("choice_prompt" if options else "free_prompt", "")


def target(doc):
    """The letter of the right option, or the value."""
    return doc["answer"].strip()
