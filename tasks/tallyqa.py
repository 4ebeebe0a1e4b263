"""TallyQA: simple questions count one class, complex ones need attributes or relations."""


def category(doc):
    """``simple`` or ``complex``."""
    return "simple" if doc["issimple"] else "complex"
