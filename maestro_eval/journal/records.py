"""The records of a journal, and their encoding."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, overload

import msgspec
from msgspec import Struct

from maestro_eval.records import Exhausted, Failed, Rollout, RolloutKey, Sample


class Finished(Struct, frozen=True, gc=False):
    """A rollout that ended, with its sample: what a worker returns and a journal stores."""

    rollout: Rollout
    sample: Sample


class JournalCounts(Struct, frozen=True):
    """The progress of a run. ``planned`` counts keys; the others count current records."""

    planned: int
    answered: int
    exhausted: int
    failed: int

    @property
    def missing(self) -> int:
        """Planned keys without any record."""
        return self.planned - self.answered - self.exhausted - self.failed


class Progress(Struct, frozen=True):
    """The number of the latest attempt, and how many scores are stored."""

    attempt: int
    scores: int


class ScoreRow(NamedTuple):
    """A row of ``scores``; ``no_answer`` is the name of a `NoAnswer` in lower case."""

    protocol: str
    attempt: int
    metric: str
    value: float | None
    extracted: str
    note: str
    no_answer: str | None
    rule: str


class ScoredRecord(Struct, frozen=True, gc=False):
    """A planned key with its record and its stored scores (none before it was scored)."""

    record: PackedRecord
    scores: tuple[ScoreRow, ...]


class PackedRecord(Struct, frozen=True, gc=False, array_like=True):
    """A planned key with its encoded record and sample; both are ``None`` if it never ran.

    It can be passed on without decoding, to another process for example. ``attempt`` is the record's number in the
    journal.
    """

    task: str
    sample_id: str
    repeat: int
    rollout: bytes | None
    sample: str | None
    attempt: int | None = None

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.task, self.sample_id, self.repeat)


_rollouts = msgspec.json.Decoder(Rollout)
_samples = msgspec.json.Decoder(Sample)


_CHECKSUM = '{"checksum":"'


def columns_of(rollout: Rollout) -> tuple[str | float | None, ...]:
    """Return the columns of ``attempts`` for a rollout, in their order from ``outcome`` on."""
    outcome, usage, calls = rollout.outcome, rollout.usage, rollout.calls
    fault = outcome.fault if isinstance(outcome, Failed) else None
    return (
        outcome.word,
        outcome.cause if isinstance(outcome, Failed) else outcome.limit if isinstance(outcome, Exhausted) else None,
        outcome.kind or None if isinstance(outcome, Failed) else None,
        outcome.detail if isinstance(outcome, Failed) else None,
        None if fault is None else fault.kind,
        None if fault is None else fault.status,
        rollout.answer,
        len(rollout.turns),
        len(rollout.searches),
        len(calls),
        sum(call.cached for call in calls),
        usage.prompt_tokens,
        usage.completion_tokens,
        len(rollout.missing_evidence),
        rollout.timing.started_at,
        rollout.timing.elapsed_s,
        rollout.worker,
    )


def pack_rollout(rollout: Rollout) -> bytes:
    """Encode as compressed JSON: a transcript is mostly English, which shrinks to a third or less."""
    return zlib.compress(msgspec.json.encode(rollout))


def unpack_rollout(data: bytes) -> Rollout:
    """Decode the bytes of ``pack_rollout``; ``ValueError`` for bytes that are not a rollout."""
    try:
        return _rollouts.decode(zlib.decompress(data))
    except (zlib.error, TypeError) as error:
        raise ValueError(str(error)) from error


def pack_sample(sample: Sample) -> str:
    """Encode as JSON text, so that any SQLite tool can read it; the first field is a checksum of the others."""
    text = msgspec.json.encode(sample).decode()
    return _checked(text) + text[1:]


def unpack_sample(text: str) -> Sample:
    """Decode the text of ``pack_sample``; ``ValueError`` if its checksum disagrees. Older ones have none."""
    if not isinstance(text, str):  # SQLite stores any type in any column.
        raise ValueError("its sample is no text")
    if text.startswith(_CHECKSUM):
        end = len(_CHECKSUM) + 10
        written, text = text[:end], "{" + text[end:]
        if written != _checked(text):
            raise ValueError("the checksum of its sample disagrees")
    return _samples.decode(text)


def _checked(text: str) -> str:
    return f'{_CHECKSUM}{zlib.crc32(text.encode()):08x}",'


def unpack_record(record: PackedRecord) -> tuple[Rollout, Sample]:
    """Decode the rollout and the sample of a record; ``ValueError`` if they are damaged, or those of another key."""
    rollout, sample = unpack_rollout(record.rollout or b""), unpack_sample(record.sample or "")
    if rollout.key != record.key:
        raise ValueError(f"it is that of {rollout.key.task}/{rollout.key.sample_id}/{rollout.key.repeat}")
    if (sample.task, sample.sample_id) != (record.task, record.sample_id):
        raise ValueError(f"its sample is {sample.task}/{sample.sample_id}")
    return rollout, sample


class PackedKeys(Sequence[RolloutKey]):
    """Very many keys in little memory: some 25 bytes each, where a list of a million takes 130 MB.

    An immutable sequence, equal to any other of the same keys; a key is created when it is accessed.
    """

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __init__(self, keys: Iterable[RolloutKey]) -> None:
        numbers: dict[str, int] = {}
        self._task_numbers = array("I")
        self._repeats = array("I")
        self._ids = bytearray()
        self._ends = array("Q", [0])
        for key in keys:
            self._task_numbers.append(numbers.setdefault(key.task, len(numbers)))
            self._repeats.append(key.repeat)
            self._ids += key.sample_id.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._ids))
        self._tasks = tuple(numbers)

    def __len__(self) -> int:
        return len(self._repeats)

    def __iter__(self) -> Iterator[RolloutKey]:
        for (begin, end), number, repeat in zip(pairwise(self._ends), self._task_numbers, self._repeats, strict=True):
            yield RolloutKey(self._tasks[number], self._ids[begin:end].decode("utf-8", "surrogatepass"), repeat)

    @overload
    def __getitem__(self, place: int) -> RolloutKey: ...
    @overload
    def __getitem__(self, place: slice) -> list[RolloutKey]: ...
    def __getitem__(self, place: int | slice) -> RolloutKey | list[RolloutKey]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        written = self._ids[self._ends[place] : self._ends[place + 1]]
        task = self._tasks[self._task_numbers[place]]
        return RolloutKey(task, written.decode("utf-8", "surrogatepass"), self._repeats[place])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(own == one for own, one in zip(self, other, strict=True))
