"""The journal of a run: the planned rollouts and their outcomes.

Promises. A rollout is in the journal whole or not at all; ``commit`` is one transaction, and when it has returned, its
records survive the death of the process (see ``database`` for power cuts). A key has at most one current attempt. A
failed one is replaced by the next; an answered or exhausted one only if its key was reopened, because it lacked
evidence. Earlier attempts are stored too. One process writes at a time; any number read, also while it writes.

Everything else about a run (scores, tables, exports) is derived from here and can be derived again. ``docs/journal.md``
shows how other programs read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from maestro_eval.journal import database, migrations
from maestro_eval.journal.database import FolderLock
from maestro_eval.journal.manifest import NAME as MANIFEST
from maestro_eval.journal.manifest import encode_manifest, read_manifest, read_with_checksum, write_manifest
from maestro_eval.journal.reader import JournalReader
from maestro_eval.journal.records import (
    Finished,
    ScoreRow,
    pack_sample,
)
from maestro_eval.records import Failed, RolloutKey, RunManifest, UserError

# During an amendment, a reader may find the old manifest with the new checksum, and then tries again.
_READINGS = 3
# Errors of the caller, not of the disk.
_CALLER_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


class Journal(JournalReader, contextlib.AbstractContextManager["Journal", None]):
    """An open run folder; made by ``create`` and ``open``, used as a context manager or closed by ``close``.

    It belongs to the thread that opened it.
    """

    def __init__(
        self, folder: Path, manifest: RunManifest, connection: sqlite3.Connection, lock: FolderLock | None
    ) -> None:
        super().__init__(folder, manifest, connection)
        self._lock = lock
        self._reopened: set[RolloutKey] = set()

    @classmethod
    def create(cls, folder: Path, manifest: RunManifest, plan: Iterable[RolloutKey]) -> Journal:
        """Create a run folder with its plan in order; UserError if ``folder`` already has a run.

        The remains of an interrupted ``create`` have no manifest and are replaced.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
        file, lock = encode_manifest(manifest), FolderLock(folder)
        try:
            if (folder / MANIFEST).exists():
                raise UserError(
                    f"{folder}: already holds a run; `maestro-eval resume {folder}` continues it, "
                    "or choose another --out"
                )
            for suffix in ("", "-wal", "-shm", "-journal"):
                left = folder / f"{database.NAME}{suffix}"
                try:
                    left.unlink(missing_ok=True)
                except OSError as error:
                    raise UserError(f"{left}: cannot be removed ({error.strerror}); choose another --out") from error
            database.create(folder / database.NAME, plan, hashlib.sha256(file).hexdigest())
            connection = database.open_writer(folder / database.NAME)
            try:
                write_manifest(folder, file)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.close()
            raise
        return cls(folder, manifest, connection, lock)

    @classmethod
    def open(cls, folder: Path, *, read_only: bool = False) -> Journal:
        """Open a run folder, to continue it or only to read it; UserError says what is wrong with it."""
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
    def open_if_free(cls, folder: Path) -> Journal:
        """Open a run folder: for writing if that is permitted and no other process does, else for reading."""
        if all(os.access(path, os.W_OK) for path in (folder, folder / database.NAME)):
            with contextlib.suppress(UserError):
                return cls.open(folder)
        return cls.open(folder, read_only=True)

    @classmethod
    def _opened(cls, folder: Path, connection: sqlite3.Connection, lock: FolderLock | None) -> Journal:
        """Return the journal with its manifest; UserError if anything but a journal wrote that."""
        try:
            for _ in range(_READINGS):
                manifest, digest = read_with_checksum(folder)
                # Empty in a journal from before checksums.
                kept = dict(connection.execute("SELECT sha256, planned FROM manifests"))
                if kept and digest not in kept:
                    continue
                ((found,),) = connection.execute("SELECT count(*) FROM plan")
                if kept and found != kept[digest]:
                    raise UserError(
                        f"{folder / database.NAME}: its plan has {found} rollouts and had {kept[digest]}; restore it "
                        "from a copy"
                    )
                return cls(folder, manifest, connection, lock)
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

    def reopen(self, keys: Iterable[RolloutKey]) -> None:
        """Let a later record that did not fail replace the current one of each of ``keys``, once."""
        self._reopened.update(keys)

    def commit(self, finished: Sequence[Finished]) -> int:
        """Store a batch in one transaction; return how many of its records were new.

        A record for a key that is already answered or exhausted is dropped, unless that was reopened: work is delivered
        at least once. ``ValueError`` for a key outside the plan. UserError when the disk is full or fails; then nothing
        of the batch is stored, and everything committed before is safe.
        """
        with self._transaction():
            return sum(self._store(one) for one in finished)

    @contextlib.contextmanager
    def new_scores(self) -> Iterator[Callable[[Iterable[ScoreRow]], object]]:
        """Replace the scores in one transaction by those passed to the function that this yields.

        A read-only journal keeps its scores.
        """
        if self._lock is None:
            yield lambda _: None
            return
        with self._transaction():
            self._connection.execute("DELETE FROM scores")
            yield partial(self._connection.executemany, "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)")

    def amend(self, manifest: RunManifest) -> None:
        """Replace the folder's manifest, whole or not at all. Called by the writer, before it continues."""
        if self._lock is None:
            raise ValueError(f"{self.folder} is open for reading only")
        file = encode_manifest(manifest)
        digest = hashlib.sha256(file).hexdigest()
        try:
            # Whichever of the two files a crash leaves, its checksum is stored.
            planned = sum(self.planned().values())
            self._connection.execute("INSERT INTO manifests VALUES (?, ?)", (digest, planned))
            write_manifest(self.folder, file)
            self._connection.execute("DELETE FROM manifests WHERE sha256 != ?", (digest,))
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error
        self.manifest = manifest

    def release(self, task: str) -> int:
        """Remove the keys of ``task`` without a record from the plan, for good; return how many. Called by the writer.

        For a benchmark that ends early; the manifest records that first.
        """
        with self._transaction():
            released = self._connection.execute(
                "DELETE FROM plan WHERE task = ? AND key NOT IN (SELECT key FROM attempts)", (task,)
            )
            self._connection.execute("UPDATE manifests SET planned = planned - ?", (released.rowcount,))
        return released.rowcount

    def close(self) -> None:
        """Close the database and release the lock. Closing twice is harmless."""
        if self._lock is not None:
            # Otherwise SQLite leaves the last commits in `journal.db-wal` while a reader is open, and a copy of
            # `journal.db` alone would lack them. It can wait if the disk is full.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._lock.close()
        self._connection.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run a transaction; UserError when the disk is full or fails."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException as error:
            # SQLite may have rolled back by itself, or be unable to on a failing disk: report the first error.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, (sqlite3.DatabaseError, OSError)) and not isinstance(error, _CALLER_ERRORS):
                raise self._unwritable(error) from error
            raise

    def _store(self, finished: Finished) -> bool:
        rollout, sample = finished.rollout, finished.sample
        names = (rollout.key.task, rollout.key.sample_id, rollout.key.repeat)
        if (sample.task, sample.sample_id) != names[:2]:
            raise ValueError(f"the rollout of {names} comes with the sample {sample.task}/{sample.sample_id}")
        planned = self._connection.execute(
            """
            SELECT plan.key, number, outcome
            FROM plan LEFT JOIN attempts ON attempts.key = plan.key AND attempts.current = 1
            WHERE task = ? AND sample_id = ? AND repeat = ?
            """,
            names,
        ).fetchone()
        if planned is None:
            raise ValueError(f"{names} is not in the plan of {self.folder}")
        key, number, outcome = planned
        if number is not None:
            if outcome != "failed" and (rollout.key not in self._reopened or isinstance(rollout.outcome, Failed)):
                return False
            self._reopened.discard(rollout.key)
            self._connection.execute("UPDATE attempts SET current = 0 WHERE key = ? AND current = 1", (key,))
        which = (sample.task, sample.sample_id, sample.content_hash)
        # A sample is stored once for each content.
        known = self._connection.execute(
            "SELECT sample FROM samples WHERE task = ? AND sample_id = ? AND content_hash = ?", which
        ).fetchone()
        if known is None:
            record = (*which, pack_sample(sample))
            stored = self._connection.execute("INSERT INTO samples VALUES (NULL, ?, ?, ?, ?)", record).lastrowid or 0
        else:
            (stored,) = known
            if not sample.content_hash:
                # An empty hash means that the sample could not be read: then the latest attempt's is the best.
                self._connection.execute(
                    "UPDATE samples SET record = ? WHERE sample = ?", (pack_sample(sample), stored)
                )
        migrations.insert_attempt(self._connection, key, (number or 0) + 1, True, stored, rollout)
        return True

    def _unwritable(self, error: sqlite3.DatabaseError | OSError) -> UserError:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        reason = "the disk is full" if full else f"{database.NAME} cannot be written ({error})"
        fix = "free some space" if full else "fix that"
        return UserError(
            f"{self.folder}: {reason}; what was committed is safe: {fix}, then "
            f"`maestro-eval resume {self.folder}` continues"
        )
