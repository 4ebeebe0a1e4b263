"""ChartQA: which half of the test set a question is of."""

_HALVES = ("human", "augmented")


def category(doc):
    """``human`` or ``augmented``, from ``human_test`` or ``augmented_test``."""
    half = doc["type"].removesuffix("_test")
    if half not in _HALVES:
        raise ValueError(f"type: expected human_test or augmented_test, found {doc['type'][:60]!r}")
    return half
