"""HumanEval-V: a diagram shows what a Python function has to do, and the signature names it."""


def visual(doc):
    """The diagram."""
    image = doc["diagram"]
    return [image.convert("RGB") if hasattr(image, "convert") else image]


def question(doc, lmms_eval_specific_kwargs=None):
    """What to write, and the signature in a Python block."""
    return (
        "Write the Python function whose signature stands below. The diagram shows what it has to do.\n\n"
        f"```python\n{doc['function_signature'].strip()}\n```\n\n"
        "Answer with the whole function, and any import that it needs, in one Python block."
    )
