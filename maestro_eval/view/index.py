"""``exports/view.db``: the index of a run that the pages are read from, derived from the journal and disposable.

The columns that filters read are kept as blocks of numbers, what a table shows of a rollout as a line of text, and the
words of question, answer and observations in an inverted index without the texts (``exports/view-words.db``, a file of
its own, so that both are written at once). A rollout's place is its rank among the planned keys in key order.

It is built by streaming, in memory that does not grow with the run, and written under another name until it is whole.
Where the folder cannot be written, it is kept in a folder of this process.
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
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

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
# Words alone, not their places: a third of the size. Columns, so that `answer: 42` can be asked.
_WORDS = """
CREATE VIRTUAL TABLE texts USING fts5(
    question, answer, observations, content='', columnsize=0, detail=column, tokenize='unicode61'
);
INSERT INTO texts (texts, rank) VALUES ('automerge', 0);
"""

Progress = Callable[[int], None]


class Line(Struct, frozen=True):
    """What a table shows of a rollout beside its numbers; ``image`` is the hash of its first picture."""

    rank: int
    sample_id: str
    question: str
    answer: str
    target: str
    images: int
    image: str


class Index:
    """The index of a run folder; it belongs to the thread that made it."""

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
        """The lines of ``ranks``, in that order."""
        found = [self._db.execute("SELECT * FROM lines WHERE rank = ?", (int(rank),)).fetchone() for rank in ranks]
        return [Line(*row) for row in found if row]

    def rank_of(self, task: str, sample_id: str, repeat: int) -> int | None:
        """The rank of a key; ranks are in key order, so that twenty lines are read for it."""
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
        """The numbers of the documents that match a full-text query. ``ValueError`` for one that is none."""
        try:
            # One text made in C: a million rows would each cost a Python object.
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
    """The index of ``folder`` as it is, maybe behind its journal; ``None`` where there is none of this version."""
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
    """Bring the index of ``folder`` up to its journal: by what is new there, or from nothing where that will not do."""
    index = open_index(folder)
    if index is not None:
        try:
            if _add_new(index):
                return
        except sqlite3.Error:  # written by another viewer at the same time, or damaged: made anew
            pass
        finally:
            index.close()
    build_index(folder, progress)


def build_index(folder: Path, progress: Progress = lambda done: None) -> None:
    """Build the index of ``folder`` from nothing. ``progress`` is told how many rollouts are in it."""
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
        source.close()


def index_path(folder: Path) -> Path:
    """Where the index of ``folder`` is or goes: in the folder, or in one of this process where it cannot be written."""
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
    """Add the attempts that the index lacks; False where more has changed than attempts were added."""
    stamp = stamp_of(index.folder)
    source = RunSource(index.folder)
    try:
        seen, now, frame = int(index.meta("attempt")), source.progress(), index.frame
        if now.attempt == seen or str(now.scores) != index.meta("scores") or source.counts().planned != frame.size:
            return False
        entries = list(source.entries(after=seen))
    finally:
        source.close()
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
        # In key order, so that a block is written once.
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
    # Before the entries are read: what comes in meanwhile is read again.
    seen = source.progress()
    words = Words()
    size = 0
    with contextlib.closing(db), _TextWriter(words_path(path)) as texts:
        db.execute("BEGIN")
        entries = source.entries()
        for number, block in enumerate(_blocks(entries)):
            rows = []
            for rank, entry in enumerate(block, start=number * _BLOCK):
                document = 0 if entry.rollout is None else rank + 1
                rows.append(row_of(entry, words, document))
                texts.add(document, entry)
            db.executemany(
                "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)",
                (_line(rank, entry) for rank, entry in enumerate(block, start=number * _BLOCK)),
            )
            db.execute("INSERT INTO blocks VALUES (?, ?)", (number, np.array(rows, dtype=ROW).tobytes()))
            db.executemany("INSERT INTO words VALUES (?, ?, ?)", words.fresh)
            words.fresh.clear()
            size += len(rows)
            progress(size)
        meta = {"version": VERSION, "stamp": stamp, "size": size, "documents": size}
        meta |= {"attempt": seen.attempt, "scores": seen.scores}
        db.executemany("INSERT INTO meta VALUES (?, ?)", ((name, str(value)) for name, value in meta.items()))
        db.execute("COMMIT")


def _blocks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while block := list(islice(entries, _BLOCK)):
        yield block


def _new_database(path: Path, tables: str) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    db = _connection(path)
    # Nothing to lose: what is not whole is thrown away.
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.executescript(tables)
    return db


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class _TextWriter:
    """Writes texts into the index of words in a thread of its own: SQLite's work there leaves Python's lock free."""

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
        self._batch.append((document, *_texts(entry)))
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
        except BaseException as failure:  # handed to the thread that waits for this one
            self._failure = failure
            while self._queue.get() is not None:
                pass


def _texts(entry: Entry) -> tuple[str, str, str]:
    assert entry.rollout is not None
    assert entry.sample is not None
    question = "\n".join((entry.sample.question, *entry.sample.choices))
    answer = entry.rollout.answer or ""
    observations = "\n".join(turn.observation for turn in entry.rollout.turns if turn.observation)
    return _storable(question), _storable(answer), _storable(observations[:_LONGEST_INDEXED])


def _line(rank: int, entry: Entry) -> tuple[int, str, str, str, str, int, str]:
    rollout, sample = entry.rollout, entry.sample
    if rollout is None or sample is None:
        return rank, entry.key.sample_id, "", "", "", 0, ""
    answer = rollout.answer or ""
    target = " | ".join(sample.targets[:5])
    question, answer, target = (_storable(text[:_LONGEST_CELL]) for text in (sample.question, answer, target))
    image = sample.images[0].sha256 if sample.images else ""
    return rank, entry.key.sample_id, question, answer, target, len(sample.images), image


def _storable(text: str) -> str:
    """``text`` without halves of characters, which SQLite cannot keep."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _key_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
