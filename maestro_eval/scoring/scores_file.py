"""``exports/scores.PROTOCOL.jsonl``: a first line that says what the scores are of, then one score a line.

It is written as the pass goes on and gets its name when it is whole. It holds what decides a score and no times or
machine names: equal scores are equal bytes. A reader keeps the file that it was made with open: what it reads stays
the same when a later pass puts another file under the name.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from maestro_eval.types import RunManifest, Score, UserError

SCHEMA = 2
_BLOCK = 1 << 18

_scores = msgspec.json.Decoder(Score)


class TaskHeading(Struct, frozen=True):
    """What decides how a task is judged. ``released`` is empty where no released scorer is known."""

    hash: str
    metric: str
    released: str


class Heading(Struct, frozen=True):
    """The first line of the file."""

    schema: int
    protocol: str
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


def heading_of(manifest: RunManifest, protocol: str) -> Heading:
    """The heading of a run's scores under a protocol."""
    return Heading(
        SCHEMA,
        protocol,
        manifest.system,
        manifest.registry.hash,
        manifest.prompt.hash,
        {task.name: TaskHeading(task.hash, task.metric, task.released) for task in manifest.tasks},
    )


def write_scores_file(folder: Path, heading: Heading, lines: Iterable[bytes]) -> ScoresFile:
    """Write the file of a run folder from blocks of whole lines, whole or not at all.

    A folder that cannot be written gets no file, and that is no error. UserError when the disk fills up.
    """
    path = folder / "exports" / f"scores.{heading.protocol}.jsonl"
    file, temporary = _new_file(path)
    try:
        count = 0
        with _told(path):
            file.write(msgspec.json.encode(heading) + b"\n")
        for block in lines:
            with _told(path):
                file.write(block)
            count += block.count(b"\n")
        with _told(path):
            file.flush()
            if temporary is None:
                return ScoresFile(file, None, count)
            os.fsync(file.fileno())
            # mkstemp makes files private; scores are read by others.
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
            return ScoresFile(file, path, count)
    except BaseException:
        # What is left in the buffer is of no use, and writing it may fail as before.
        with contextlib.suppress(OSError):
            file.close()
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise


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
