"""A task of our task files over its data: its samples' ids, and each sample with its images on demand.

The task file's readers, which may be foreign code on foreign data, turn a row into a sample. An error in them fails
that sample with a ``SampleError``, which contains everything that could be read, and never the run. An error in the
whole data (a missing column, a repeated id) is a ``UserError``.
"""

from __future__ import annotations

import hashlib
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import structs

from maestro_eval.files import fingerprint
from maestro_eval.records import Image, LoadedSample, Sample, SampleError, TaskRecord, UserError
from maestro_eval.tasks.column_types import IMAGE_TYPES
from maestro_eval.tasks.image_decoding import BadImageError, EncodedImage, decode
from maestro_eval.tasks.merged_yaml import Read, ResultRules
from maestro_eval.tasks.rows import BadRowError, NamedPictures, Row, Source, row_as_json
from maestro_eval.tasks.sources import hash_files
from maestro_eval.tasks.task_yaml import Definition
from maestro_eval.text import one_line


class Task(ABC):
    """An opened task. Threads may share it; other processes open it again.

    ``record`` is the task as in a manifest, without ``data_hash`` and ``planned``, which a run fills in.
    """

    def __init__(self, record: TaskRecord) -> None:
        self.record = record
        self.name = record.name

    @property
    @abstractmethod
    def data_hash(self) -> str:
        """The hash of the rows."""

    @abstractmethod
    def ids(self, limit: int | None = None) -> list[str]:
        """Return the ids of the samples in the order of the data, the first ``limit`` of them."""

    @abstractmethod
    def categories(self) -> dict[str, str]:
        """Return the category of every sample, in the order of the data, without reading images."""

    @abstractmethod
    def load(self, sample_id: str) -> LoadedSample:
        """Load the sample with its checked images. SampleError if the row or an image is unusable."""

    def picture_hash(self, name: str) -> str:
        """Return the SHA-256 of the image file that rows call ``name``, empty if it does not exist (any more)."""
        return ""


