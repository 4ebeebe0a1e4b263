"""The journal of a run: which rollouts were planned, and what became of each.

Promises. A rollout is in the journal whole or not at all; ``commit`` is one transaction, and when it has
returned, its records survive the death of the process (see ``database`` for power cuts). A key has at most one
record. An answered or exhausted rollout is replaced only where its key was reopened, because it lacked evidence; a
failed one gives way to the next attempt. Both are kept in ``superseded``. One process writes at a time; any number
read, also while it writes.

Everything else about a run (scores, tables, exports) is made from here and can be made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from maestro_eval.journal import database
from maestro_eval.journal.keys import PackedKeys
from maestro_eval.journal.lock import FolderLock
from maestro_eval.journal.manifest import NAME as MANIFEST
from maestro_eval.journal.manifest import checksum, read_manifest, read_with_checksum, write_manifest
from maestro_eval.journal.records import (
    Finished,
    JournalCounts,
    PackedRecord,
    lacks_evidence,
    outcome_tag,
    pack_rollout,
    pack_sample,
    unpack_record,
    unpack_rollout,
    unpack_sample,
)
from maestro_eval.records import Rollout, RolloutKey, RunManifest, Sample, UserError

# A reader may find the manifest of before an amendment with the checksum of after it.
_READINGS = 3
# What a caller did wrong.
_OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


class Journal:
    """An open run folder; made by ``create`` and ``open``, used as a context manager or closed by ``close``.

    It belongs to the thread that opened it.
    """

    def __init__(
        self, folder: Path, manifest: RunManifest, connection: sqlite3.Connection, lock: FolderLock | None
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._connection = connection
        self._lock = lock
        self._reopened: set[RolloutKey] = set()

    @classmethod
    def create(cls, folder: Path, manifest: RunManifest, plan: Iterable[RolloutKey]) -> Journal:
        """A new run folder with its plan in order; UserError where ``folder`` already holds a run.

        What an interrupted ``create`` left behind has no manifest and is replaced.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
        lock = FolderLock(folder)
        try:
            if (folder / MANIFEST).exists():
                raise UserError(
                    f"{folder}: already holds a run; `maestro-eval resume {folder}` goes on with it, "
                    "or choose another --out"
                )
            _clear(folder)
            _write_plan(folder, plan, checksum(manifest))
            connection = database.open_writer(folder / database.NAME)
            try:
                write_manifest(folder, manifest)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.close()
            raise
        return cls(folder, manifest, connection, lock)

    @classmethod
    def open(cls, folder: Path, *, read_only: bool = False) -> Journal:
        """An existing run folder, to go on with it or only to read it; UserError says what is wrong with it."""
        path = folder / database.NAME
        read_manifest(folder)  # Before the folder is touched, or said to lack a journal: is it one?
        if read_only:
            return cls._opened(folder, database.open_reader(path), None)
        lock = FolderLock(folder)
        try:
            return cls._opened(folder, database.open_writer(path), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _opened(cls, folder: Path, connection: sqlite3.Connection, lock: FolderLock | None) -> Journal:
        """The journal with its manifest; UserError where that was written by anything but a journal."""
        try:
            for _ in range(_READINGS):
                manifest, digest = read_with_checksum(folder)
                kept = database.manifests(connection)
                if not kept or digest in kept:
                    journal = cls(folder, manifest, connection, lock)
                    journal._check_plan(kept.get(digest))
                    return journal
            raise UserError(
                f"{folder / MANIFEST}: is not what this run began with (edited by hand?); put it back from a copy, or "
                "start a new run with another --out"
            )
        except sqlite3.DatabaseError as error:
            connection.close()
            raise UserError(f"{folder / database.NAME}: cannot be read ({error}); restore it from a copy") from error
        except BaseException:
            connection.close()
            raise

    def pending(self, retry_failed: bool = True, *, skipped: Collection[RolloutKey] = ()) -> PackedKeys:
        """Keys still to be run, in plan order: those without a record, and the failed ones if they get a retry.

        ``skipped`` are left out.
        """
        left_out = frozenset(skipped)
        rows = self._read(
            """
            SELECT plan.task, plan.sample_id, plan.repeat
            FROM plan LEFT JOIN rollouts USING (task, sample_id, repeat)
            WHERE rollouts.outcome IS NULL OR (? AND rollouts.outcome = 'failed')
            ORDER BY plan.position
            """,
            (retry_failed,),
        )
        return PackedKeys(key for row in rows if (key := _key(*row)) not in left_out)

    def failed(self) -> Iterator[Rollout]:
        """The records of failed rollouts, in key order."""
        rows = self._read(
            "SELECT task, sample_id, repeat, record FROM rollouts WHERE outcome = 'failed' ORDER BY 1, 2, 3"
        )
        for *key, record in rows:
            try:
                yield unpack_rollout(record)
            except ValueError as error:
                raise self._damaged(RolloutKey(*key), error) from error

    def lacking_evidence(self) -> PackedKeys:
        """Keys whose rollout ended well, but without evidence that a service failed to give, in key order."""
        return PackedKeys(rollout.key for rollout, _ in self.rollouts() if lacks_evidence(rollout))

    def reopen(self, keys: Iterable[RolloutKey]) -> None:
        """Let a later record that did not fail replace the one that stands for each of ``keys``, once."""
        self._reopened.update(keys)

    def commit(self, finished: Sequence[Finished]) -> int:
        """Keep a batch in one transaction; how many of its records were new.

        A record for a key that is already answered or exhausted is dropped, unless that was reopened: work is
        delivered at least once.
        ``ValueError`` for a key outside the plan. UserError when the disk is full or fails; then nothing of the
        batch is kept, and everything committed before is safe.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            stored = sum(self._store(one) for one in finished)
            connection.execute("COMMIT")
        except BaseException as error:
            # SQLite may have rolled back by itself, and on a failing disk it may be unable to: either way the
            # first error is the one to tell.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, (sqlite3.DatabaseError, OSError)) and not isinstance(error, _OURS):
                raise self._unwritable(error) from error
            raise
        return stored

    def amend(self, manifest: RunManifest) -> None:
        """Put ``manifest`` in the place of the folder's own, whole or not at all; by the writer, before it goes on."""
        if self._lock is None:
            raise ValueError(f"{self.folder} is open for reading only")
        digest = checksum(manifest)
        try:
            # Whichever of the two files a crash leaves, its checksum is there.
            self._connection.execute(database.MANIFESTS)
            planned = sum(self.planned().values())
            self._connection.execute("INSERT INTO manifests VALUES (?, ?)", (digest, planned))
            write_manifest(self.folder, manifest)
            self._connection.execute("DELETE FROM manifests WHERE sha256 != ?", (digest,))
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error
        self.manifest = manifest

    def release(self, task: str) -> int:
        """Take what of ``task`` has no record out of the plan, for good: how many keys. By the writer.

        For a benchmark that ends early; the manifest says so before.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            released = self._connection.execute(
                """
                DELETE FROM plan WHERE task = ? AND NOT EXISTS (
                    SELECT 1 FROM rollouts WHERE rollouts.task = plan.task
                        AND rollouts.sample_id = plan.sample_id AND rollouts.repeat = plan.repeat
                )
                """,
                (task,),
            )
            if database.manifests(self._connection):
                self._connection.execute("UPDATE manifests SET planned = planned - ?", (released.rowcount,))
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error
        return released.rowcount

    def rollouts(self, task: str | None = None) -> Iterator[tuple[Rollout, Sample]]:
        """Every record that stands, with the sample that its rollout saw, in key order; of one moment, streamed."""
        # Said apart, since SQLite takes no index for "?1 IS NULL OR task = ?1".
        chosen, parameters = ("", ()) if task is None else ("WHERE rollouts.task = ?", (task,))
        rows = self._read(
            f"""
            SELECT rollouts.task, rollouts.sample_id, rollouts.repeat, rollouts.record, samples.record
            FROM rollouts JOIN samples USING (task, sample_id, content_hash)
            {chosen}
            ORDER BY rollouts.task, rollouts.sample_id, rollouts.repeat
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
            SELECT task, sample_id, record FROM samples WHERE EXISTS (
                SELECT 1 FROM rollouts WHERE rollouts.task = samples.task AND rollouts.sample_id = samples.sample_id
                    AND rollouts.content_hash = samples.content_hash AND rollouts.outcome != 'failed'
            )
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
            "SELECT record FROM rollouts WHERE task = ? AND sample_id = ? AND repeat = ?",
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
            SELECT plan.task, plan.sample_id, plan.repeat, rollouts.record, samples.record
            FROM plan
            LEFT JOIN rollouts USING (task, sample_id, repeat)
            LEFT JOIN samples ON samples.task = plan.task AND samples.sample_id = plan.sample_id
                AND samples.content_hash = rollouts.content_hash
            ORDER BY plan.task, plan.sample_id, plan.repeat
            """
        )
        return (PackedRecord(*row) for row in rows)

    def plan(self, task: str | None = None) -> Iterator[RolloutKey]:
        """The planned keys in the order in which they are to be run."""
        # Said apart, as in `rollouts`.
        chosen, parameters = ("", ()) if task is None else ("WHERE task = ?", (task,))
        rows = self._read(f"SELECT task, sample_id, repeat FROM plan {chosen} ORDER BY position", parameters)
        return (_key(*row) for row in rows)

    def planned(self) -> dict[str, int]:
        """How many keys of each task were planned."""
        return dict(self._read("SELECT task, count(*) FROM plan GROUP BY task ORDER BY task"))

    def counts(self) -> JournalCounts:
        """How far the run is."""
        planned = sum(self.planned().values())
        of = dict(self._read("SELECT outcome, count(*) FROM rollouts GROUP BY outcome"))
        return JournalCounts(planned, of.get("answered", 0), of.get("exhausted", 0), of.get("failed", 0))

    def problems(self) -> Iterator[str]:
        """What is wrong with the database, in one line each; it reads all of it."""
        for (found,) in self._read("PRAGMA integrity_check(10)"):
            if found != "ok":
                yield f"{database.NAME}: {' '.join(str(found).split())}"
        strays = self._read(
            """
            SELECT count(*) FROM rollouts WHERE NOT EXISTS (
                SELECT 1 FROM plan WHERE plan.task = rollouts.task
                    AND plan.sample_id = rollouts.sample_id AND plan.repeat = rollouts.repeat
            )
            """
        )
        if stray := sum(count for (count,) in strays):
            yield f"{database.NAME}: {stray} records are of no planned rollout"
        for table in ("rollouts", "superseded"):
            rows = self._read(
                f"""
                SELECT task, sample_id, repeat, {table}.record, samples.record, outcome
                FROM {table} LEFT JOIN samples USING (task, sample_id, content_hash)
                """
            )
            for *fields, outcome in rows:
                record = PackedRecord(*fields)
                where = f"{database.NAME}: {table}: {record.task}/{record.sample_id}/{record.repeat}"
                try:
                    rollout, _ = unpack_record(record)
                except ValueError as error:
                    yield f"{where}: {error}"
                    continue
                if outcome_tag(rollout) != outcome:
                    yield f"{where}: is not {outcome}"

    def close(self) -> None:
        """Close the database and let the next writer in. Closing twice is harmless."""
        if self._lock is not None:
            # Else SQLite leaves the last commits to `journal.db-wal` while a reader is there, and a copy of
            # `journal.db` alone would lack them. It can wait, when the disk is full.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._lock.close()
        self._connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_plan(self, planned: int | None) -> None:
        """UserError where the plan has lost or won rows since it had ``planned`` (``None``: unknown)."""
        ((found,),) = self._read("SELECT count(*) FROM plan")
        if planned is not None and found != planned:
            raise UserError(
                f"{self.folder / database.NAME}: its plan has {found} rollouts and had {planned}; restore it from a "
                "copy"
            )

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

    def _store(self, finished: Finished) -> bool:
        rollout, sample = finished.rollout, finished.sample
        key = (rollout.key.task, rollout.key.sample_id, rollout.key.repeat)
        if (sample.task, sample.sample_id) != key[:2]:
            raise ValueError(f"the rollout of {key} comes with the sample {sample.task}/{sample.sample_id}")
        where = "WHERE task = ? AND sample_id = ? AND repeat = ?"
        if self._connection.execute(f"SELECT 1 FROM plan {where}", key).fetchone() is None:
            raise ValueError(f"{key} is not in the plan of {self.folder}")
        standing = self._connection.execute(f"SELECT attempt, outcome FROM rollouts {where}", key).fetchone()
        attempt = 1
        if standing is not None:
            if standing[1] != "failed" and (rollout.key not in self._reopened or outcome_tag(rollout) == "failed"):
                return False
            self._reopened.discard(rollout.key)
            attempt = standing[0] + 1
            self._connection.execute(f"INSERT INTO superseded SELECT * FROM rollouts {where}", key)
            self._connection.execute(f"DELETE FROM rollouts {where}", key)
        # An empty hash stands for "could not be read": there the latest attempt knows best.
        self._connection.execute(
            """
            INSERT INTO samples VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET record = excluded.record WHERE content_hash = ''
            """,
            (*key[:2], sample.content_hash, pack_sample(sample)),
        )
        self._connection.execute(
            "INSERT INTO rollouts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*key, attempt, outcome_tag(rollout), sample.content_hash, pack_rollout(rollout)),
        )
        return True

    def _damaged(self, key: RolloutKey, error: ValueError) -> UserError:
        where = f"{self.folder / database.NAME}: the record of {key.task}/{key.sample_id}/{key.repeat}"
        return UserError(f"{where} is damaged ({error}); restore the folder from a copy")

    def _unwritable(self, error: sqlite3.DatabaseError | OSError) -> UserError:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        reason = "the disk is full" if full else f"{database.NAME} cannot be written ({error})"
        mend = "free some space" if full else "mend that"
        return UserError(
            f"{self.folder}: {reason}; what was committed is safe: {mend}, then "
            f"`maestro-eval resume {self.folder}` goes on"
        )


def _clear(folder: Path) -> None:
    """Remove what an interrupted ``create`` left."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path = folder / f"{database.NAME}{suffix}"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be removed ({error.strerror}); choose another --out") from error


