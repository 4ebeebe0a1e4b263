"""Finds a run's task files and images from its manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maestro_eval.exports.source import Source
from maestro_eval.records import Image, Sample, SampleError, UserError
from maestro_eval.tasks import LMMS, Definition, Task, TaskEntry, TaskSpec, define, is_on_hub, list_tasks, open_task


def hub_definitions(source: Source) -> dict[str, Definition]:
    """Return, by name, the definitions of the tasks whose dataset is on the hub."""
    found = {name: define(TaskSpec(name, str(entry.folder))) for name, entry in _entries(source).items()}
    return {name: definition for name, definition in found.items() if is_on_hub(definition)}


def image_reader(source: Source) -> Callable[[Sample], dict[str, Image]]:
    """Return a function that reads a sample's images, by hash, from the run's data.

    It returns no image for a sample that cannot be read any more, and raises UserError if a task is missing.
    """
    entries = _entries(source)
    opened: dict[str, Task] = {}
    records = {task.name: task for task in source.manifest.tasks}

    def read(sample: Sample) -> dict[str, Image]:
        name = sample.task
        if name not in opened:
            record = records[name]
            if name not in entries and not name.startswith(LMMS):
                raise UserError(f"{source.folder}: the file of task {name} is gone; export without --with-images")
            folder = "" if name not in entries else str(entries[name].folder)
            opened[name] = open_task(TaskSpec(name, folder, record.data, revision=record.revision))
        try:
            images = opened[name].load(sample.sample_id).images
        except SampleError:
            return {}
        return {image.ref.sha256: image for image in images}

    return read


def _entries(source: Source) -> dict[str, TaskEntry]:
    """Return the task files of the run's tasks that still exist."""
    include = [Path(folder) for folder in source.manifest.settings.get("include", ()) if Path(folder).is_dir()]
    wanted = {task.name for task in source.tasks}
    return {entry.name: entry for entry in list_tasks(include) if entry.name in wanted}
