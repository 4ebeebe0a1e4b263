"""What goes into a journal and what it says of itself, and how a record becomes bytes and back."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec
from msgspec import Struct

from maestro_eval.records import Exhausted, Failed, Rollout, RolloutKey, Sample


class Finished(Struct, frozen=True):
    """A rollout that ended, with the sample that it was of: what a worker hands back and a journal takes."""

    rollout: Rollout
    sample: Sample


class JournalCounts(Struct, frozen=True):
    """How far a run is. ``planned`` counts keys; the others count the records that stand for them now."""

    planned: int
    answered: int
    exhausted: int
    failed: int

    @property
    def missing(self) -> int:
        """Planned keys without any record."""
        return self.planned - self.answered - self.exhausted - self.failed


class ScoreRow(NamedTuple):
    """A row of ``scores``."""

    protocol: str
    attempt: int
    metric: str
    value: float | None
    extracted: str
    note: str


class ScoredRecord(Struct, frozen=True):
    """A planned key with its record, and the scores that are stored for that: none before it was scored."""

    record: PackedRecord
    scores: tuple[ScoreRow, ...]


class PackedRecord(Struct, frozen=True, array_like=True):
    """A planned key with its record and sample as the journal keeps them; both ``None`` where it never ran.

    It is for passing on without looking inside, to another process say. ``attempt`` is the number of the record in
    the journal.
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


def lacks_evidence(rollout: Rollout) -> bool:
    """Whether the rollout ended well, but without evidence that a service failed to give."""
    return bool(rollout.missing_evidence) and not isinstance(rollout.outcome, Failed)


def columns_of(rollout: Rollout) -> tuple[str | float | None, ...]:
    """What the columns of ``attempts`` say of a rollout, in their order from ``outcome`` on."""
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
    """Compressed JSON: a transcript is mostly English, which shrinks to a third or less."""
    return zlib.compress(msgspec.json.encode(rollout))


def unpack_rollout(data: bytes) -> Rollout:
    """The inverse of ``pack_rollout``; ``ValueError`` for bytes that are not a rollout."""
    try:
        return _rollouts.decode(zlib.decompress(data))
    except (zlib.error, TypeError) as error:
        raise ValueError(str(error)) from error


def pack_sample(sample: Sample) -> str:
    """JSON as text, so that any SQLite tool can read the question; its first field is a checksum of the others."""
    text = msgspec.json.encode(sample).decode()
    return _checked(text) + text[1:]


def unpack_sample(text: str) -> Sample:
    """The inverse of ``pack_sample``; ``ValueError`` where its checksum disagrees. Older ones have none."""
    if not isinstance(text, str):  # SQLite holds any kind in any column.
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
    """The rollout and the sample of a record; ``ValueError`` where they are damaged, or those of another key."""
    rollout, sample = unpack_rollout(record.rollout or b""), unpack_sample(record.sample or "")
    if rollout.key != record.key:
        raise ValueError(f"it is that of {rollout.key.task}/{rollout.key.sample_id}/{rollout.key.repeat}")
    if (sample.task, sample.sample_id) != (record.task, record.sample_id):
        raise ValueError(f"its sample is {sample.task}/{sample.sample_id}")
    return rollout, sample
