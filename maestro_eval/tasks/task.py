"""One task over its data: which samples there are, and each sample with its pixels when it is wanted.

A row becomes a sample by the task file's readers, which may be code of others over data of others: whatever goes
wrong in them is that sample's failure, carried by ``SampleError`` together with all that could be read, and never
the end of a run. What concerns the whole data (a missing column, an id that occurs twice) is a ``UserError``.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from maestro_eval.files import fingerprint
from maestro_eval.tasks.columns import IMAGE_TYPES
from maestro_eval.tasks.dialect import Definition, Read, load_definition, read_heading
from maestro_eval.tasks.images import BadImageError, EncodedImage, decode
from maestro_eval.tasks.sources import Row, Source, hash_files, open_source
from maestro_eval.types import Aggregation, Image, LoadedSample, Sample, SampleError, UserError

MAKE = "make:"
"""``dataset_path: make:NAME`` marks data that a generator of ours makes."""

LOCAL = "local:"
"""``dataset_path: local:NAME`` marks data that no hub has in this schema."""


class TaskSpec(Struct, frozen=True):
    """How to open a task again, in any process: its name, the folder of task files, and where its data is."""

    name: str
    folder: str
    data: str = ""


class Task:
    """An opened task. Safe to share between threads; open it again in other processes."""

    def __init__(self, definition: Definition, source: Source, data: str) -> None:
        self.definition = definition
        self.name: str = definition.name
        self.tags: tuple[str, ...] = definition.tags
        self.metric: str = definition.metric
        self.aggregation: Aggregation = definition.aggregation
        self.hash: str = definition.hash
        self.data: str = data
        self._source = source
        self._rows: dict[str, int] | None = None

    @property
    def data_hash(self) -> str:
        """SHA-256 of the data files. Images beside a JSONL file are covered by each sample's ``content_hash``."""
        return hash_files(self._source.files)

    def ids(self, limit: int | None = None) -> list[str]:
        """The samples in the order of the data, the first ``limit`` of them."""
        return list(self._index())[:limit]

    def load(self, sample_id: str) -> LoadedSample:
        """The sample with its decoded-and-checked images. SampleError for a row that cannot be asked."""
        try:
            row = self._source.row(self._row_number(sample_id))
        except LookupError:
            raise UserError(
                f"{self.data}: {self.name} has no sample {sample_id!r}; is it the data that the run began with?"
            ) from None
        sample, problem = self._describe(sample_id, row)
        images: tuple[Image, ...] = ()
        try:
            images = _images(self.definition.visual(row))
        except BadImageError as error:
            problem = problem or str(error)
        except Exception as error:
            problem = problem or f"doc_to_visual: {_one_line(error)}"
        if problem:
            raise SampleError(f"{self.name} {sample_id}: {problem}", sample)
        return LoadedSample(_with_images(sample, images), images)

    def _describe(self, sample_id: str, row: Row) -> tuple[Sample, str]:
        """The sample as far as it can be read, and the first thing that could not be."""
        definition = self.definition
        readers: list[tuple[str, str, Read | None, Callable[[object], Any]]] = [
            ("question", "doc_to_text", definition.text, _question),
            ("choices", "doc_to_choice", definition.choice, _choices),
            ("targets", "doc_to_target", definition.target, _targets),
            ("category", "category", definition.category, _label),
            ("cluster", "cluster", definition.cluster, _label),
        ]
        read: dict[str, Any] = {"question": "", "targets": ()}
        problem = ""
        for field, key, reader, convert in readers:
            if reader is None:
                continue
            try:
                read[field] = convert(reader(row))
            except Exception as error:
                problem = problem or f"{key}: {_one_line(error)}"
        if not problem and read.get("choices"):
            problem = _misplaced_letter(read["choices"], read["targets"])
        fields = {name: _label(row.get(name)) for name in definition.fields}
        return Sample(task=self.name, sample_id=sample_id, fields=fields, **read), problem

    def _row_number(self, sample_id: str) -> int:
        if not self._numbered:
            return self._index()[sample_id]
        # A row's number is its id: no need to read the whole file to find one row.
        if sample_id.isascii() and sample_id.isdecimal() and str(int(sample_id)) == sample_id:
            return int(sample_id)
        raise KeyError(sample_id)

    @property
    def _numbered(self) -> bool:
        key = self.definition.id
        return key is None or (isinstance(key, str) and not self._source.has(key))

    def _index(self) -> dict[str, int]:
        if self._rows is None:
            self._rows = self._read_index()
        return self._rows

    def _read_index(self) -> dict[str, int]:
        key = self.definition.id
        if self._numbered:
            rows = {str(number): number for number, _ in enumerate(self._source.scan(()))}
        else:
            rows = {}
            for number, row in enumerate(self._source.scan(self._id_columns())):
                sample_id = self._sample_id(row[key] if isinstance(key, str) else key(row) if key else number, number)
                if sample_id in rows:
                    raise UserError(
                        f"{self.data}: sample id {sample_id!r} of {self.name} occurs twice "
                        f"(rows {rows[sample_id] + 1} and {number + 1}); ids must be unique"
                    )
                rows[sample_id] = number
        if not rows:
            raise UserError(f"{self.data}: holds no rows for {self.name}")
        return rows

    def _id_columns(self) -> list[str]:
        if isinstance(self.definition.id, str):
            return [self.definition.id]
        return [
            name
            for name, column in self.definition.columns.items()
            if column.type not in IMAGE_TYPES and self._source.has(name)
        ]

    def _sample_id(self, value: object, number: int) -> str:
        text = _label(value)
        if not text:
            raise UserError(f"{self.data}: row {number + 1} of {self.name} has no sample id")
        return text


