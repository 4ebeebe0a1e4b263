"""What happened? The run folder: its manifest, its journal of rollouts, and the lock of its one writer."""

from maestro_eval.journal.journal import Journal
from maestro_eval.journal.keys import PackedKeys
from maestro_eval.journal.manifest import read_manifest
from maestro_eval.journal.records import (
    Finished,
    JournalCounts,
    PackedRecord,
    ScoredRecord,
    ScoreRow,
    lacks_evidence,
    unpack_record,
    unpack_rollout,
    unpack_sample,
)

__all__ = [
    "Finished",
    "Journal",
    "JournalCounts",
    "PackedKeys",
    "PackedRecord",
    "ScoreRow",
    "ScoredRecord",
    "lacks_evidence",
    "read_manifest",
    "unpack_record",
    "unpack_rollout",
    "unpack_sample",
]
