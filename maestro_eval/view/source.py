"""The viewer's only access to a run folder: records, samples and scores, through the journal.

A folder is opened read-only, also while another process writes to it. Stored scores are shown as they are; rollouts
without one are judged here, but only by bundled rules that run no program: code that a manifest names is not trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from maestro_eval.journal import (
    Journal,
    PackedRecord,
    ScoredRecord,
    unpack_record,
    unpack_sample,
)
from maestro_eval.records import (
    PROTOCOLS,
    NoAnswer,
    Rollout,
    RolloutKey,
    Sample,
    Score,
    TaskRecord,
    UserError,
)
from maestro_eval.scoring import METRICS, RELEASED, RunScores, judge_of, score_rollout, unscored


class Entry(Struct, frozen=True, gc=False):
    """A planned rollout, with its record if it ran; ``values`` are in the order of ``PROTOCOLS``."""

    key: RolloutKey
    rollout: Rollout | None
    sample: Sample | None
    values: tuple[float | None, ...]


class Judged(Entry, frozen=True, kw_only=True):
    """An entry with its full scores."""

    scores: tuple[Score, ...]


class RunSource:
    """A run folder with its ``journal`` open for reading; only the thread that opened it uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal.open(folder, read_only=True)
        self._tasks = {task.name: task for task in self.journal.manifest.tasks}

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Iterate over one snapshot of the planned rollouts in key order, or over the attempts later than ``after``."""
        return map(self._entry, self.journal.scored_records(after=after))

    def get(self, key: RolloutKey) -> Judged:
        """Return one planned rollout with its full scores."""
        found = next(self.journal.scored_records(key=key))
        rollout, sample = self._unpacked(found.record)
        scores = self._scores(found, rollout, sample)
        task = self._tasks[key.task]
        if rollout is not None and sample is not None and is_judged_here(task):
            # Stored scores lack the further measures.
            anew = [_judged(sample, rollout, task, score.protocol) for score in scores]
            scores = tuple(new if new.value == old.value else old for new, old in zip(anew, scores, strict=True))
        return Judged(key, rollout, sample, tuple(score.value for score in scores), scores=scores)

    def unjudged(self, key: RolloutKey) -> Entry:
        """Return one planned rollout without judging it."""
        return Entry(key, *self._unpacked(next(self.journal.scored_records(key=key)).record), ())

    def sample(self, key: RolloutKey) -> Sample | None:
        """Return the sample of a rollout; ``None`` if it never ran."""
        record = next(self.journal.scored_records(key=key, transcripts=False)).record
        return None if record.sample is None else unpack_sample(record.sample)

    def scores(self, protocol: str) -> RunScores:
        """Return all scores under one protocol, for statistics; each iteration reads them again."""
        return RunScores(self.journal.manifest, protocol, _Scores(self, PROTOCOLS.index(protocol)))

    def light_scores(self, number: int) -> Iterator[Score]:
        """Iterate over the scores of protocol ``number``; transcripts are read only for unscored rollouts."""
        for found in self.journal.scored_records(transcripts=False):
            record = found.record
            if record.sample is None or len(found.scores) == len(PROTOCOLS):
                sample = None if record.sample is None else unpack_sample(record.sample)
                yield self._scores(found, None, sample)[number]
            else:
                yield self.get(record.key).scores[number]

    def _entry(self, found: ScoredRecord) -> Entry:
        rollout, sample = self._unpacked(found.record)
        # Hot path: full scores are built only if none are stored.
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
                    no_answer=NoAnswer[stored.no_answer.upper()] if stored.no_answer else None,
                    rule=stored.rule,
                )
                for stored in found.scores
            )
        assert rollout is not None
        if not is_judged_here(task):
            return tuple(unscored(key, task, protocol, "not scored yet") for protocol in PROTOCOLS)
        return tuple(_judged(sample, rollout, task, protocol) for protocol in PROTOCOLS)


def is_judged_here(task: TaskRecord) -> bool:
    """Return True if bundled rules alone judge the task's answers, without running a program."""
    if task.metric_file or task.metric not in METRICS.bundled or task.released not in ("", *RELEASED):
        return False
    return all(judge_of(task, protocol).is_self_contained for protocol in PROTOCOLS)


def _judged(sample: Sample, rollout: Rollout, task: TaskRecord, protocol: str) -> Score:
    try:
        return score_rollout(sample, rollout, task, protocol)
    except Exception as error:  # a judge's failure is shown at its rollout and hides no other
        return unscored(rollout.key, task, protocol, f"could not be judged: {error}"[:200])


class _Scores:
    """The scores of a run under the protocol of that number; each iteration reads them again."""

    def __init__(self, source: RunSource, number: int) -> None:
        self._source = source
        self._number = number

    def __iter__(self) -> Iterator[Score]:
        return self._source.light_scores(self._number)


def stamp_of(folder: Path) -> str:
    """Return a text that changes whenever the folder's journal or manifest may have been written to."""
    found = []
    for name in ("journal.db", "journal.db-wal", "manifest.json"):
        try:
            status = (folder / name).stat()
        except OSError:
            continue
        # A reader alone creates an empty log.
        if status.st_size:
            found.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(found)
