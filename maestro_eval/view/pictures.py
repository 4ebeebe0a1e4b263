"""Finds the pictures of a sample, and those derived from them for a call, by hash.

A sample's pictures are read from the run's data. Crops and drawings are recomputed from the replies of services.

Only bundled task files and those below ``--include-path`` are opened, because a run folder may name anybody's code. A
picture is shown only if its hash is in the journal, and only as PNG, JPEG, WebP or GIF.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Literal

from msgspec import Struct

from maestro_eval.files import read_pixels
from maestro_eval.records import ExpertCall, Image, Regime, RunManifest, Sample, SampleError, TaskRecord, UserError
from maestro_eval.skills import Box, PictureError, as_jpeg, find_boxes, pictures_of, place
from maestro_eval.tasks import LMMS, Task, TaskSpec, list_tasks, open_task

_SHOWN_AS_IS = ("image/png", "image/jpeg", "image/webp", "image/gif")
_THUMBNAIL = 144
_CACHED_BYTES = 48 << 20
_MOST_REPLIES = 40


class Picture(Struct, frozen=True):
    """An encoded picture in a format that any browser shows."""

    data: bytes
    media_type: str


class Overlay(Struct, frozen=True):
    """The boxes that a service found in a picture; a ``region`` is a single box to zoom into."""

    service: str
    kind: Literal["boxes", "region"]
    boxes: tuple[Box, ...]


class Pictures:
    """A cache of pictures; several threads may use it.

    ``lacking`` maps a task to the reason why its pictures could not be read.
    """

    def __init__(self, include: Sequence[Path] = ()) -> None:
        self._include = include
        self._folders: dict[str, str] | None = None
        self._tasks: dict[tuple[str, str], Task | None] = {}
        self._cached: OrderedDict[tuple[str, bool], Picture] = OrderedDict()
        self._bytes = 0
        self.lacking: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(
        self,
        manifest: RunManifest,
        sample: Sample,
        sha256: str,
        calls: Sequence[ExpertCall] = (),
        *,
        small: bool = False,
    ) -> Picture | None:
        """Return the picture with that hash, of ``sample`` or derived for one of ``calls``.

        Return None if the data is missing or has changed, or if the picture cannot be recomputed.
        """
        shown = {sha for call in calls for sha in call.images} | {ref.sha256 for ref in sample.images}
        if sha256 not in shown:
            return None
        with self._lock:
            kept = self._cached.get((sha256, small))
        if kept is not None:
            return kept
        images = self._load(manifest, sample)
        replies = [call.reply for call in calls if call.kind == "service" and not call.error][:_MOST_REPLIES]
        made = _derived(images, replies, rescale=manifest.regime.zoom_rescale)
        image = next((image for image in chain(images, made) if image.ref.sha256 == sha256), None)
        if image is None:
            return None
        return self._cache((sha256, small), _encoded(image, _THUMBNAIL if small else 0))

    def _load(self, manifest: RunManifest, sample: Sample) -> Sequence[Image]:
        record = next((task for task in manifest.tasks if task.name == sample.task), None)
        task = None if record is None else self._task(record)
        if task is None:
            return ()
        try:
            images = task.load(sample.sample_id).images
        except (SampleError, UserError, OSError) as error:
            self.lacking.setdefault(sample.task, str(error))
            return ()
        known = {ref.sha256 for ref in sample.images}
        same = [image for image in images if image.ref.sha256 in known]
        if known and not same:
            self.lacking.setdefault(sample.task, "its data has changed since the run")
        return same

    def _task(self, record: TaskRecord) -> Task | None:
        key = (record.name, record.data)
        with self._lock:
            if key not in self._tasks:
                self._tasks[key] = self._open(record)
            return self._tasks[key]

    def _open(self, record: TaskRecord) -> Task | None:
        # lmms-eval's tasks load code and may download; data without a path would be downloaded.
        if record.name.startswith(LMMS) or not record.data:
            self.lacking[record.name] = "its data is not local, and is not downloaded again"
            return None
        try:
            if self._folders is None:
                self._folders = {entry.name: str(entry.folder) for entry in list_tasks(self._include)}
            if record.name not in self._folders:
                self.lacking[record.name] = "no task file has this name; name its folder with --include-path"
                return None
            return open_task(TaskSpec(record.name, self._folders[record.name], record.data, revision=record.revision))
        except (UserError, OSError, ImportError) as error:
            self.lacking[record.name] = str(error)
            return None

    def _cache(self, key: tuple[str, bool], picture: Picture) -> Picture:
        with self._lock:
            if key not in self._cached:
                self._cached[key] = picture
                self._bytes += len(picture.data)
            while self._bytes > _CACHED_BYTES and len(self._cached) > 1:
                self._bytes -= len(self._cached.popitem(last=False)[1].data)
        return picture


def overlays(sample: Sample, calls: Sequence[ExpertCall], regime: Regime) -> list[list[Overlay]]:
    """Return the overlays of each picture of ``sample``."""
    found: list[list[Overlay]] = [[] for _ in sample.images]
    places = {ref.sha256: number for number, ref in enumerate(sample.images)}
    for call in calls:
        if call.kind != "service" or call.error or not found:
            continue
        # A picture that was sent as JPEG has another hash; a sample's only picture is assumed to be the one.
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


def _derived(images: Sequence[Image], replies: Sequence[str], *, rescale: bool) -> Iterator[Image]:
    """Derive the pictures a call may have sent: ``images`` as JPEG, and the crops and drawings of service replies."""
    for image in images:
        with suppress(PictureError):
            yield as_jpeg(image)
        for reply in replies:
            yield from pictures_of(image, reply, rescale=rescale)


def _encoded(image: Image, side: int) -> Picture:
    """Encode ``image`` for a browser, as a thumbnail of at most ``side`` pixels if given."""
    if not side and image.ref.media_type in _SHOWN_AS_IS:
        return Picture(image.data, image.ref.media_type)
    pixels, file = read_pixels(image.data), BytesIO()
    form = "JPEG" if side else "PNG"
    if side:
        pixels.thumbnail((side, side))
    pixels.save(file, form)
    return Picture(file.getvalue(), f"image/{form.lower()}")
