"""Compares a reported task with our task file of that name, and with the benchmark's rows if they are given."""

from __future__ import annotations

from msgspec import Struct, field

from maestro_eval.files import bundled
from maestro_eval.records import SampleError, TaskRecord, UserError
from maestro_eval.tasks import Task, TaskSpec, define, open_task


class KnownTask(Struct, frozen=True):
    """A reported task: ``mismatches`` lists contradictions to our task file, ``unknown`` lists unchecked facts.

    ``partial`` describes a plan that covers only part of the benchmark; it is empty otherwise.
    """

    name: str
    mismatches: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    partial: str = ""
    rows: Task | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    def problem_of(self, sample_id: str, content_hash: str) -> str:
        """Describe how a sample differs from the given rows; empty if it does not or no rows are given."""
        if self.rows is None or not content_hash:
            return ""
        if sample_id not in self.hashes:
            try:
                self.hashes[sample_id] = self.rows.load(sample_id).sample.content_hash
            except (SampleError, UserError, KeyError, ValueError):
                return "is not in the data given"
        same = self.hashes[sample_id] == content_hash
        return "" if same else "its question, choices, targets or pictures are not those of the data given"


def known_task(task: TaskRecord, data: str) -> KnownTask:
    """Compare ``task`` with our task file; ``data`` is the path of the benchmark's rows, "" if not given."""
    spec = TaskSpec(task.name, str(bundled("tasks")), data)
    try:
        ours = define(spec)
    except UserError:
        return KnownTask(task.name, unknown=(f"what {task.name} asks: no task file of ours defines it",))
    if ours.hash != task.hash:
        return KnownTask(task.name, unknown=(f"what {task.name} asks: its task file is not ours of that name",))
    stated = {"metric": task.metric, "aggregation": task.aggregation, "released": task.released, "tags": task.tags}
    wrong = tuple(
        f"{task.name}: {field} is {value!r}, its task file says {getattr(ours, field)!r}"
        for field, value in stated.items()
        if value != getattr(ours, field)
    )
    whole = not ours.size or task.planned == ours.size
    partial = "" if whole else f"{task.planned:,} of the {ours.size:,} samples of {task.name}"
    if not data:
        unasked = (f"whether the targets of {task.name} are the benchmark's: --data {task.name}=PATH compares them",)
        return KnownTask(task.name, wrong, unasked, partial)
    return KnownTask(task.name, wrong, (), partial, open_task(spec))
