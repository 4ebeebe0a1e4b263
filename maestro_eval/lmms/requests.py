"""lmms-eval's requests as keys and tasks of ours.

A request names its row and holds a method of the task that lmms-eval has loaded. What is asked is what our own runs
ask: a task file of ours reads the rows that lmms-eval has loaded, and a task of lmms-eval's own becomes ``lmms:NAME``.
Samples, names and hashes are then those of a run that we start, so the two can be paired, and scored the same way.
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
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.tasks import Definition, Task, TaskSpec, define
from maestro_eval.tasks.column_types import IMAGE_TYPES, Column
from maestro_eval.tasks.file_task import FileTask
from maestro_eval.tasks.lmms import LmmsTask
from maestro_eval.tasks.lmms_config import PREFIX, builtin_hash
from maestro_eval.tasks.rows import Row, from_arrow

_LONGEST_NAME = 80


@dataclass(frozen=True)
class RequestBatch:
    """What lmms-eval asks in one call: ``keys`` in its order, each task by name, where its results will go."""

    keys: tuple[RolloutKey, ...]
    tasks: Mapping[str, Task]
    output_path: str

    @property
    def name(self) -> str:
        """The name of the run folder for this set of tasks."""
        joined = "+".join(sorted(name.removeprefix(PREFIX) for name in self.tasks))
        if len(joined) <= _LONGEST_NAME:
            return joined
        return f"{len(self.tasks)}-tasks-{hashlib.sha256(joined.encode()).hexdigest()[:12]}"

    @property
    def repeats(self) -> int:
        """How often each sample is asked."""
        return max(key.repeat for key in self.keys) + 1


def read_requests(requests: Sequence[Any]) -> RequestBatch:
    """UserError for a task whose rows cannot be had."""
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
            opened[written] = _opened(written, task)
            tasks[opened[written].name] = opened[written]
            output_path = output_path or str(getattr(getattr(task, "args", None), "output_path", None) or "")
        sample = (opened[written].name, _sample_id(opened[written], int(number)))
        # The same request stands several times in the list where a task asks for repeats.
        keys.append(RolloutKey(*sample, asked[sample]))
        asked[sample] += 1
    return RequestBatch(tuple(keys), tasks, output_path)


class _OurTask(FileTask):
    """A task file of ours over the rows that lmms-eval has loaded for it."""

    def __init__(self, definition: Definition, task: Any, data: str) -> None:
        self._theirs = LmmsTask(definition.name, definition.hash, task, data)
        super().__init__(definition, _Docs(task.eval_docs, definition.columns), data, self._theirs.revision)
        self.numbered_ids = self.ids()

    @property
    def data_hash(self) -> str:
        """Of the rows as lmms-eval has them: it does not say which files they are from."""
        return self._theirs.data_hash


class _Docs:
    """Rows of ``datasets`` as our task files read them: images encoded, as they are stored."""

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


def _opened(written: str, task: Any) -> Task:
    known = builtin_hash(written)
    config = vars(task.config)
    data = str(config.get("dataset_path") or "")
    if known:
        return LmmsTask(f"{PREFIX}{written}", known, task, data)
    definition = _our_definition(written, config)
    columns = definition.columns if definition else {}
    if definition and all(column.optional or name in task.eval_docs.column_names for name, column in columns.items()):
        return _OurTask(definition, task, data)
    return LmmsTask(written, _config_hash(config), task, data)


def _our_definition(written: str, config: Mapping[str, Any]) -> Definition | None:
    """The task file in our dialect behind a task of lmms-eval: it lies beside the functions that it names."""
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
    """Of a task file that is not lmms-eval's own: what it says, and the files of the functions that it names."""
    return fingerprint({key: _settled(value) for key, value in sorted(config.items())})


def _settled(value: object) -> object:
    if inspect.isfunction(value):
        file = Path(value.__code__.co_filename)
        return [value.__qualname__, file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""]
    if isinstance(value, Mapping):
        return {str(key): _settled(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_settled(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(type(value))
