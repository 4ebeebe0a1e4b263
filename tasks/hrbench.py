"""HR-Bench: four options in columns A to D, and the photograph as base64 text."""

_LETTERS = "ABCD"


def visual(doc):
    """The photograph. maestro-eval has decoded the base64 already, lmms-eval has not."""
    image = doc["image"]
    if not isinstance(image, str):
        return [image]
    import base64
    import io

    from PIL import Image

    return [Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")]


def question(doc, lmms_eval_specific_kwargs=None):
    """The question and one line for each option."""
    lines = [f"{letter}. {option}" for letter, option in zip(_LETTERS, choices(doc), strict=False)]
    after = (lmms_eval_specific_kwargs or {}).get("post_prompt", "")
    return "\n".join([doc["question"].strip(), *lines]) + after


def choices(doc):
    """The options' texts in order; a column that is null at the end is an option less."""
    return [doc[letter] for letter in _LETTERS if doc.get(letter) is not None]


def target(doc):
    """The letter of the right option."""
    return doc["answer"].strip().upper()
