"""Converts lmms-eval's requests into our keys and tasks.

A request names its row and contains a method of the task that lmms-eval has loaded. One of our task files reads the
rows that lmms-eval has loaded for it; a task of lmms-eval becomes ``lmms:NAME``. Samples, names and hashes equal those
of our own runs, so the two can be paired and are scored the same way.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maestro_eval.files import fingerprint
from maestro_eval.lmms.config import builtin_hash
from maestro_eval.lmms.task import LmmsTask
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.tasks import (
    IMAGE_TYPES,
    LMMS,
    Column,
    Definition,
    FileTask,
    Row,
    Task,
    TaskSpec,
    define,
    from_arrow,
)

_LONGEST_NAME = 80


@dataclass(frozen=True)
class RequestBatch:
    """The requests of one call of lmms-eval: ``keys`` in its order, tasks by name, and its output path."""

    keys: tuple[RolloutKey, ...]
    tasks: Mapping[str, Task]
    output_path: str

    @property
    def name(self) -> str:
        """The name of the run folder for this set of tasks."""
        joined = "+".join(sorted(name.removeprefix(LMMS) for name in self.tasks))
        if len(joined) <= _LONGEST_NAME:
            return joined
        return f"{len(self.tasks)}-tasks-{hashlib.sha256(joined.encode()).hexdigest()[:12]}"

    @property
    def repeats(self) -> int:
        """The number of rollouts of each sample."""
        return max(key.repeat for key in self.keys) + 1


def read_requests(requests: Sequence[Any]) -> RequestBatch:
    """Read requests as keys and tasks. Raise UserError for a task whose rows cannot be read."""
    tasks: dict[str, Task] = {}
    opened: dict[str, Task] = {}
    asked: Counter[tuple[str, str]] = Counter()
    keys: list[RolloutKey] = []
    output_path = ""
    for request in requests:
        _, to_messages, _, number, written, _ = request.args
        if written not in opened:
            task = getattr(to_messages, "__self__", None)
            if task is None or not hasattr(task, "eval_docs_no_media"):
                raise UserError(f"{written}: is a program of its own, whose rows the model maestro cannot read")
            opened[written] = _open_task(written, task)
            tasks[opened[written].name] = opened[written]
            output_path = output_path or str(getattr(getattr(task, "args", None), "output_path", None) or "")
        sample = (opened[written].name, _sample_id(opened[written], int(number)))
        # A task with repeats lists the same request several times.
        keys.append(RolloutKey(*sample, asked[sample]))
        asked[sample] += 1
    return RequestBatch(tuple(keys), tasks, output_path)


class _OurTask(FileTask):
    """One of our task files, which reads the rows that lmms-eval has loaded for it."""

    def __init__(self, definition: Definition, task: Any, data: str) -> None:
        self._theirs = LmmsTask(definition.name, definition.hash, task, data)
        super().__init__(definition, _Docs(task.eval_docs, definition.columns), data, self._theirs.record.revision)
        self.numbered_ids = self.ids()

    @property
    def data_hash(self) -> str:
        """The hash of lmms-eval's rows, since it does not expose their files."""
        return self._theirs.data_hash


class _Docs:
    """Rows of ``datasets`` for our task files; images stay encoded."""

    files: tuple[Path, ...] = ()

    def __init__(self, docs: Any, columns: Mapping[str, Column]) -> None:
        from datasets import Image

        self._columns = {name: column for name, column in columns.items() if name in docs.column_names}
        for name, column in self._columns.items():
            feature = docs.features[name]
            if column.type in IMAGE_TYPES and isinstance(feature, Image):
                docs = docs.cast_column(name, Image(decode=False))
            elif column.type in IMAGE_TYPES and isinstance(getattr(feature, "feature", None), Image):
                docs = docs.cast_column(name, type(feature)(Image(decode=False)))
        self._docs = docs

    def has(self, column: str) -> bool:
        return column in self._columns

    def scan(self, columns: Collection[str]) -> Iterator[Row]:
        if not columns:
            yield from ({} for _ in range(len(self._docs)))
        else:
            yield from self._docs.select_columns(list(columns))

    def row(self, index: int) -> Row:
        row = self._docs[index]
        return {name: from_arrow(row[name], column) for name, column in self._columns.items()}


def _open_task(written: str, task: Any) -> Task:
    known = builtin_hash(written)
    config = vars(task.config)
    data = str(config.get("dataset_path") or "")
    if known:
        return LmmsTask(f"{LMMS}{written}", known, task, data)
    definition = _our_definition(written, config)
    columns = definition.columns if definition else {}
    if definition and all(column.optional or name in task.eval_docs.column_names for name, column in columns.items()):
        return _OurTask(definition, task, data)
    return LmmsTask(written, _config_hash(config), task, data)


def _our_definition(written: str, config: Mapping[str, Any]) -> Definition | None:
    """Return our task file behind a task of lmms-eval, which is beside the functions that it names; None if none is."""
    if not isinstance(config.get("metadata"), Mapping) or "maestro" not in config["metadata"]:
        return None
    for function in filter(inspect.isfunction, config.values()):
        folder = Path(function.__code__.co_filename).parent
        if (folder / f"{written}.yaml").is_file():
            return define(TaskSpec(written, str(folder)))
    return None


def _sample_id(task: Task, number: int) -> str:
    return task.numbered_ids[number] if isinstance(task, _OurTask) else str(number)


def _config_hash(config: Mapping[str, Any]) -> str:
    """Hash a user's task file: its content, and the files of the functions that it names."""
    return fingerprint({key: _hashable(value) for key, value in sorted(config.items())})


def _hashable(value: object) -> object:
    if inspect.isfunction(value):
        file = Path(value.__code__.co_filename)
        return [value.__qualname__, file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""]
    if isinstance(value, Mapping):
        return {str(key): _hashable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hashable(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(type(value))
