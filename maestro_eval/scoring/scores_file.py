"""``exports/scores.PROTOCOL.jsonl``: a first line that describes the scores, then one score per line.

The files of a pass, one per protocol, are written as it proceeds, and get their names when all are complete. They
contain what decides a score and no times or machine names: equal scores are equal bytes. A reader keeps its file open:
what it reads does not change when a later pass replaces the file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from maestro_eval.files import atomic_file
from maestro_eval.records import RunManifest, Score, ScoringProtocol, UserError

SCHEMA = 3
_BLOCK = 1 << 18

_scores = msgspec.json.Decoder(Score)


class TaskHeading(Struct, frozen=True):
    """The fields of a task that decide how it is judged. ``released`` is empty for the fall-back."""

    hash: str
    metric: str
    released: str


class Heading(Struct, frozen=True):
    """The first line of a scores file."""

    schema: int
    protocol: ScoringProtocol
    system: str
    registry_hash: str
    prompt_hash: str
    tasks: dict[str, TaskHeading]


class ScoresFile(Struct, frozen=True):
    """The scores of one pass: iterable repeatedly, in constant memory. ``begin`` is the offset of the first score.

    ``path`` is ``None`` if the run folder could not be written; the scores then last as long as this object.
    """

    file: IO[bytes]
    path: Path | None
    count: int
    begin: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Score]:
        # Each iteration has its own offset, so that two may run at once.
        offset, rest = self.begin, b""
        while block := os.pread(self.file.fileno(), _BLOCK, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from map(_scores.decode, lines)


def heading_of(manifest: RunManifest, protocol: ScoringProtocol) -> Heading:
    """Make the heading of a run's scores under a protocol."""
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
    """Write the scores files of a run folder, all or none, from blocks of whole lines by protocol.

    In a folder that cannot be written, no file is made and no error raised. Raise UserError if the disk is full.
    """
    paths = {each.protocol: folder / "exports" / f"scores.{each.protocol}.jsonl" for each in headings}
    counts: Counter[ScoringProtocol] = Counter()
    begins: dict[ScoringProtocol, int] = {}
    with contextlib.ExitStack() as stack:
        files: dict[ScoringProtocol, IO[bytes]] = {}
        for heading in headings:
            try:
                file = stack.enter_context(atomic_file(paths[heading.protocol]))
            except UserError:
                paths.pop(heading.protocol)
                file = stack.enter_context(tempfile.TemporaryFile())
            begins[heading.protocol] = file.write(msgspec.json.encode(heading) + b"\n")
            files[heading.protocol] = file
        for block in blocks:
            for protocol, file in files.items():
                file.write(block[protocol])
                counts[protocol] += block[protocol].count(b"\n")
        for file in files.values():
            # All are on disk before the first gets its name.
            file.flush()
            os.fsync(file.fileno())
        # The readers' files stay open, even if they are replaced or removed.
        readers = {protocol: os.fdopen(os.dup(file.fileno()), "rb") for protocol, file in files.items()}
    return {
        protocol: ScoresFile(file, paths.get(protocol), counts[protocol], begins[protocol])
        for protocol, file in readers.items()
    }
