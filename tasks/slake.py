"""SLAKE: questions in English and Chinese in JSON, whose images are files of ``imgs.zip`` beside it.

Under maestro-eval a row holds its image. Under lmms-eval it holds the image's name, and the zip file is taken from
the hub.
"""

import functools

_REPOSITORY = "BoKelvin/SLAKE"
_KINDS = ("OPEN", "CLOSED")


def english(doc):
    """Whether a row is of the English half, which is the benchmark."""
    return doc["q_lang"].strip().lower() == "en"


def english_docs(dataset):
    """The same for lmms-eval, over a whole split."""
    return dataset.filter(english)


def category(doc):
    """``OPEN`` or ``CLOSED``."""
    kind = doc["answer_type"].strip().upper()
    if kind not in _KINDS:
        raise ValueError(f"unknown answer type {doc['answer_type'][:60]!r}")
    return kind


def question(doc, lmms_eval_specific_kwargs=None):
    """The question."""
    return doc["question"].strip() + (lmms_eval_specific_kwargs or {}).get("post_prompt", "")


def visual(doc):
    """The image that the row holds, or the one that it names."""
    image = doc.get("image") or doc["img_name"]
    if isinstance(image, str):
        image = _from_hub(image)
    return [image.convert("RGB") if hasattr(image, "convert") else image]


def _from_hub(name):
    import io

    from PIL import Image

    archive = _archive()
    member = next((member for member in (name, f"imgs/{name}") if member in archive.namelist()), None)
    if member is None:
        raise ValueError(f"{_REPOSITORY} has no image {name[:80]!r}")
    return Image.open(io.BytesIO(archive.read(member)))


@functools.cache
def _archive():
    import zipfile

    from huggingface_hub import hf_hub_download

    return zipfile.ZipFile(hf_hub_download(_REPOSITORY, "imgs.zip", repo_type="dataset"))
