"""VLMsAreBlind: the dataset's task column names nine kinds of picture, which its authors count as seven tasks."""

_SEVEN = (
    "line plot intersections",
    "touching circles",
    "circled letter",
    "olympic counting",
    "nested squares",
    "counting grid",
    "subway connections",
)


def category(doc):
    """The one of the seven: circles and pentagons are one, blank grids and grids of words are one."""
    kind = doc["task"].strip().lower()
    for task in _SEVEN:
        if kind.startswith(task):
            return task
    raise ValueError(f"unknown task {doc['task'][:60]!r}")


def target(doc):
    """The ground truth: a number, Yes or No, a letter, or ``rows,columns``."""
    return doc["groundtruth"].strip()
