"""The one place where the viewer reads a run folder: records, samples and scores, through the journal's public face.

A folder is opened for reading only, also while another process writes to it. Scores are those that the last scoring
stored; what was not scored yet is judged here, by our own rules and unless those run a program: which code a manifest
names is not taken from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from maestro_eval.journal import Journal, JournalCounts, PackedRecord, ScoredRecord, unpack_record, unpack_sample
from maestro_eval.records import PROTOCOLS, Rollout, RolloutKey, RunManifest, Sample, Score, TaskRecord, UserError
from maestro_eval.scoring import FALL_BACK, METRICS, RELEASED, RunScores, score_rollout, unscored


class Entry(Struct, frozen=True):
    """A planned rollout with what became of it; ``values`` are in the order of ``PROTOCOLS``."""

    key: RolloutKey
    rollout: Rollout | None
    sample: Sample | None
    values: tuple[float | None, ...]


class Judged(Entry, frozen=True, kw_only=True):
    """An entry with its whole scores."""

    scores: tuple[Score, ...]


class Progress(Struct, frozen=True):
    """How far a journal is: the number of its latest attempt, and how many scores it has stored."""

    attempt: int
    scores: int


class RunSource:
    """A run folder, open for reading; it belongs to the thread that made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = Journal.open(folder, read_only=True)
        self._tasks = {task.name: task for task in self.manifest.tasks}

    @property
    def manifest(self) -> RunManifest:
        return self._journal.manifest

    def counts(self) -> JournalCounts:
        return self._journal.counts()

    def is_scored(self) -> bool:
        """Return whether each rollout has a stored score."""
        return self._journal.is_scored()

    def progress(self) -> Progress:
        return Progress(*self._journal.progress())

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Every planned rollout in key order, of one moment; of attempts later than ``after`` only, where given."""
        return map(self._entry, self._journal.scored_records(after=after))

    def get(self, key: RolloutKey) -> Judged:
        """One planned rollout."""
        found = next(self._journal.scored_records(key=key))
        rollout, sample = self._unpacked(found.record)
        scores = self._scores(found, rollout, sample)
        task = self._tasks[key.task]
        if rollout is not None and sample is not None and is_judged_here(task):
            # What is stored has no columns for the rule that found the answer, and the like.
            anew = [_judged(sample, rollout, task, score.protocol) for score in scores]
            scores = tuple(new if new.value == old.value else old for new, old in zip(anew, scores, strict=True))
        return Judged(key, rollout, sample, tuple(score.value for score in scores), scores=scores)

    def sample(self, key: RolloutKey) -> Sample | None:
        """What a rollout was asked; ``None`` where it never ran."""
        record = next(self._journal.scored_records(key=key, transcripts=False)).record
        return None if record.sample is None else unpack_sample(record.sample)

    def scores(self, protocol: str) -> RunScores:
        """All scores under one protocol, for statistics; they are read as often as one iterates over them."""
        return RunScores(self.manifest, protocol, _Scores(self, PROTOCOLS.index(protocol)))

    def light_scores(self, number: int) -> Iterator[Score]:
        """The scores under the protocol of that number, transcripts read only where none is stored."""
        for found in self._journal.scored_records(transcripts=False):
            record = found.record
            if record.sample is None or len(found.scores) == len(PROTOCOLS):
                sample = None if record.sample is None else unpack_sample(record.sample)
                yield self._scores(found, None, sample)[number]
            else:
                yield self.get(record.key).scores[number]

    def close(self) -> None:
        self._journal.close()

    def _entry(self, found: ScoredRecord) -> Entry:
        rollout, sample = self._unpacked(found.record)
        # A million times: whole scores are made only where none are stored.
        stored = found.scores if len(found.scores) == len(PROTOCOLS) else self._scores(found, rollout, sample)
        return Entry(found.record.key, rollout, sample, tuple([score.value for score in stored]))

    def _unpacked(self, record: PackedRecord) -> tuple[Rollout | None, Sample | None]:
        try:
            return (None, None) if record.rollout is None else unpack_record(record)
        except ValueError as error:
            raise UserError(f"{self.folder}: the record of {record.key} is damaged ({error})") from error

    def _scores(self, found: ScoredRecord, rollout: Rollout | None, sample: Sample | None) -> tuple[Score, ...]:
        key = found.record.key
        task = self._tasks[key.task]
        if sample is None:
            return tuple(unscored(key, task, protocol, "never ran") for protocol in PROTOCOLS)
        if len(found.scores) == len(PROTOCOLS):
            return tuple(
                Score(
                    key.task,
                    key.sample_id,
                    key.repeat,
                    stored.metric,
                    stored.protocol,
                    stored.value,
                    stored.extracted,
                    sample.category,
                    sample.stratum,
                    sample.cluster,
                    sample.content_hash,
                    stored.note,
                )
                for stored in found.scores
            )
        assert rollout is not None
        if not is_judged_here(task):
            return tuple(unscored(key, task, protocol, "not scored yet") for protocol in PROTOCOLS)
        return tuple(_judged(sample, rollout, task, protocol) for protocol in PROTOCOLS)


def is_judged_here(task: TaskRecord) -> bool:
    """Whether verdicts on a task's answers take nothing but our own rules, and run no program."""
    released = RELEASED.get(task.released or FALL_BACK)
    ours = not task.metric_file and task.metric in METRICS.bundled and METRICS.find(task.metric).is_self_contained
    return ours and released is not None and not released.runs_code


def _judged(sample: Sample, rollout: Rollout, task: TaskRecord, protocol: str) -> Score:
    try:
        return score_rollout(sample, rollout, task, protocol)
    except Exception as error:  # whatever a judge trips over is shown there, and hides no other rollout
        return unscored(rollout.key, task, protocol, f"could not be judged: {error}"[:200])


class _Scores:
    """The scores of a run under the protocol of that number; iterable as often as one likes."""

    def __init__(self, source: RunSource, number: int) -> None:
        self._source = source
        self._number = number

    def __iter__(self) -> Iterator[Score]:
        return self._source.light_scores(self._number)


def stamp_of(folder: Path) -> str:
    """A text that changes whenever something may have been written to the folder's journal or manifest."""
    found = []
    for name in ("journal.db", "journal.db-wal", "manifest.json"):
        try:
            status = (folder / name).stat()
        except OSError:
            continue
        # A log that a reader made and nobody wrote to is empty.
        if status.st_size:
            found.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(found)
