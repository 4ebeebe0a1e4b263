"""MathVista: a question with options, or one whose answer is an integer, a decimal of so many places, or a list."""

from string import ascii_uppercase

_FORMS = {
    "integer": "Answer with an integer.",
    "list": "Answer with a list in square brackets.",
    "text": "Answer with one word or a short phrase.",
}


def visual(doc):
    """The picture (the column ``image`` holds a path)."""
    image = doc["decoded_image"]
    return [image.convert("RGB") if hasattr(image, "convert") else image]


def question(doc, lmms_eval_specific_kwargs=None):
    """The question, its unit, one line for each option, and what form the answer is to have."""
    asked = doc["question"].strip()
    if doc.get("unit"):
        asked += f" (Unit: {doc['unit']})"
    lines = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, choices(doc), strict=False)]
    return "\n".join([asked, *lines, _form(doc)])


def choices(doc):
    """The options' texts in order; none for a free-form question, where the column is null."""
    return list(doc["choices"] or [])


def target(doc):
    """The letter of the right option (the column holds its text), or the answer."""
    answer, options = doc["answer"], choices(doc)
    if not options:
        return answer
    if answer not in options:
        raise ValueError(f"the answer {answer[:60]!r} is none of the options")
    return ascii_uppercase[options.index(answer)]


def _form(doc):
    if doc["choices"]:
        return "Answer with the letter of the right option."
    if doc["answer_type"] == "float":
        places = int(doc["precision"] or 1)
        return f"Answer with a number, rounded to {places} decimal place{'s' if places > 1 else ''}."
    return _FORMS[doc["answer_type"]]
