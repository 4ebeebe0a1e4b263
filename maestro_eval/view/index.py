"""``exports/view.db``: a run's index, which all pages read. It is derived from the journal and may be deleted.

It stores the columns that filters read as blocks of numbers, and the cells that a table shows as a line of text for
each rollout. An inverted index without the texts (``exports/view-words.db``, a file of its own so that both are written
in parallel) finds the words of question, answer and observations. A rollout's rank is its position in key order.

The index is streamed to a temporary name, in memory that does not grow with the run, and renamed when complete. If the
folder is not writable, it is stored in a temporary folder of this process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from maestro_eval.view.columns import ROW, Frame, Words, row_of
from maestro_eval.view.source import Entry, RunSource, stamp_of

VERSION = 4
_BLOCK = 4096
_BATCH = 1024
_LONGEST_CELL = 240
_LONGEST_INDEXED = 1 << 18

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE words (kind TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE blocks (number INTEGER PRIMARY KEY, rows BLOB NOT NULL);
CREATE TABLE lines (
    rank INTEGER PRIMARY KEY, sample_id TEXT NOT NULL, question TEXT, answer TEXT, target TEXT,
    images INTEGER, image TEXT
);
"""
# Words without their positions take a third of the size. Columns allow queries such as `answer: 42`.
_WORDS = """
CREATE VIRTUAL TABLE texts USING fts5(
    question, answer, observations, content='', columnsize=0, detail=column, tokenize='unicode61'
);
INSERT INTO texts (texts, rank) VALUES ('automerge', 0);
"""

Progress = Callable[[int], None]
_Row = tuple[Any, ...]
_Line = tuple[int, str, str, str, str, int, str]


class Line(Struct, frozen=True):
    """The cells of a rollout in the table of samples; ``image`` is the hash of its first picture."""

    rank: int
    sample_id: str
    question: str
    answer: str
    target: str
    images: int
    image: str


class Texts(Struct, frozen=True):
    """The searchable texts of a rollout."""

    question: str
    answer: str
    observations: str

    def of(self, column: str) -> tuple[str, ...]:
        """Return the text of one column, or all three if ``column`` is empty."""
        return (getattr(self, column),) if column else (self.question, self.answer, self.observations)


class Index:
    """The open index of a run folder; only the thread that opened it uses it."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        words = words_path(path)
        self._words = sqlite3.connect(f"{words.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self.stamp = self.meta("stamp")
        self._frame: Frame | None = None

    def meta(self, name: str) -> str:
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else ""

    @property
    def frame(self) -> Frame:
        if self._frame is None:
            blocks = self._db.execute("SELECT rows FROM blocks ORDER BY number")
            known = self._db.execute("SELECT kind, number, text FROM words ORDER BY kind, number")
            rows = (np.frombuffer(data, dtype=ROW) for (data,) in blocks)
            self._frame = Frame(int(self.meta("size")), rows, Words(known))
        return self._frame

    def lines(self, ranks: Sequence[int]) -> list[Line]:
        """Return the lines of ``ranks``, in that order."""
        found = [self._db.execute("SELECT * FROM lines WHERE rank = ?", (int(rank),)).fetchone() for rank in ranks]
        return [Line(*row) for row in found if row]

    def rank_of(self, task: str, sample_id: str, repeat: int) -> int | None:
        """Return the rank of a key, or None, by binary search over the lines."""
        frame = self.frame
        wanted = (_key_bytes(task), _key_bytes(sample_id), repeat)
        low, high = 0, frame.size
        while low < high:
            middle = (low + high) // 2
            (line,) = self.lines([middle])
            found = (_key_bytes(frame.text("task", middle)), _key_bytes(line.sample_id), int(frame["repeat"][middle]))
            if found == wanted:
                return middle
            low, high = (middle + 1, high) if found < wanted else (low, middle)
        return None

    def documents(self, query: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the numbers of the documents that match a full-text query; raise ValueError for wrong syntax."""
        try:
            # Joined in SQLite: a million rows would each cost a Python object.
            (found,) = self._words.execute(
                "SELECT group_concat(rowid) FROM texts WHERE texts MATCH ?", (query,)
            ).fetchone()
        except sqlite3.OperationalError as error:
            raise ValueError(str(error)) from error
        return np.fromstring(found, dtype=np.int64, sep=",") if found else np.empty(0, dtype=np.int64)

    def close(self) -> None:
        self._db.close()
        self._words.close()


