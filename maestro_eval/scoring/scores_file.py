"""``exports/scores.PROTOCOL.jsonl``: a first line that says what the scores are of, then one score a line.

The files of a pass, one a protocol, are written as it goes on, and get their names when all are whole. They hold what
decides a score and no times or machine names: equal scores are equal bytes. A reader keeps the file that it was made
with open: what it reads stays the same when a later pass puts another file under the name.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from maestro_eval.records import RunManifest, Score, ScoringProtocol, UserError

SCHEMA = 3
_BLOCK = 1 << 18

_scores = msgspec.json.Decoder(Score)


class TaskHeading(Struct, frozen=True):
    """What decides how a task is judged. ``released`` is empty where that is its fall-back."""

    hash: str
    metric: str
    released: str


class Heading(Struct, frozen=True):
    """The first line of the file."""

    schema: int
    protocol: ScoringProtocol
    system: str
    registry_hash: str
    prompt_hash: str
    tasks: dict[str, TaskHeading]


class ScoresFile:
    """The scores of one pass: iterable as often as one likes, in constant memory.

    ``path`` is ``None`` where the run folder could not be written: the scores then last as long as this object.
    """

    def __init__(self, file: IO[bytes], path: Path | None, count: int) -> None:
        self.path = path
        self._file = file
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Score]:
        lines = self._lines()
        next(lines)
        return map(_scores.decode, lines)

    def _lines(self) -> Iterator[bytes]:
        # Reading at an offset of its own, so that two iterations do not move each other's.
        offset, rest = 0, b""
        while block := os.pread(self._file.fileno(), _BLOCK, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines


def heading_of(manifest: RunManifest, protocol: ScoringProtocol) -> Heading:
    """The heading of a run's scores under a protocol."""
    return Heading(
        SCHEMA,
        protocol,
        manifest.system,
        manifest.registry.hash,
        manifest.prompt.hash,
        {task.name: TaskHeading(task.hash, task.metric, task.released) for task in manifest.tasks},
    )


def write_scores_files(
    folder: Path, headings: Sequence[Heading], blocks: Iterable[Mapping[ScoringProtocol, bytes]]
) -> dict[ScoringProtocol, ScoresFile]:
    """Write the files of a run folder from blocks of whole lines by protocol, all of them whole or none.

    A folder that cannot be written gets no file, and that is no error. UserError when the disk fills up.
    """
    files: list[_Growing] = []
    try:
        for heading in headings:
            files.append(_Growing(folder / "exports" / f"scores.{heading.protocol}.jsonl", heading))
        for block in blocks:
            for file in files:
                file.add(block[file.protocol])
        for file in files:
            file.settle()
        return {file.protocol: file.named() for file in files}
    except BaseException:
        for file in files:
            file.abandon()
        raise


class _Growing:
    """A file without its name, or without any where the folder cannot be written."""

    def __init__(self, path: Path, heading: Heading) -> None:
        self.protocol = heading.protocol
        self._path = path
        self._count = 0
        self._file, self._temporary = _new_file(path)
        with _told(path):
            self._file.write(msgspec.json.encode(heading) + b"\n")

    def add(self, lines: bytes) -> None:
        with _told(self._path):
            self._file.write(lines)
        self._count += lines.count(b"\n")

    def settle(self) -> None:
        with _told(self._path):
            self._file.flush()
            if self._temporary is not None:
                os.fsync(self._file.fileno())
                # mkstemp makes files private; scores are read by others.
                os.chmod(self._temporary, 0o644)

    def named(self) -> ScoresFile:
        if self._temporary is None:
            return ScoresFile(self._file, None, self._count)
        with _told(self._path):
            os.replace(self._temporary, self._path)
        return ScoresFile(self._file, self._path, self._count)

    def abandon(self) -> None:
        # What is left in the buffer is of no use, and writing it may fail as before.
        with contextlib.suppress(OSError):
            self._file.close()
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)


def _new_file(path: Path) -> tuple[IO[bytes], str | None]:
    """An empty file beside ``path`` with its name, or one without a name where there can be none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError:
        with _told(path):
            return tempfile.TemporaryFile(), None
    return os.fdopen(handle, "w+b"), temporary


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); free some space") from error
