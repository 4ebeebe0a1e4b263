"""Geometry3K with four choices: the problem, then the options by letter.

The problem may begin with ``<image>``, a mark for training code: our messages have the images first anyway, and in a
chat template it could pass for a second picture.
"""

from string import ascii_uppercase

_IMAGE_MARK = "<image>"


def question(doc, lmms_eval_specific_kwargs=None):
    """The problem and one line for each option."""
    options = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, doc["choices"], strict=False)]
    after = (lmms_eval_specific_kwargs or {}).get("post_prompt", "")
    return "\n".join([doc["problem"].replace(_IMAGE_MARK, "").strip(), *options]) + after


def target(doc):
    """The letter of the right option."""
    return doc["ground_truth"].strip().upper()
