"""The run folder: its manifest, its journal of rollouts, and its writer's lock."""

from maestro_eval.journal.journal import Journal
from maestro_eval.journal.manifest import TOKENIZER, Difference, Setting, diff, differences, read_manifest, settings_of
from maestro_eval.journal.records import (
    Finished,
    JournalCounts,
    PackedKeys,
    PackedRecord,
    Progress,
    ScoredRecord,
    ScoreRow,
    unpack_record,
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
    "Progress",
    "ScoreRow",
    "ScoredRecord",
    "Setting",
    "diff",
    "differences",
    "read_manifest",
    "settings_of",
    "unpack_record",
    "unpack_sample",
]
