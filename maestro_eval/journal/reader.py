"""What a journal says: the plan, the current attempt of each key, how far the run is, whether the database is whole."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from maestro_eval.journal import database
from maestro_eval.journal.keys import PackedKeys
from maestro_eval.journal.records import (
    JournalCounts,
    PackedRecord,
    ScoredRecord,
    ScoreRow,
    columns_of,
    unpack_record,
    unpack_rollout,
    unpack_sample,
)
from maestro_eval.records import PROTOCOLS, Rollout, RolloutKey, RunManifest, Sample, UserError

_CURRENT = """
    plan JOIN attempts ON attempts.key = plan.key AND attempts.current = 1 JOIN transcripts USING (attempt)
"""


class JournalReader:
    """The questions that a journal answers. What is read is of one moment, also while a run goes on."""

    def __init__(self, folder: Path, manifest: RunManifest, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.manifest = manifest
        self._connection = connection

    def pending(self, retry_failed: bool = True, *, skipped: Collection[RolloutKey] = ()) -> PackedKeys:
        """Keys still to be run, in plan order: those without a record, and the failed ones if they get a retry.

        ``skipped`` are left out.
        """
        left_out = frozenset(skipped)
        rows = self._read(
            """
            SELECT task, sample_id, repeat
            FROM plan LEFT JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
            WHERE outcome IS NULL OR (? AND outcome = 'failed')
            ORDER BY plan.key
            """,
            (retry_failed,),
        )
        return PackedKeys(key for row in rows if (key := _key(*row)) not in left_out)

    def failed(self) -> Iterator[Rollout]:
        """The records of failed rollouts, in key order."""
        rows = self._read(
            f"SELECT task, sample_id, repeat, record FROM {_CURRENT} WHERE outcome = 'failed' ORDER BY 1, 2, 3"
        )
        for *key, record in rows:
            try:
                yield unpack_rollout(record)
            except ValueError as error:
                raise self._damaged(RolloutKey(*key), error) from error

    def lacking_evidence(self) -> PackedKeys:
        """Keys whose rollout ended well, but without evidence that a service failed to give, in key order."""
        rows = self._read(
            """
            SELECT task, sample_id, repeat FROM rollouts WHERE missing_evidence > 0 AND outcome != 'failed'
            ORDER BY task, sample_id, repeat
            """
        )
        return PackedKeys(_key(*row) for row in rows)

    def rollouts(self, task: str | None = None) -> Iterator[tuple[Rollout, Sample]]:
        """Every record that stands, with the sample that its rollout saw, in key order; of one moment, streamed."""
        # Said apart, since SQLite takes no index for "?1 IS NULL OR task = ?1".
        chosen, parameters = ("", ()) if task is None else ("WHERE plan.task = ?", (task,))
        rows = self._read(
            f"""
            SELECT plan.task, plan.sample_id, plan.repeat, transcripts.record, samples.record
            FROM {_CURRENT} JOIN samples USING (sample)
            {chosen}
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
        """What the rollouts that stand, failed ones apart, were asked: a sample each time with other contents."""
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

    def get(self, key: RolloutKey) -> Rollout | None:
        """The record that stands for ``key``; None where there is none."""
        rows = self._read(
            f"SELECT record FROM {_CURRENT} WHERE task = ? AND sample_id = ? AND repeat = ?",
            (key.task, key.sample_id, key.repeat),
        )
        try:
            return next((unpack_rollout(record) for (record,) in list(rows)), None)
        except ValueError as error:
            raise self._damaged(key, error) from error

    def planned_records(self) -> Iterator[PackedRecord]:
        """Every planned key in key order, with the record that stands for it; of one moment, streamed, not unpacked."""
        rows = self._read(
            """
            SELECT plan.task, plan.sample_id, plan.repeat, transcripts.record, samples.record, attempts.attempt
            FROM plan
            LEFT JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
            LEFT JOIN transcripts ON transcripts.attempt = attempts.attempt
            LEFT JOIN samples ON samples.sample = attempts.sample
            ORDER BY plan.task, plan.sample_id, plan.repeat
            """
        )
        return (PackedRecord(*row) for row in rows)

    def scored_records(
        self, *, after: int = 0, key: RolloutKey | None = None, transcripts: bool = True
    ) -> Iterator[ScoredRecord]:
        """As ``planned_records``, each with its stored scores.

        ``after`` leaves out all but the current attempts with a higher number, ``key`` all but that key. Without
        ``transcripts`` there are samples and scores only.
        """
        scores = [(name, f"s{number}") for number, name in enumerate(PROTOCOLS)]
        columns = "".join(f", {s}.metric, {s}.value, {s}.extracted, {s}.note" for _, s in scores)
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
            FROM plan
            LEFT JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
            LEFT JOIN transcripts ON transcripts.attempt = attempts.attempt
            LEFT JOIN samples ON samples.sample = attempts.sample
            {joins} {chosen}
            ORDER BY plan.task, plan.sample_id, plan.repeat
            """,
            parameters,
        )
        for row in rows:
            stored = zip(PROTOCOLS, zip(*[iter(row[6:])] * 4, strict=True), strict=True)
            yield ScoredRecord(
                PackedRecord(*row[:6]),
                tuple(ScoreRow(name, row[5], *columns) for name, columns in stored if columns[0] is not None),
            )

    def progress(self) -> tuple[int, int]:
        """The number of the latest attempt, and how many scores are stored."""
        ((attempt, scores),) = self._read("SELECT (SELECT max(attempt) FROM attempts), (SELECT count(*) FROM scores)")
        return attempt or 0, scores

    def is_scored(self) -> bool:
        """Return whether each record that stands has a stored official score."""
        ((unscored,),) = self._read(
            """
            SELECT EXISTS (
                SELECT 1 FROM attempts WHERE current = 1
                AND attempt NOT IN (SELECT attempt FROM scores WHERE protocol = 'official')
            )
            """
        )
        return not unscored

    def plan(self, task: str | None = None) -> Iterator[RolloutKey]:
        """The planned keys in the order in which they are to be run."""
        # Said apart, as in `rollouts`.
        chosen, parameters = ("", ()) if task is None else ("WHERE task = ?", (task,))
        rows = self._read(f"SELECT task, sample_id, repeat FROM plan {chosen} ORDER BY key", parameters)
        return (_key(*row) for row in rows)

    def planned(self) -> dict[str, int]:
        """How many keys of each task were planned."""
        return dict(self._read("SELECT task, count(*) FROM plan GROUP BY task ORDER BY task"))

    def counts(self) -> JournalCounts:
        """How far the run is."""
        planned = sum(self.planned().values())
        of = dict(self._read("SELECT outcome, count(*) FROM attempts WHERE current = 1 GROUP BY outcome"))
        return JournalCounts(planned, of.get("answered", 0), of.get("exhausted", 0), of.get("failed", 0))

    def problems(self) -> Iterator[str]:
        """What is wrong with the database, in one line each; it reads all of it."""
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
        """The rows of a query, streamed; UserError where the file turns out to be damaged."""
        try:
            # Not `yield from`, which closes the cursor where its reader leaves early, maybe after the connection.
            for row in self._connection.execute(query, parameters):  # noqa: UP028
                yield row
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{self.folder / database.NAME}: cannot be read to its end ({error}); restore it from a copy"
            ) from error

    def _damaged(self, key: RolloutKey, error: ValueError) -> UserError:
        where = f"{self.folder / database.NAME}: the record of {key.task}/{key.sample_id}/{key.repeat}"
        return UserError(f"{where} is damaged ({error}); restore the folder from a copy")


def _key(task: str, sample_id: str, repeat: int) -> RolloutKey:
    # A million keys share a few task names.
    return RolloutKey(sys.intern(task), sample_id, repeat)