def open_index(folder: Path) -> Index | None:
    """Open the index of ``folder`` (it may lag behind the journal); return None if there is none of this version."""
    path = index_path(folder)
    if not path.is_file():
        return None
    with contextlib.suppress(sqlite3.Error):
        index = Index(folder, path)
        if index.meta("version") == str(VERSION):
            return index
        index.close()
    return None


def refresh_index(folder: Path, progress: Progress = lambda done: None) -> None:
    """Update the index of ``folder`` to its journal: add the new attempts, or rebuild it if more has changed."""
    index = open_index(folder)
    if index is not None:
        try:
            if _add_new(index):
                return
        except sqlite3.Error:  # written by another viewer at the same time, or damaged: rebuilt
            pass
        finally:
            index.close()
    build_index(folder, progress)


def build_index(folder: Path, progress: Progress = lambda done: None) -> None:
    """Build the index of ``folder`` from nothing; ``progress`` receives the number of rollouts added so far."""
    path = index_path(folder)
    stamp = stamp_of(folder)
    source = RunSource(folder)
    try:
        made = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            _write(source, made, stamp, progress)
            os.replace(words_path(made), words_path(path))
            os.replace(made, path)
        finally:
            made.unlink(missing_ok=True)
            words_path(made).unlink(missing_ok=True)
    finally:
        source.journal.close()


def index_path(folder: Path) -> Path:
    """Return the path of the index: in ``folder``, or in a temporary folder if that is not writable."""
    exports = folder / "exports"
    with contextlib.suppress(OSError):
        exports.mkdir(exist_ok=True)
    if os.access(exports, os.W_OK):
        return exports.resolve() / "view.db"
    own = _own_folder() / str(abs(hash(folder.resolve())))
    own.mkdir(exist_ok=True)
    return own / "view.db"


def words_path(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix('.db')}-words.db")


_own: Path | None = None


def _own_folder() -> Path:
    global _own
    if _own is None:
        _own = Path(tempfile.mkdtemp(prefix="maestro-view-"))
        atexit.register(shutil.rmtree, _own, ignore_errors=True)
    return _own


