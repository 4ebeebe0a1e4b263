"""A sample's pictures, found again in the data that the run read, and served by hash alone.

Only task files that ship with us, or that the user named with ``--include-path``, are opened: those that a run folder
names may be anybody's code. A picture is shown if it hashes to what the journal says, and never as anything but PNG,
JPEG, WebP or GIF.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

from msgspec import Struct

from maestro_eval.files import read_pixels
from maestro_eval.records import ExpertCall, Image, Regime, RunManifest, Sample, SampleError, TaskRecord, UserError
from maestro_eval.skills import Box, find_boxes, place
from maestro_eval.tasks import LMMS, Task, TaskSpec, list_tasks, open_task

_AS_THEY_ARE = ("image/png", "image/jpeg", "image/webp", "image/gif")
_THUMBNAIL = 144
_KEPT_BYTES = 48 << 20


class Picture(Struct, frozen=True):
    """An encoded picture that any browser shows."""

    data: bytes
    media_type: str


class Overlay(Struct, frozen=True):
    """What a service found in a picture: ``kind`` is ``boxes`` (several) or ``region`` (one, to look at closely)."""

    service: str
    kind: Literal["boxes", "region"]
    boxes: tuple[Box, ...]


class Pictures:
    """Reads pictures; safe to use from several threads."""

    def __init__(self, include: Sequence[Path] = ()) -> None:
        self._include = include
        self._folders: dict[str, str] | None = None
        self._tasks: dict[tuple[str, str], Task | None] = {}
        self._kept: OrderedDict[tuple[str, bool], Picture] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, manifest: RunManifest, sample: Sample, sha256: str, *, small: bool = False) -> Picture | None:
        """The picture of ``sample`` with that hash; ``None`` where the data is gone or is other data by now."""
        if sha256 not in {ref.sha256 for ref in sample.images}:
            return None
        with self._lock:
            kept = self._kept.get((sha256, small))
        if kept is not None:
            return kept
        image = self._load(manifest, sample, sha256)
        if image is None:
            return None
        return self._keep((sha256, small), _thumbnail(image) if small else _shown(image))

    def _load(self, manifest: RunManifest, sample: Sample, sha256: str) -> Image | None:
        record = next((task for task in manifest.tasks if task.name == sample.task), None)
        task = None if record is None else self._task(record)
        if task is None:
            return None
        try:
            images = task.load(sample.sample_id).images
        except (SampleError, UserError, OSError):
            return None
        return next((image for image in images if image.ref.sha256 == sha256), None)

    def _task(self, record: TaskRecord) -> Task | None:
        key = (record.name, record.data)
        with self._lock:
            if key not in self._tasks:
                self._tasks[key] = self._opened(record)
            return self._tasks[key]

    def _opened(self, record: TaskRecord) -> Task | None:
        # lmms-eval's tasks load code and may go to the hub; data without a path would be fetched.
        if record.name.startswith(LMMS) or not record.data:
            return None
        try:
            if self._folders is None:
                self._folders = {entry.name: str(entry.folder) for entry in list_tasks(self._include)}
            if record.name not in self._folders:
                return None
            return open_task(TaskSpec(record.name, self._folders[record.name], record.data, revision=record.revision))
        except (UserError, OSError, ImportError):
            return None

    def _keep(self, key: tuple[str, bool], picture: Picture) -> Picture:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = picture
                self._bytes += len(picture.data)
            while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)
        return picture


def overlays(sample: Sample, calls: Sequence[ExpertCall], regime: Regime) -> list[list[Overlay]]:
    """For each picture of ``sample``, what services found in it."""
    found: list[list[Overlay]] = [[] for _ in sample.images]
    places = {ref.sha256: number for number, ref in enumerate(sample.images)}
    for call in calls:
        if call.kind != "service" or call.error or not found:
            continue
        # A picture that was sent as JPEG has another hash; where there is but one, it is that.
        number = next((places[sha] for sha in call.images if sha in places), 0 if len(found) == 1 else None)
        if number is None:
            continue
        ref = sample.images[number]
        boxes = tuple(_placed(call.reply, ref.width, ref.height, regime.zoom_rescale))
        if boxes:
            found[number].append(Overlay(call.name, "region" if len(boxes) == 1 else "boxes", boxes))
    return found


def _placed(reply: str, width: int, height: int, rescale: bool) -> Iterator[Box]:
    for box in find_boxes(reply) or ():
        placed = place(box, width, height, rescale=rescale)
        if placed is not None:
            yield placed


def _shown(image: Image) -> Picture:
    if image.ref.media_type in _AS_THEY_ARE:
        return Picture(image.data, image.ref.media_type)
    return _encoded(image, "PNG")


def _thumbnail(image: Image) -> Picture:
    return _encoded(image, "JPEG", side=_THUMBNAIL)


def _encoded(image: Image, form: Literal["PNG", "JPEG"], side: int = 0) -> Picture:
    pixels, file = read_pixels(image.data), BytesIO()
    if side:
        pixels.thumbnail((side, side))
    pixels.save(file, form)
    return Picture(file.getvalue(), f"image/{form.lower()}")
