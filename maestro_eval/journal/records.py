"""What goes into a journal and what it says of itself, and how a record becomes bytes and back."""

from __future__ import annotations

import zlib

import msgspec
from msgspec import Struct

from maestro_eval.types import Answered, Exhausted, Failed, Rollout, RolloutKey, Sample


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


class PackedRecord(Struct, frozen=True, array_like=True):
    """A planned key with its record and sample as the journal keeps them; both ``None`` where it never ran.

    It is for passing on without looking inside, to another process say.
    """

    task: str
    sample_id: str
    repeat: int
    rollout: bytes | None
    sample: str | None

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.task, self.sample_id, self.repeat)


_rollouts = msgspec.json.Decoder(Rollout)
_samples = msgspec.json.Decoder(Sample)


def outcome_tag(rollout: Rollout) -> str:
    """The word for the outcome that the ``outcome`` column holds."""
    match rollout.outcome:
        case Answered():
            return "answered"
        case Exhausted():
            return "exhausted"
        case Failed():
            return "failed"


def pack_rollout(rollout: Rollout) -> bytes:
    """Compressed JSON: a transcript is mostly English, which shrinks to a third or less."""
    return zlib.compress(msgspec.json.encode(rollout))


def unpack_rollout(data: bytes) -> Rollout:
    """The inverse of ``pack_rollout``; ``ValueError`` for bytes that are not a rollout."""
    try:
        return _rollouts.decode(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(str(error)) from error


def pack_sample(sample: Sample) -> str:
    """JSON as text, so that any SQLite tool can read the question."""
    return msgspec.json.encode(sample).decode()


def unpack_sample(text: str) -> Sample:
    """The inverse of ``pack_sample``."""
    return _samples.decode(text)
