"""The tables of this version, and the migration of earlier journals to it.

A migration is one transaction: a process that dies in it leaves the database as it was.

Version 3: ``scores`` also says why no answer was read, and by which rule one was found.
Version 2: one table ``attempts`` with integer keys and plain columns, transcripts apart, ``scores``.
Version 1: ``rollouts`` and ``superseded``, which named task, sample and repeat in words and had ``outcome`` only.
"""

from __future__ import annotations

import re
import sqlite3

from msgspec.structs import replace

from maestro_eval.journal.records import columns_of, pack_rollout, unpack_rollout
from maestro_eval.records import MalformedAction, MalformedKind, NoAnswer, Rollout, Turn

VERSION = 3

_TABLES = """
CREATE TABLE IF NOT EXISTS manifests (
    sha256 TEXT NOT NULL,      -- of the manifest, or of two while one replaces the other
    planned INTEGER NOT NULL   -- how many keys the plan has
);
CREATE TABLE plan (
    key INTEGER PRIMARY KEY,   -- in the order in which they are to be run
    task TEXT NOT NULL,
    sample_id TEXT NOT NULL,
    repeat INTEGER NOT NULL,
    UNIQUE (task, sample_id, repeat)
);
CREATE TABLE samples (
    sample INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    sample_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    record TEXT NOT NULL,      -- JSON
    UNIQUE (task, sample_id, content_hash)
);
CREATE TABLE attempts (
    attempt INTEGER PRIMARY KEY,
    key INTEGER NOT NULL REFERENCES plan,
    number INTEGER NOT NULL,   -- 1 for the first attempt at a key
    current INTEGER NOT NULL,  -- 1 for the latest, which counts
    sample INTEGER NOT NULL REFERENCES samples,
    outcome TEXT NOT NULL,     -- answered, exhausted, failed
    cause TEXT,                -- of a failure (policy, expert, ...), or the limit that was reached
    kind TEXT,                 -- of a failure: what those of one kind have in common, where it has a name
    detail TEXT,               -- of a failure, one line
    error TEXT,                -- the kind of the model call's error that ended the rollout
    status INTEGER,            -- its HTTP status
    answer TEXT,
    turns INTEGER NOT NULL,
    searches INTEGER NOT NULL,
    calls INTEGER NOT NULL,    -- model calls of every kind
    cached_calls INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,     -- the policy's
    completion_tokens INTEGER NOT NULL,
    missing_evidence INTEGER NOT NULL,  -- how often a service failed to give it
    started_at REAL NOT NULL,  -- Unix seconds
    elapsed_s REAL NOT NULL,
    worker TEXT NOT NULL
);
CREATE UNIQUE INDEX current_attempts ON attempts (key) WHERE current = 1;
CREATE TABLE transcripts (
    attempt INTEGER PRIMARY KEY REFERENCES attempts,
    record BLOB NOT NULL       -- JSON, compressed by zlib
);
CREATE TABLE scores (
    protocol TEXT NOT NULL,
    attempt INTEGER NOT NULL REFERENCES attempts,
    metric TEXT NOT NULL,
    value REAL,                -- 0 to 1; NULL: nothing to judge
    extracted TEXT NOT NULL,
    note TEXT NOT NULL,
    no_answer TEXT,            -- why no answer was read: empty, cut, several, denied, retracted, unsure, unstated
    rule TEXT NOT NULL DEFAULT '',  -- where in the reply the answer was found, where that is known
    PRIMARY KEY (protocol, attempt)
) WITHOUT ROWID;
CREATE VIEW rollouts AS
    SELECT plan.task, plan.sample_id, plan.repeat, attempts.*
    FROM attempts JOIN plan USING (key) WHERE attempts.current = 1;
"""

_COLUMNS = 21
_ATTEMPT = f"INSERT INTO attempts VALUES (NULL{', ?' * _COLUMNS})"


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in the caller's transaction."""
    for statement in filter(str.strip, _TABLES.split(";\n")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def insert_attempt(
    connection: sqlite3.Connection, key: int, number: int, current: bool, sample: int, rollout: Rollout
) -> None:
    """Insert an attempt with its columns and its transcript."""
    row = connection.execute(_ATTEMPT, (key, number, current, sample, *columns_of(rollout)))
    connection.execute("INSERT INTO transcripts VALUES (?, ?)", (row.lastrowid, pack_rollout(rollout)))


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate a database of an earlier ``version`` to this one; ``ValueError`` for a damaged record."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        _FROM[version](connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _from_version_1(connection: sqlite3.Connection) -> None:
    former = ("plan", "samples", "superseded", "rollouts")
    for table in former:
        connection.execute(f"ALTER TABLE {table} RENAME TO former_{table}")
    create_tables(connection)
    connection.execute("INSERT INTO plan SELECT * FROM former_plan")
    connection.execute("INSERT INTO samples SELECT NULL, * FROM former_samples ORDER BY rowid")
    for current, table in enumerate(former[2:]):
        rows = connection.execute(
            f"""
            SELECT plan.key, former.attempt, samples.sample, former.record
            FROM former_{table} AS former
            LEFT JOIN plan USING (task, sample_id, repeat)
            LEFT JOIN samples USING (task, sample_id, content_hash)
            ORDER BY former.rowid
            """
        )
        for key, number, sample, record in rows:
            rollout = unpack_rollout(record)
            rollout = replace(rollout, turns=tuple(map(_with_facts, rollout.turns)))
            insert_attempt(connection, key, number, bool(current), sample, rollout)
    for table in former:
        connection.execute(f"DROP TABLE former_{table}")


def _from_version_2(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE scores ADD COLUMN no_answer TEXT")
    connection.execute("ALTER TABLE scores ADD COLUMN rule TEXT NOT NULL DEFAULT ''")
    for why in NoAnswer:
        # In version 2 only the note gave the reason, in words.
        connection.execute("UPDATE scores SET no_answer = ? WHERE note = ?", (why.name.lower(), why.value))
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _with_facts(turn: Turn) -> Turn:
    """Convert a turn of version 1, which had in words what later ones have in fields."""
    action = turn.action
    if isinstance(action, MalformedAction):
        kinds = (kind for kind, said in _KINDS if re.search(said, action.reason))
        action = replace(action, kind=next(kinds, "nothing"))
    skipped = any(note.startswith("not called:") for note in turn.notes)
    solvers = [note.removeprefix("solver: ") for note in turn.notes if note.startswith("solver: ")]
    return replace(turn, action=action, skipped=skipped, solver="".join(solvers[-1:]))


_KINDS: tuple[tuple[MalformedKind, str], ...] = (
    ("refused", r"^the first turn may not answer|^all \d+ calls are used"),
    ("format", r"^the call (does not name|has no request)|^Format Error"),
)
_FROM = {1: _from_version_1, 2: _from_version_2}