class FileTask(Task):
    """A task of our task files over its data."""

    def __init__(self, definition: Definition, source: Source, data: str, revision: str = "", hub: str = "") -> None:
        own = definition.own_rule
        record = TaskRecord(
            name=definition.name,
            hash=definition.hash,
            metric=definition.metric,
            aggregation=definition.aggregation,
            tags=definition.tags,
            data=data,
            data_hash="",
            planned=0,
            released=definition.released,
            revision=revision,
            hub=hub,
            published=definition.size if hub else 0,
            metric_hash="" if own is None else own.hash,
            metric_file="" if own is None else str(definition.path),
            model_judge=definition.model_judge,
        )
        super().__init__(record)
        self.definition = definition
        self._source = source
        key = definition.id
        # Whether ids are row numbers.
        self._numbered = key is None or (isinstance(key, str) and not source.has(key))

    @property
    def data_hash(self) -> str:
        """The SHA-256 of the data files. It does not cover images in a folder beside JSON (``picture_hash``)."""
        return hash_files(self._source.files)

    def ids(self, limit: int | None = None) -> list[str]:
        if not self._numbered or self.definition.keep is not None:
            return list(self._index)[:limit]
        # No index is stored if ids are row numbers: for a million rows it would need 130 MB during the whole run.
        rows = sum(1 for _ in self._source.scan([]))
        if not rows:
            raise self._no_rows()
        return [str(number) for number in range(rows)[:limit]]

    def categories(self) -> dict[str, str]:
        """Return the category of every sample; see `Task`.

        It is empty for a row whose category cannot be read: that row fails when it is loaded.
        """
        category = self.definition.category
        if category is None:
            return dict.fromkeys(self._index, "")
        wanted = {number: sample_id for sample_id, number in self._index.items()}
        found = {}
        for number, row in enumerate(self._source.scan(self._readable())):
            if number in wanted:
                try:
                    found[wanted[number]] = _label(category(row))
                except Exception:
                    found[wanted[number]] = ""
        return found

    def load(self, sample_id: str) -> LoadedSample:
        bad, kind = "", "unusable row"
        try:
            row = self._source.row(self._row_number(sample_id))
        except BadRowError as error:
            row, bad = error.row, str(error)
        except LookupError:
            raise UserError(
                f"{self.record.data}: {self.name} has no sample {sample_id!r}; is it the data that the run began with?"
            ) from None
        sample, problem = describe(self.definition, sample_id, row)
        problem = bad or problem
        images: tuple[Image, ...] = ()
        try:
            images = _images(self.definition.visual(row))
        except BadImageError as error:
            problem, kind = (problem, kind) if problem else (str(error), "unreadable image")
        except Exception as error:
            problem, kind = (problem, kind) if problem else (f"doc_to_visual: {_one_line(error)}", "doc_to_visual")
        if problem:
            raise SampleError(problem, sample, kind)
        return identified(sample, images)

    def picture_hash(self, name: str) -> str:
        found = self._source.picture(name) if isinstance(self._source, NamedPictures) else EncodedImage(b"")
        try:
            data = found.data
        except OSError:
            return ""
        return hashlib.sha256(data).hexdigest() if data else ""

    def _row_number(self, sample_id: str) -> int:
        if not self._numbered or self.definition.keep is not None:
            return self._index[sample_id]
        # Finding a row by its number does not require reading the whole file.
        if sample_id.isascii() and sample_id.isdecimal() and str(int(sample_id)) == sample_id:
            return int(sample_id)
        raise KeyError(sample_id)

    @cached_property
    def _index(self) -> dict[str, int]:
        key = self.definition.id
        columns = [] if self._numbered or not isinstance(key, str) else [key]
        if self.definition.keep is not None or callable(key):
            columns = self._readable()
        rows: dict[str, int] = {}
        for number, row in enumerate(self._source.scan(columns)):
            if not self._kept(row, number):
                continue
            sample_id = self._sample_id(row, number)
            if sample_id in rows:
                raise UserError(
                    f"{self.record.data}: sample id {sample_id!r} of {self.name} occurs twice "
                    f"(rows {rows[sample_id] + 1} and {number + 1}); ids must be unique"
                )
            rows[sample_id] = number
        if not rows:
            raise self._no_rows()
        return rows

    def _no_rows(self) -> UserError:
        return UserError(f"{self.record.data}: holds no rows for {self.name}")

    def _readable(self) -> list[str]:
        """Return the columns that are fast to read: all but images."""
        return [
            name
            for name, column in self.definition.columns.items()
            if column.type not in IMAGE_TYPES and self._source.has(name)
        ]

    def _kept(self, row: Row, number: int) -> bool:
        keep = self.definition.keep
        try:
            return keep is None or bool(keep(row))
        except Exception as error:
            # Without knowing whether the row is a sample, we do not know what the task measures.
            raise UserError(f"{self.record.data}: row {number + 1} of {self.name}: keep: {_one_line(error)}") from error

    def _sample_id(self, row: Row, number: int) -> str:
        key = self.definition.id
        if key is None or self._numbered:
            return str(number)
        text = _label(row[key] if isinstance(key, str) else key(row))
        if not text:
            raise UserError(f"{self.record.data}: row {number + 1} of {self.name} has no sample id")
        return text


def describe(definition: Definition, sample_id: str, row: Mapping[str, Any]) -> tuple[Sample, str]:
    """Return the sample without images, as far as the row can be read, and the first error."""
    readers: list[tuple[str, str, Read | None, Callable[[object], Any]]] = [
        ("question", "doc_to_text", definition.text, _question),
        ("choices", "doc_to_choice", definition.choice, _choices),
        ("targets", "doc_to_target", definition.target, _targets),
        ("category", "category", definition.category, _label),
        ("stratum", "stratum", definition.stratum, _label),
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
    if definition.own_rule is not None and isinstance(definition.own_rule.judges, ResultRules):
        fields["doc"] = row_as_json(row)
    return Sample(task=definition.name, sample_id=sample_id, fields=fields, **read), problem


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
            if isinstance(encoded, bytes):
                encoded = EncodedImage(encoded)
            images.append(decode(encoded if isinstance(encoded, EncodedImage) else EncodedImage(b"")))
        except BadImageError as error:
            raise BadImageError(f"image {number}: {error}") from error
    return tuple(images)


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."


def _one_line(error: Exception) -> str:
    text = one_line(str(error))[:200]
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def identified(sample: Sample, images: tuple[Image, ...]) -> LoadedSample:
    """Return the sample with its images and the hash of everything that is asked and expected."""
    hashes = [image.ref.sha256 for image in images]
    content = {"question": sample.question, "choices": sample.choices, "targets": sample.targets, "images": hashes}
    return LoadedSample(
        structs.replace(
            sample,
            images=tuple(image.ref for image in images),
            # Questions about the same picture are dependent; a task file declares only larger clusters.
            cluster=sample.cluster or (fingerprint(hashes)[:16] if hashes else ""),
            content_hash=fingerprint(content),
        ),
        images,
    )
