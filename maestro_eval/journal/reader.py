"""Reads a journal: the plan, the current attempt of each key, the progress of the run, and the database's integrity."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from maestro_eval.journal import database
from maestro_eval.journal.records import (
    JournalCounts,
    PackedKeys,
    PackedRecord,
    Progress,
    ScoredRecord,
    ScoreRow,
    columns_of,
    unpack_record,
    unpack_sample,
)
from maestro_eval.records import PROTOCOLS, Rollout, RolloutKey, RunManifest, Sample, UserError

_PLANNED = """
    plan
    LEFT JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
    LEFT JOIN transcripts ON transcripts.attempt = attempts.attempt
    LEFT JOIN samples ON samples.sample = attempts.sample
"""


class JournalReader:
    """The queries of a journal. Each reads one consistent snapshot, also during a run."""

    def __init__(self, folder: Path, manifest: RunManifest, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.manifest = manifest
        self._connection = connection

    def pending(self, *, skipped: Collection[RolloutKey] = ()) -> PackedKeys:
        """Return the keys to run, in plan order: those without a record and the failed ones, except ``skipped``."""
        left_out = frozenset(skipped)
        rows = self._read(
            """
            SELECT task, sample_id, repeat
            FROM plan LEFT JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
            WHERE outcome IS NULL OR outcome = 'failed'
            ORDER BY plan.key
            """
        )
        return PackedKeys(key for row in rows if (key := RolloutKey(*row)) not in left_out)

    def failed(self) -> Iterator[Rollout]:
        """Yield the records of failed rollouts, in key order."""
        return (rollout for rollout, _ in self._current("outcome = 'failed'"))

    def lacking_evidence(self) -> PackedKeys:
        """Return keys whose rollout did not fail, but lacks evidence that a service failed to give, in key order."""
        rows = self._read(
            """
            SELECT task, sample_id, repeat FROM rollouts WHERE missing_evidence > 0 AND outcome != 'failed'
            ORDER BY task, sample_id, repeat
            """
        )
        return PackedKeys(RolloutKey(*row) for row in rows)

    def rollouts(self, task: str | None = None) -> Iterator[tuple[Rollout, Sample]]:
        """Yield every current record with the sample that its rollout saw, in key order; one snapshot, streamed."""
        # Two queries, since SQLite uses no index for "?1 IS NULL OR task = ?1".
        return self._current("1") if task is None else self._current("plan.task = ?", (task,))

    def times(self, task: str, most: int) -> list[float]:
        """Return the seconds of the rollouts of ``task`` that did not fail, among the first ``most`` in key order."""
        query = "SELECT outcome, elapsed_s FROM rollouts WHERE task = ? ORDER BY sample_id, repeat LIMIT ?"
        return [elapsed_s for outcome, elapsed_s in self._read(query, (task, most)) if outcome != "failed"]

    def get(self, key: RolloutKey) -> Rollout | None:
        """Return the current record of ``key``, or None."""
        chosen = "plan.task = ? AND plan.sample_id = ? AND plan.repeat = ?"
        found = list(self._current(chosen, (key.task, key.sample_id, key.repeat)))
        return found[0][0] if found else None

    def _current(self, chosen: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Rollout, Sample]]:
        rows = self._read(
            f"""
            SELECT plan.task, plan.sample_id, plan.repeat, transcripts.record, samples.record
            FROM plan JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
            JOIN transcripts USING (attempt) JOIN samples USING (sample)
            WHERE {chosen}
            ORDER BY plan.task, plan.sample_id, plan.repeat
            """,
            parameters,
        )
        for row in rows:
            record = PackedRecord(*row)
            try:
                yield unpack_record(record)
            except ValueError as error:
                raise self._damaged(record.key, error) from error

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of the current rollouts except failed ones; a sample once for each of its contents."""
        rows = self._read(
            """
            SELECT task, sample_id, record FROM samples
            WHERE sample IN (SELECT sample FROM attempts WHERE current = 1 AND outcome != 'failed')
            """
        )
        for task, sample_id, record in rows:
            try:
                yield unpack_sample(record)
            except ValueError as error:
                raise self._damaged(RolloutKey(task, sample_id, 0), error) from error

    def planned_records(self) -> Iterator[PackedRecord]:
        """Yield every planned key with its current record, in key order; one snapshot, streamed, not unpacked."""
        rows = self._read(
            f"""
            SELECT plan.task, plan.sample_id, plan.repeat, transcripts.record, samples.record, attempts.attempt
            FROM {_PLANNED}
            ORDER BY plan.task, plan.sample_id, plan.repeat
            """
        )
        return (PackedRecord(*row) for row in rows)

    def scored_records(
        self, *, after: int = 0, key: RolloutKey | None = None, transcripts: bool = True
    ) -> Iterator[ScoredRecord]:
        """Yield the same as ``planned_records``, each with its stored scores.

        ``after`` selects the current attempts with a higher number, ``key`` that key only. Without ``transcripts``
        there are samples and scores only.
        """
        scores = [(name, f"s{number}") for number, name in enumerate(PROTOCOLS)]
        columns = "".join(f", {s}.{column}" for _, s in scores for column in ScoreRow._fields[2:])
        joins = "".join(
            f" LEFT JOIN scores AS {s} ON {s}.protocol = '{name}' AND {s}.attempt = attempts.attempt"
            for name, s in scores
        )
        chosen = "WHERE attempts.attempt > ?" if after else ""
        parameters: list[str | int] = [after] if after else []
        if key is not None:
            chosen = "WHERE plan.task = ? AND plan.sample_id = ? AND plan.repeat = ?"
            parameters = [key.task, key.sample_id, key.repeat]
        rows = self._read(
            f"""
            SELECT plan.task, plan.sample_id, plan.repeat, {"transcripts.record" if transcripts else "NULL"},
                samples.record, attempts.attempt {columns}
            FROM {_PLANNED} {joins} {chosen}
            ORDER BY plan.task, plan.sample_id, plan.repeat
            """,
            parameters,
        )
        # Runs a million times: from the seventh on, six columns for each protocol, all None if it has no score.
        places = [(name, 6 + 6 * number) for number, name in enumerate(PROTOCOLS)]
        for row in rows:
            stored = [ScoreRow(name, row[5], *row[at : at + 6]) for name, at in places if row[at] is not None]
            yield ScoredRecord(PackedRecord(*row[:6]), tuple(stored))

    def progress(self) -> Progress:
        """Return the latest attempt and the number of scores, to detect changes of either."""
        ((attempt, scores),) = self._read("SELECT (SELECT max(attempt) FROM attempts), (SELECT count(*) FROM scores)")
        return Progress(attempt or 0, scores)

    def plan(self, name: str | None = None) -> Iterator[RolloutKey]:
        """Yield the planned keys, all or those of one task, in the order in which they are to be run."""
        # Two queries, as in `rollouts`.
        chosen, parameters = ("", ()) if name is None else ("WHERE task = ?", (name,))
        rows = self._read(f"SELECT task, sample_id, repeat FROM plan {chosen} ORDER BY key", parameters)
        # A million keys share a few task names.
        return (RolloutKey(sys.intern(task), sample_id, repeat) for task, sample_id, repeat in rows)

    def planned(self) -> dict[str, int]:
        """Return the number of planned keys of each task."""
        return dict(self._read("SELECT task, count(*) FROM plan GROUP BY task ORDER BY task"))

    def counts(self) -> JournalCounts:
        """Count the planned keys and the current records by their outcome."""
        planned = sum(self.planned().values())
        of = dict(self._read("SELECT outcome, count(*) FROM attempts WHERE current = 1 GROUP BY outcome"))
        return JournalCounts(planned, of.get("answered", 0), of.get("exhausted", 0), of.get("failed", 0))

    def unjudged(self) -> int:
        """Count the answers on which the official protocol has no verdict: their judge failed."""
        ((found,),) = self._read(
            """
            SELECT count(*) FROM scores JOIN attempts USING (attempt)
            WHERE protocol = 'official' AND value IS NULL AND current = 1 AND outcome != 'failed'
            """
        )
        return int(found)

    def problems(self) -> Iterator[str]:
        """Yield each defect of the database in one line; reads all of it."""
        for (found,) in self._read("PRAGMA integrity_check(10)"):
            if found != "ok":
                yield f"{database.NAME}: {' '.join(str(found).split())}"
        strays = self._read("SELECT count(*) FROM attempts WHERE key NOT IN (SELECT key FROM plan)")
        if stray := sum(count for (count,) in strays):
            yield f"{database.NAME}: {stray} records are of no planned rollout"
        rows = self._read(
            """
            SELECT plan.task, plan.sample_id, plan.repeat, transcripts.record, samples.record, attempts.*
            FROM attempts JOIN plan USING (key) LEFT JOIN transcripts USING (attempt) LEFT JOIN samples USING (sample)
            ORDER BY attempt
            """
        )
        for task, sample_id, repeat, rollout, sample, attempt, _, number, _, _, *columns in rows:
            where = f"{database.NAME}: attempt {number} of {task}/{sample_id}/{repeat}"
            try:
                found, _ = unpack_record(PackedRecord(task, sample_id, repeat, rollout, sample, attempt))
            except ValueError as error:
                yield f"{where}: {error}"
                continue
            if columns != list(columns_of(found)):
                yield f"{where}: its columns are not what its transcript says"

    def _read(self, query: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, streamed; UserError if the file turns out to be damaged."""
        try:
            # Not `yield from`, which closes the cursor when its reader leaves early, maybe after the connection.
            for row in self._connection.execute(query, parameters):  # noqa: UP028
                yield row
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{self.folder / database.NAME}: cannot be read to its end ({error}); restore it from a copy"
            ) from error

    def _damaged(self, key: RolloutKey, error: ValueError) -> UserError:
        where = f"{self.folder / database.NAME}: the record of {key.task}/{key.sample_id}/{key.repeat}"
        return UserError(f"{where} is damaged ({error}); restore the folder from a copy")
