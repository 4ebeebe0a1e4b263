"""OCRBench: ten types of question, which its authors report as five groups."""

_RECOGNITION = "Text Recognition"
_GROUPS = {
    "Regular Text Recognition": _RECOGNITION,
    "Irregular Text Recognition": _RECOGNITION,
    "Artistic Text Recognition": _RECOGNITION,
    "Handwriting Recognition": _RECOGNITION,
    "Digit String Recognition": _RECOGNITION,
    "Non-Semantic Text Recognition": _RECOGNITION,
    "Scene Text-centric VQA": "Scene Text-centric VQA",
    "Doc-oriented VQA": "Doc-oriented VQA",
    "Key Information Extraction": "Key Information Extraction",
    "Handwritten Mathematical Expression Recognition": "Handwritten Mathematical Expression Recognition",
}


def category(doc):
    """The group of the question's type."""
    kind = doc["question_type"].strip()
    if kind not in _GROUPS:
        raise ValueError(f"unknown question type {kind[:60]!r}")
    return _GROUPS[kind]
