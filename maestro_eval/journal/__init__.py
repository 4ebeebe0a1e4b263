"""What happened? The run folder: its manifest, its journal of rollouts, and the lock of its one writer."""

from maestro_eval.journal.journal import Journal
from maestro_eval.journal.manifest import read_manifest
from maestro_eval.journal.records import Finished, JournalCounts

__all__ = ["Finished", "Journal", "JournalCounts", "read_manifest"]