def _write_plan(folder: Path, plan: Iterable[RolloutKey], manifest: str) -> None:
    """The tables, the plan and the checksum of the manifest in one transaction."""
    last: RolloutKey | None = None

    def rows() -> Iterator[tuple[str, str, int]]:
        nonlocal last
        for last in plan:
            yield last.task, last.sample_id, last.repeat

    connection = None
    try:
        connection = database.create_tables(folder / database.NAME)
        connection.executemany("INSERT INTO plan (task, sample_id, repeat) VALUES (?, ?, ?)", rows())
        connection.execute("INSERT INTO manifests SELECT ?, count(*) FROM plan", (manifest,))
        connection.execute("COMMIT")
    except sqlite3.IntegrityError:
        assert last is not None
        raise UserError(
            f"{folder}: the plan holds {last.task}/{last.sample_id}/{last.repeat} twice; "
            "name each task once, with sample ids that differ"
        ) from None
    except sqlite3.OperationalError as error:
        raise UserError(
            f"{folder}: {database.NAME} cannot be written ({error}); free some space or choose another --out"
        ) from error
    finally:
        if connection is not None:
            connection.close()


def _key(task: str, sample_id: str, repeat: int) -> RolloutKey:
    # A million keys share a few task names.
    return RolloutKey(sys.intern(task), sample_id, repeat)
