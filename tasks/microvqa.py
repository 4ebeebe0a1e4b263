"""MicroVQA: one or several micrographs, a question, and choices, of which ``correct_index`` (from 0) is right.

Its authors number the choices from 1; here they have letters, as in every other multiple-choice task.
"""

from string import ascii_uppercase


def visual(doc):
    """All images, in order."""
    return [image.convert("RGB") if hasattr(image, "convert") else image for image in doc["images_list"] or []]


def question(doc, lmms_eval_specific_kwargs=None):
    """The question and one line for each choice."""
    lines = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, doc["choices"], strict=False)]
    after = (lmms_eval_specific_kwargs or {}).get("post_prompt", "")
    return "\n".join([doc["question"].strip(), *lines]) + after


def target(doc):
    """The letter of the right choice."""
    index = doc["correct_index"]
    if not 0 <= index < len(doc["choices"]):
        raise ValueError(f"correct_index {index} is none of the {len(doc['choices'])} choices")
    return ascii_uppercase[index]
