"""A row of a task, without and with its pixels."""

from __future__ import annotations

from msgspec import Struct, field

from maestro_eval.records.content import Image, ImageRef


class Sample(Struct, frozen=True):
    """One row of a task, as the journal keeps it and the scorer reads it.

    ``targets`` are the accepted answers (any one is right). ``choices`` are the option texts of a
    multiple-choice question, in order A, B, …; then a target is a letter. ``category`` is what the task
    reports apart, ``stratum`` what its accuracy averages over first, where that is something else (HRBench's
    rotations). ``cluster`` groups samples that are not independent (same image, rotated options). ``fields``
    are the task's own columns that its metric needs (say OCRBench's ``dataset``). ``content_hash`` covers
    question, choices, targets and image bytes: two samples pair only when it is equal. It is ``""`` where the
    images could not be read.
    """

    task: str
    sample_id: str
    question: str
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    images: tuple[ImageRef, ...] = ()
    category: str = ""
    stratum: str = ""
    cluster: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    content_hash: str = ""


class LoadedSample(Struct, frozen=True):
    """A sample with its pixels: held only while its rollout runs."""

    sample: Sample
    images: tuple[Image, ...]
