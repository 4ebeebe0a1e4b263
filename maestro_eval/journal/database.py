"""``journal.db``: its tables, how it is opened, and the lock of its one writer.

WAL lets readers read while the one writer writes. ``synchronous=FULL`` makes every commit wait for the disk: a commit
that returned survives ``kill -9`` and, on a disk that honours fsync, a power cut. It costs one fsync a batch,
milliseconds against rollouts of seconds. A disk that lies about fsync may lose the last batches in a power cut; the
database stays whole, and the lost keys are pending again.

``attempts`` is narrow, so that queries about a whole run read little; the rollouts' texts are in ``transcripts``. A
sample is stored once for each content it had: when data change between two attempts, each rollout still comes with the
sample that it saw. Each fact of ``attempts`` and ``scores`` follows from the transcripts.

Damage to any record is detected: rollouts by their compression, samples by a checksum, the manifest by one that is
stored here. Journals from before samples and manifests had checksums are read without.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from maestro_eval.journal import migrations
from maestro_eval.records import RolloutKey, UserError

NAME = "journal.db"


def create(path: Path, plan: Iterable[RolloutKey], manifest: str) -> None:
    """Create a database: the tables, the plan and the checksum of the manifest in one transaction.

    It is not in WAL mode yet, because a large plan would be written twice that way.
    """
    last = RolloutKey("", "")
    connection = None
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        migrations.create_tables(connection)
        for last in plan:
            row = (last.task, last.sample_id, last.repeat)
            connection.execute("INSERT INTO plan (task, sample_id, repeat) VALUES (?, ?, ?)", row)
        connection.execute("INSERT INTO manifests SELECT ?, count(*) FROM plan", (manifest,))
        connection.execute("COMMIT")
    except sqlite3.IntegrityError:
        raise UserError(
            f"{path.parent}: the plan holds {last.task}/{last.sample_id}/{last.repeat} twice; "
            "name each task once, with sample ids that differ"
        ) from None
    except sqlite3.OperationalError as error:
        raise UserError(
            f"{path.parent}: {NAME} cannot be written ({error}); free some space or choose another --out"
        ) from error
    finally:
        if connection is not None:
            connection.close()


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the writer's connection, in autocommit mode (use BEGIN for a transaction). Migrates an older database."""
    connection, version = _connect(path, "mode=rw")
    try:
        if version < migrations.VERSION:
            migrations.migrate(connection, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except (sqlite3.Error, ValueError) as error:
        connection.close()
        raise UserError(f"{path}: cannot be written ({error}); free some space and make the folder writable") from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection, beside a running writer or in a folder without write permission.

    An older database is read from a migrated copy, which lasts as long as the connection.
    """
    # Without a write-ahead log there is no writer. SQLite would still create one for itself, which fails in a read-only
    # folder; `immutable` makes it unnecessary.
    quiet = not path.with_name(f"{NAME}-wal").exists() and not os.access(path.parent, os.W_OK)
    connection, version = _connect(path, "mode=ro&immutable=1" if quiet else "mode=ro")
    if version == migrations.VERSION:
        return connection
    copy = sqlite3.connect("", isolation_level=None)
    try:
        connection.backup(copy)
        migrations.migrate(copy, version)
    except (sqlite3.Error, ValueError) as error:
        copy.close()
        raise UserError(f"{path}: cannot be read as a journal ({error}); restore it from a copy") from error
    finally:
        connection.close()
    return copy


def _connect(path: Path, flags: str) -> tuple[sqlite3.Connection, int]:
    """Return a connection and the version of the database."""
    if not path.is_file():
        raise UserError(f"{path}: missing; the run folder is incomplete, restore it from a copy or start a new run")
    connection = None
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{flags}", uri=True, isolation_level=None, timeout=30)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        # Reads a table, because a damaged file may still have a good first page.
        connection.execute("SELECT 1 FROM plan LIMIT 1").fetchone() if 1 <= version <= migrations.VERSION else None
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise UserError(f"{path}: cannot be read as a journal ({error}); restore it from a copy") from error
    if 1 <= version <= migrations.VERSION:
        return connection, version
    connection.close()
    if version > migrations.VERSION:
        raise UserError(
            f"{path}: written by a newer maestro-eval (version {version}, this one knows {migrations.VERSION}); upgrade"
        )
    raise UserError(f"{path}: not a journal of maestro-eval (version {version}); restore it from a copy")


class FolderLock:
    """An advisory lock that the kernel releases when its holder dies, however it dies; held until ``close``.

    ``flock`` belongs to the open file, which is not inherited over ``exec``: a subprocess of the driver does not keep
    the folder locked after the driver has died. The file ``.lock`` stays; only the lock on it counts. On a network file
    system the lock is as good as that file system's ``flock``.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); make the folder writable") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            written = os.pread(self._handle, 32, 0).strip()
            holder = f" (process {int(written)})" if written.isdigit() else ""
            os.close(self._handle)
            if isinstance(error, BlockingIOError):
                raise UserError(
                    f"{folder}: another maestro-eval{holder} is writing to this run; wait until it ends, or stop it"
                ) from None
            raise UserError(f"{path}: cannot be locked ({error.strerror}); use a local disk") from error
        # The holder's id is only a courtesy to the next writer, so a full disk is no error here.
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Release the lock. Closing twice is harmless."""
        if self._handle >= 0:
            # A subprocess that is being started may still have the file open: closing ours is not enough.
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            os.close(self._handle)
            self._handle = -1