def _add_new(index: Index) -> bool:
    """Add new attempts to the index; return False, adding nothing, if there are none or scores or the plan changed."""
    stamp = stamp_of(index.folder)
    source = RunSource(index.folder)
    try:
        seen, frame, journal = int(index.meta("attempt")), index.frame, source.journal
        now = journal.progress()
        if now.attempt == seen or str(now.scores) != index.meta("scores") or journal.counts().planned != frame.size:
            return False
        entries = list(source.entries(after=seen))
    finally:
        source.journal.close()
    words, ranks = frame.words, [index.rank_of(each.key.task, each.key.sample_id, each.key.repeat) for each in entries]
    documents = int(index.meta("documents"))
    path = index_path(index.folder)
    with _TextWriter(words_path(path), new=False) as texts:
        for number, entry in enumerate(entries, start=documents + 1):
            texts.add(number, entry)
    db = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(db):
        db.execute("BEGIN IMMEDIATE")
        numbered = zip(range(documents + 1, documents + 1 + len(entries)), ranks, entries, strict=True)
        # Entries are in key order, so each block is written once.
        for block, group in groupby(numbered, key=lambda each: (each[1] or 0) // _BLOCK):
            (data,) = db.execute("SELECT rows FROM blocks WHERE number = ?", (block,)).fetchone()
            rows = np.frombuffer(data, dtype=ROW).copy()
            for number, rank, entry in group:
                assert rank is not None
                rows[rank % _BLOCK] = row_of(entry, words, number)
                db.execute("REPLACE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", _line(rank, entry))
            db.execute("UPDATE blocks SET rows = ? WHERE number = ?", (rows.tobytes(), block))
        db.executemany("INSERT INTO words VALUES (?, ?, ?)", words.fresh)
        meta = {"stamp": stamp, "attempt": now.attempt, "documents": documents + len(entries)}
        db.executemany("REPLACE INTO meta VALUES (?, ?)", ((name, str(value)) for name, value in meta.items()))
        db.execute("COMMIT")
    return True


def _write(source: RunSource, path: Path, stamp: str, progress: Progress) -> None:
    db = _new_database(path, _TABLES)
    # Read before the entries: attempts that arrive meanwhile are added by the next update.
    seen = source.journal.progress()
    words = Words()
    size = 0
    with contextlib.closing(db), _TextWriter(words_path(path)) as texts:

        def built(rank: int, entry: Entry) -> tuple[_Row, _Line]:
            document = 0 if entry.rollout is None else rank + 1
            texts.add(document, entry)
            return row_of(entry, words, document), _line(rank, entry)

        db.execute("BEGIN")
        entries = enumerate(source.entries())
        while made := [built(*each) for each in islice(entries, _BLOCK)]:
            rows, lines = zip(*made, strict=True)
            db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", lines)
            db.execute("INSERT INTO blocks VALUES (?, ?)", (size // _BLOCK, np.array(list(rows), dtype=ROW).tobytes()))
            db.executemany("INSERT INTO words VALUES (?, ?, ?)", words.fresh)
            words.fresh.clear()
            size += len(rows)
            progress(size)
        meta = {"version": VERSION, "stamp": stamp, "size": size, "documents": size}
        meta |= {"attempt": seen.attempt, "scores": seen.scores}
        db.executemany("INSERT INTO meta VALUES (?, ?)", ((name, str(value)) for name, value in meta.items()))
        db.execute("COMMIT")


def _new_database(path: Path, tables: str) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    db = _connection(path)
    # Durability is not needed: an incomplete file is deleted.
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.executescript(tables)
    return db


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class _TextWriter:
    """Writes texts into the full-text index in its own thread, where SQLite works without the GIL."""

    def __init__(self, path: Path, *, new: bool = True) -> None:
        self._db = _new_database(path, _WORDS) if new else _connection(path)
        self._batch: list[tuple[int, str, str, str]] = []
        self._queue: queue.Queue[list[tuple[int, str, str, str]] | None] = queue.Queue(maxsize=3)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="view-words", daemon=True)

    def __enter__(self) -> _TextWriter:
        self._thread.start()
        return self

    def add(self, document: int, entry: Entry) -> None:
        if entry.rollout is None or entry.sample is None:
            return
        texts = texts_of(entry)
        self._batch.append((document, texts.question, texts.answer, texts.observations))
        if len(self._batch) >= _BATCH:
            self._send()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._send()
        self._queue.put(None)
        self._thread.join()
        self._db.close()
        if self._failure is not None and error is None:
            raise self._failure

    def _send(self) -> None:
        if self._batch:
            self._queue.put(self._batch)
            self._batch = []

    def _work(self) -> None:
        try:
            self._db.execute("BEGIN")
            while (batch := self._queue.get()) is not None:
                self._db.executemany(
                    "INSERT INTO texts (rowid, question, answer, observations) VALUES (?, ?, ?, ?)", batch
                )
            self._db.execute("COMMIT")
        except BaseException as failure:  # raised in the thread that waits for this one
            self._failure = failure
            while self._queue.get() is not None:
                pass


def texts_of(entry: Entry) -> Texts:
    """Return the searchable texts of a rollout that ran."""
    assert entry.rollout is not None
    assert entry.sample is not None
    question = "\n".join((entry.sample.question, *entry.sample.choices))
    answer = entry.rollout.answer or ""
    observations = "\n".join(turn.observation for turn in entry.rollout.turns if turn.observation)
    return Texts(_storable(question), _storable(answer), _storable(observations[:_LONGEST_INDEXED]))


def _line(rank: int, entry: Entry) -> _Line:
    rollout, sample = entry.rollout, entry.sample
    if rollout is None or sample is None:
        return rank, entry.key.sample_id, "", "", "", 0, ""
    answer = rollout.answer or ""
    target = " | ".join(sample.targets[:5])
    question, answer, target = (_storable(text[:_LONGEST_CELL]) for text in (sample.question, answer, target))
    image = sample.images[0].sha256 if sample.images else ""
    return rank, entry.key.sample_id, question, answer, target, len(sample.images), image


def _storable(text: str) -> str:
    """Return ``text`` without lone surrogates, which SQLite cannot store."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _key_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
