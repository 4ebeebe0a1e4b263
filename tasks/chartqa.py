"""ChartQA: which half of the test set a question is of."""


def category(doc):
    """``human`` or ``augmented``, from ``human_test`` or ``augmented_test``."""
    return doc["type"].removesuffix("_test")
