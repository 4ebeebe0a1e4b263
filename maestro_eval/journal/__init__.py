"""What happened? The run folder: its manifest, its journal of rollouts, and the lock of its one writer."""

from maestro_eval.journal.journal import Journal
from maestro_eval.journal.keys import PackedKeys
from maestro_eval.journal.manifest import read_manifest
from maestro_eval.journal.manifest_diff import TOKENIZER, Difference, Setting, diff, differences, settings_of
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
    "TOKENIZER",
    "Difference",
    "Finished",
    "Journal",
    "JournalCounts",
    "PackedKeys",
    "PackedRecord",
    "ScoreRow",
    "ScoredRecord",
    "Setting",
    "diff",
    "differences",
    "lacks_evidence",
    "read_manifest",
    "settings_of",
    "unpack_record",
    "unpack_rollout",
    "unpack_sample",
]
