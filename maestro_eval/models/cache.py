"""A cache of replies: a SQLite file that runs, processes and Ray workers share.

The key covers everything that can change a reply: the body as sent (model, messages, sampling) with the hash of each
image, the model's revision, and the program that serves it; not address, entry name, API key or time limits. Only
complete replies are stored, and only to calls whose reply would repeat or may be reused (``covers``, ``store``). The
first stored reply is never overwritten.

A cache may be lost at any time, and it never fails a call. SQLite's errors are logged once: this process stops using a
damaged file, stops writing to a full disk, and does not store a reply if others hold the lock too long. A process that
is killed loses its unwritten replies; nothing waits for the disk.

One thread owns the connection, so that no lock and no slow disk blocks the event loop. Replies are written in the
background, in order, so a later look-up finds them. WAL needs shared memory: the folder must be on a local disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import sqlite3
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from maestro_eval.models.openai_codec import ModelAsk, Reply, encode_ask
from maestro_eval.records import Image, UserError

NAME = "calls.db"
_VERSION = 1
# The longest wait of a write for other processes, whose transactions take milliseconds; and the wait after such a
# failure, so that a file which stays locked does not delay the look-ups behind each write.
_LOCK_S, _SHORT_LOCK_S = 2.0, 0.05
# SQLite does not wait for a lock when it switches to WAL mode, as every worker of a new run does at once.
_OPENINGS, _REOPEN_S = 5, 0.05

_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB PRIMARY KEY, model TEXT NOT NULL, kept_at REAL NOT NULL, reply BLOB NOT NULL
)
"""

_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(Reply)


def make_cache_folder(folder: Path) -> None:
    """Create ``folder``; UserError if that fails, before any call is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--cache {folder}: cannot be made ({error.strerror}); choose another folder") from error


class CallCache:
    """The cache in ``folder``, opened at its first use; ``close`` writes what is pending.

    ``programs`` has, for each ``Endpoint.start``, the revision of its program.
    """

    def __init__(self, folder: Path, *, programs: Mapping[str, str] | None = None) -> None:
        self._path = folder / NAME
        self._programs = dict(programs or {})
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="call-cache")
        self._connection: sqlite3.Connection | None = None
        self._readable = self._writable = True
        self._lock_logged = False

    def covers(self, ask: ModelAsk) -> bool:
        """Return whether a reply may be reused: temperature is 0, there is a seed, or the registry allows it.

        An orchestrator's own turns are never stored.
        """
        again = ask.reuse or ask.sampling.temperature == 0 or ask.sampling.seed is not None
        return again and ask.kind != "policy"

    def key(self, ask: ModelAsk) -> bytes:
        """Return 32 bytes that are equal for two asks if nothing in them can change the reply."""
        program = self._programs.get(ask.endpoint.start, "")
        # The body as sent: it has everything that can change the reply, and nothing can be forgotten here.
        body = encode_ask(ask, _image_key)
        parts = [b"%d" % _VERSION, ask.endpoint.start.encode(), program.encode(), ask.revision.encode(), body]
        return hashlib.sha256(b"".join(b"%d:%s," % (len(part), part) for part in parts)).digest()

    async def find(self, key: bytes) -> Reply | None:
        """Return the stored reply; None if there is none or it cannot be read."""
        if not self._readable:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, key)

    def store(self, key: bytes, ask: ModelAsk, reply: Reply) -> None:
        """Write ``reply`` in the background if it is complete: the model or the ask's own ``max_tokens`` ended it.

        A reply that the server cut for another reason (a full context, for example) may be longer elsewhere.
        """
        limit = ask.sampling.max_tokens
        cut_as_asked = limit is not None and reply.usage.completion_tokens >= limit
        whole = reply.finish_reason == "stop" or (reply.finish_reason == "length" and cut_as_asked)
        if self._writable and whole:
            self._thread.submit(self._store, key, ask.model, reply)

    async def close(self) -> None:
        """Write pending replies and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    # The methods below run in the cache's own thread.

    def _find(self, key: bytes) -> Reply | None:
        # Look-ups that were queued before an error stop here, so that each of them does not fail anew.
        if not self._readable:
            return None
        try:
            row = self._open().execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._bypass(error, "read")
            return None
        if row is None:
            return None
        try:
            return _decoder.decode(row[0])
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
            # Whatever damaged it, the call is made again and its reply replaces this one.
            with contextlib.suppress(sqlite3.Error):
                self._open().execute("DELETE FROM replies WHERE key = ?", (key,))
            return None

    def _store(self, key: bytes, model: str, reply: Reply) -> None:
        if not self._writable:
            return
        row = (key, model.encode(errors="replace").decode(), time.time(), msgspec.json.encode(reply))
        try:
            self._open().execute("INSERT INTO replies VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
        except (sqlite3.Error, OSError) as error:
            self._bypass(error, "written")

    def _open(self) -> sqlite3.Connection:
        """Connect once, in autocommit mode: each reply is a transaction."""
        if self._connection is not None:
            return self._connection
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _OPENINGS + 1):
            # check_same_thread: used in the cache's thread only, but an ending process may collect it in another.
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=_LOCK_S, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # No fsync for each reply: a power cut may lose the last ones, which are then requested again.
                connection.execute("PRAGMA synchronous = NORMAL")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version not in (0, _VERSION):
                    raise sqlite3.DatabaseError(
                        f"written by another version of maestro-eval ({version}, this one has {_VERSION})"
                    )
                if version == 0:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(_TABLE)
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                    connection.execute("COMMIT")
                self._connection = connection
                return connection
            except sqlite3.Error as error:
                connection.close()
                if attempt == _OPENINGS or not _is_lock(error):
                    raise
                time.sleep(_REOPEN_S)
        raise AssertionError("the last attempt returned or raised")

    def _bypass(self, error: sqlite3.Error | OSError, what: str) -> None:
        """Stop reading or writing as far as ``error`` requires, and log it once."""
        if self._connection is not None and _is_lock(error):
            if not self._lock_logged:
                self._lock_logged = True
                self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * _SHORT_LOCK_S)}")
                _log.warning("%s: locked by another process for %g s; some calls go uncached", self._path, _LOCK_S)
            return
        unwritable = _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
        readable = self._connection is not None and unwritable
        self._writable = False
        self._readable = self._readable and readable
        fix = "free some space" if readable else "repair its folder, or delete it to start a new cache"
        _log.warning("%s: cannot be %s (%s); calls go on without it: %s", self._path, what, error, fix)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        self._readable = self._writable = False


def _image_key(image: Image) -> dict[str, Any]:
    # A picture that is sent re-encoded has another key than the dataset's own bytes.
    plain = "" if len(image.data) == image.ref.size else ";plain"
    return {"type": "image_url", "image_url": {"url": f"{image.ref.media_type};sha256,{image.ref.sha256}{plain}"}}


def _is_lock(error: sqlite3.Error | OSError) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error | OSError) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
