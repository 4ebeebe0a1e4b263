"""The images of a row, for ``doc_to_visual``.

A value is either a PIL image (lmms-eval), which models want as RGB, or an encoded image (maestro-eval), which is
passed on untouched.
"""


def one(doc):
    """The image of the column ``image``."""
    return [_rgb(doc["image"])]


def many(doc):
    """All images of the column ``images``, in order."""
    return [_rgb(image) for image in doc["images"] or []]


def _rgb(image):
    return image.convert("RGB") if hasattr(image, "convert") else image
