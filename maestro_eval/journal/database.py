"""``journal.db``: its tables, and how it is opened.

WAL lets readers look while the one writer writes. ``synchronous=FULL`` makes every commit wait for the disk:
a commit that returned survives ``kill -9`` and, on a disk that keeps its word, a power cut. It costs one fsync
a batch, milliseconds against rollouts of seconds. A disk that lies about fsync may lose the last batches in a
power cut; the database stays whole, and the lost keys are pending again.

A sample is kept once for each content it had: when data change between two attempts, each rollout still
comes with the sample that it saw.

Every record can be told from a damaged one: rollouts by their compression, samples by a checksum, the manifest by one
that is kept here. A journal from before samples and manifests had one is read without.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from maestro_eval.records import UserError

NAME = "journal.db"
VERSION = 1

# SHA-256 of the manifest, or of two while one replaces the other, and how many keys the plan has.
MANIFESTS = "CREATE TABLE IF NOT EXISTS manifests (sha256 TEXT NOT NULL, planned INTEGER NOT NULL)"
_TABLES = f"""
{MANIFESTS};
CREATE TABLE plan (
    position INTEGER PRIMARY KEY,
    task TEXT NOT NULL, sample_id TEXT NOT NULL, repeat INTEGER NOT NULL,
    UNIQUE (task, sample_id, repeat)
);
CREATE TABLE samples (
    task TEXT NOT NULL, sample_id TEXT NOT NULL, content_hash TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (task, sample_id, content_hash)
);
CREATE TABLE rollouts (
    task TEXT NOT NULL, sample_id TEXT NOT NULL, repeat INTEGER NOT NULL,
    attempt INTEGER NOT NULL, outcome TEXT NOT NULL, content_hash TEXT NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (task, sample_id, repeat)
);
CREATE INDEX rollouts_by_outcome ON rollouts (outcome);
CREATE TABLE superseded (
    task TEXT NOT NULL, sample_id TEXT NOT NULL, repeat INTEGER NOT NULL,
    attempt INTEGER NOT NULL, outcome TEXT NOT NULL, content_hash TEXT NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (task, sample_id, repeat, attempt)
);
"""


def create_tables(path: Path) -> sqlite3.Connection:
    """A new database with an open transaction: tables are in it, the plan can follow, the caller commits.

    It is not in WAL mode yet, because a large plan would be written twice that way.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """The writer's connection in autocommit mode: transactions are begun by name."""
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        connection.close()
        raise UserError(f"{path}: cannot be written ({error}); free some space and make the folder writable") from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside a running writer or from a folder that may not be written."""
    # Without a write-ahead log nobody is writing. SQLite would still make one for itself, which it cannot in a
    # folder that is read-only; `immutable` says that it need not.
    quiet = not path.with_name(f"{NAME}-wal").exists() and not os.access(path.parent, os.W_OK)
    return _connect(path, "mode=ro&immutable=1" if quiet else "mode=ro")


def manifests(connection: sqlite3.Connection) -> dict[str, int]:
    """The checksums of the manifest, each with the length of the plan; none in a journal from before they were kept."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'manifests'").fetchone()
    return dict(connection.execute("SELECT sha256, planned FROM manifests")) if known else {}


def _connect(path: Path, flags: str) -> sqlite3.Connection:
    if not path.is_file():
        raise UserError(f"{path}: missing; the run folder is incomplete, restore it from a copy or start a new run")
    connection = None
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{flags}", uri=True, isolation_level=None, timeout=30)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        # Reading a table, because a damaged file may still have a good first page.
        connection.execute("SELECT position FROM plan LIMIT 1").fetchone() if version == VERSION else None
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise UserError(f"{path}: cannot be read as a journal ({error}); restore it from a copy") from error
    if version > VERSION:
        connection.close()
        raise UserError(
            f"{path}: written by a newer maestro-eval (version {version}, this one knows {VERSION}); upgrade"
        )
    if version != VERSION:
        connection.close()
        raise UserError(f"{path}: not a journal of maestro-eval (version {version}); restore it from a copy")
    return connection