def open_task(spec: TaskSpec) -> Task:
    """Open a task with its data. UserError when there is no data, or it has not the task's columns."""
    definition = define(spec)
    if not spec.data:
        raise UserError(_how_to_get(definition))
    return Task(definition, open_source(Path(spec.data), definition.columns, definition.split), spec.data)


def define(spec: TaskSpec) -> Definition:
    """The task's definition alone: no data needed."""
    root = Path(spec.folder)
    expected = root / f"{spec.name}.yaml"
    for path in [expected, *sorted(root.rglob("*.yaml"))] if expected.is_file() else sorted(root.rglob("*.yaml")):
        heading = read_heading(path, root)
        if heading is not None and heading.task == spec.name:
            return load_definition(path, root)
    raise UserError(f"{root}: no task file defines {spec.name}")


def _how_to_get(definition: Definition) -> str:
    name, origin = definition.name, definition.dataset_path
    give = f"pass --data {name}=PATH"
    if origin.startswith(MAKE):
        return (
            f"{name}: no data given; make it with 'maestro-eval tasks make-mini --out DIR' and "
            f"pass --data {name}=DIR/{name}"
        )
    if origin.startswith(LOCAL):
        columns = ", ".join(f"{column}: {kind.type}" for column, kind in definition.columns.items())
        return f"{name}: no data given; {give}, a Parquet or JSONL file with the columns {columns}"
    return (
        f"{name}: no data given; download {origin} (split {definition.split}) from the Hugging Face hub and {give}, "
        "a Parquet file or a folder of them"
    )


def _question(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a text, found {_shown(value)}")
    return value


def _choices(value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"expected a list of texts, found {_shown(value)}")
    if len(value) > len(string.ascii_uppercase):
        raise ValueError(f"{len(value)} options, more than there are letters")
    return tuple(value)


def _targets(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    targets = [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in many]
    texts = tuple(target for target in targets if isinstance(target, str) and target.strip())
    if not texts or len(texts) < len(targets):
        raise ValueError(f"expected an answer or a list of answers, found {_shown(value)}")
    return texts


def _misplaced_letter(choices: Sequence[str], targets: Sequence[str]) -> str:
    letters = string.ascii_uppercase[: len(choices)]
    wrong = next((target for target in targets if target not in tuple(letters)), None)
    return "" if wrong is None else f"doc_to_target: {_shown(wrong)} is not one of the letters {letters}"


def _label(value: object) -> str:
    return "" if value is None else str(value)


def _images(value: object) -> tuple[Image, ...]:
    if not isinstance(value, Sequence) or not value:
        raise BadImageError("the row has no image")
    images = []
    for number, encoded in enumerate(value, start=1):
        try:
            images.append(decode(encoded if isinstance(encoded, EncodedImage) else EncodedImage(b"")))
        except BadImageError as error:
            raise BadImageError(f"image {number}: {error}") from error
    return tuple(images)


def _with_images(sample: Sample, images: tuple[Image, ...]) -> Sample:
    hashes = [image.ref.sha256 for image in images]
    content: Mapping[str, object] = {
        "question": sample.question,
        "choices": sample.choices,
        "targets": sample.targets,
        "images": hashes,
    }
    return structs.replace(
        sample,
        images=tuple(image.ref for image in images),
        # Questions about the same picture are not independent; a task says only what is coarser than that.
        cluster=sample.cluster or fingerprint(hashes)[:16],
        content_hash=fingerprint(content),
    )


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
