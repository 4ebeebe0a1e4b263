"""Verifies a submission: computes every number again from its samples.

The folder is untrusted: links are not followed, paths that lead out of it are not read, and no code in it is run. Each
mismatch is one line. The checks run in order, each relying on those before: files, samples, verdicts, numbers, texts.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from maestro_eval.exports.answers import is_answer_of
from maestro_eval.exports.card import model_card, readme
from maestro_eval.exports.known_tasks import KnownTask, known_task
from maestro_eval.exports.submission import judged_again
from maestro_eval.exports.submitted import (
    CARD,
    LONGEST,
    MANIFEST,
    README,
    RESULTS,
    SCHEMA,
    SUMS,
    BadSamplesError,
    Results,
    SubmittedRow,
    flatten,
    read_rows,
    results_of,
    samples_name,
)
from maestro_eval.exports.writing import sha256_of
from maestro_eval.records import (
    Answered,
    Exhausted,
    MaestroError,
    MalformedAction,
    Outcome,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    TaskRecord,
    Turn,
    UserError,
)
from maestro_eval.scoring import check_protocol, score_rollout
from maestro_eval.text import printable

_Record = TypeVar("_Record", RunManifest, Results)

_SUM_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^\n]+)")
# The last digits of a sum differ between platforms and are never shown.
_TOLERANCE = 1e-9
_SHOWN = 60
_DEEPEST = 8


class Verified(Struct, frozen=True):
    """The counts of checked items, and one line for each mismatch and for each fact that cannot be checked."""

    folder: Path
    mismatches: tuple[str, ...]
    files: int = 0
    samples: int = 0
    numbers: int = 0
    judged_again: int = 0
    unknown: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One line that reports a folder without a mismatch."""
        again = f", {self.judged_again} verdicts judged again" if self.judged_again else ""
        return (
            f"{self.folder}: verified: {self.files} files, {self.samples} rollouts, {self.numbers} numbers computed "
            f"again from them{again}"
        )


def verify(folder: Path, data: Mapping[str, str] | None = None) -> Verified:
    """Check a submission; if ``data`` contains the path of a task's rows, compare its samples with them.

    Raise UserError if ``folder`` is no submission; any other problem is a mismatch.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: no such folder, or a link; name a run or a submission")
    if not any((folder / name).exists() for name in (SUMS, MANIFEST)):
        raise UserError(f"{folder}: not a run or submission (it has neither {MANIFEST} nor {SUMS})")
    check = _Check(folder, data or {})
    try:
        check.run()
    except OSError as error:
        check.wrong(f"{error.filename or folder}: cannot be read ({error.strerror})")
    counts = (check.files, check.samples, check.numbers, check.judged_again)
    return Verified(folder, tuple(check.mismatches), *counts, tuple(check.unknown))


class _Check:
    """One verification, with its findings so far."""

    def __init__(self, folder: Path, data: Mapping[str, str]) -> None:
        self.folder = folder
        self.data = data
        self.mismatches: list[str] = []
        self.unknown: list[str] = []
        self.files = self.samples = self.numbers = self.judged_again = 0

    def run(self) -> None:
        if not self._files():
            return
        manifest, results = self._read(MANIFEST, RunManifest), self._read(RESULTS, Results)
        if manifest is None or results is None or not self._agree(manifest, results):
            return
        self.unknown.append("whether the model wrote these transcripts: a submitter can invent them")
        if not results.with_targets:
            self.unknown.append("whether the verdicts are right: it contains no targets (--with-targets adds them)")
        if not self._samples(manifest, results):
            return
        try:
            computed = results_of(self.folder, manifest, results.protocol)
        except (BadSamplesError, MaestroError, ValueError, ArithmeticError, LookupError) as error:
            self.wrong(f"{RESULTS}: cannot be computed from the samples: {error}")
            return
        self._numbers(results, computed)
        self._text(CARD, model_card(manifest, results))
        self._text(README, readme(manifest, results))

    def wrong(self, line: str) -> None:
        """Add a mismatch."""
        self.mismatches.append(printable(line))

    def _files(self) -> bool:
        """Compare the files with the checksums; return False if checksums, manifest or results are missing."""
        found = set()
        for name, regular in _walk(self.folder):
            if regular:
                found.add(name)
            else:
                self.wrong(f"{name}: a link, special file or deep folder; a submission contains plain files only")
        if SUMS not in found:
            self.wrong(f"{SUMS}: missing")
            return False
        listed = self._sums()
        for name in sorted(found - set(listed) - {SUMS}):
            self.wrong(f"{name}: not listed in {SUMS}")
        for name, digest in listed.items():
            if name not in found:
                self.wrong(f"{name}: listed in {SUMS} but missing")
                continue
            self.files += 1
            try:
                actual = sha256_of(self.folder / name)
            except OSError as error:
                self.wrong(f"{name}: cannot be read ({error.strerror})")
                continue
            if actual != digest:
                self.wrong(f"{name}: SHA-256 is {actual[:12]}…, {SUMS} says {digest[:12]}…")
        for name in (MANIFEST, RESULTS, CARD, README):
            if name not in found or name not in listed:
                self.wrong(f"{name}: missing from the submission")
        return {MANIFEST, RESULTS} <= found

    def _sums(self) -> dict[str, str]:
        listed: dict[str, str] = {}
        text = self._bytes(SUMS)
        for number, line in enumerate((text or b"").decode(errors="replace").splitlines(), 1):
            entry = _SUM_LINE.fullmatch(line)
            if entry is None:
                self.wrong(f"{SUMS}, line {number}: not a checksum line")
                continue
            name = entry["name"]
            if not _is_inside(name):
                self.wrong(f"{SUMS}, line {number}: {name!r} leads out of the submission")
            elif name in listed:
                self.wrong(f"{SUMS}, line {number}: {name} is listed twice")
            else:
                listed[name] = entry["digest"]
        return listed

    def _bytes(self, name: str) -> bytes | None:
        try:
            handle = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as file:
                data = file.read(LONGEST + 1)
        except OSError as error:
            self.wrong(f"{name}: cannot be read ({error.strerror})")
            return None
        if len(data) > LONGEST:
            self.wrong(f"{name}: larger than {LONGEST} bytes")
            return None
        return data

    def _read(self, name: str, kind: type[_Record]) -> _Record | None:
        data = self._bytes(name)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.wrong(f"{name}: malformed ({error})")
            return None

    def _agree(self, manifest: RunManifest, results: Results) -> bool:
        before = len(self.mismatches)
        if results.schema != SCHEMA:
            self.wrong(f"{RESULTS}: schema {results.schema}, this maestro-eval knows {SCHEMA}")
        if results.system != manifest.system:
            self.wrong(f"{RESULTS}: system is {results.system!r}, {MANIFEST} says {manifest.system!r}")
        try:
            check_protocol(results.protocol)
        except UserError:
            self.wrong(f"{RESULTS}: unknown protocol {results.protocol!r}")
        names = [task.name for task in manifest.tasks]
        if len(set(names)) < len(names):
            self.wrong(f"{MANIFEST}: a task is listed twice")
        return len(self.mismatches) == before

    def _samples(self, manifest: RunManifest, results: Results) -> bool:
        """Check that each planned rollout occurs once and each verdict fits its answer; return False on a mismatch."""
        before = len(self.mismatches)
        ended = {stop.task for stop in manifest.ended_early}
        wanted = {samples_name(task.name) for task in manifest.tasks if task.planned}
        for name, _ in _walk(self.folder):
            if name.startswith("samples/") and name not in wanted:
                self.wrong(f"{name}: of no task in {MANIFEST}")
        for task in manifest.tasks:
            if not task.planned:
                continue
            count = 0
            hashes: dict[str, str] = {}
            known = known_task(task, self.data.get(task.name, ""))
            self._report_task(known, results)
            try:
                for row in read_rows(self.folder, task.name):
                    count += 1
                    self._row(row, task, manifest, results, hashes)
                    if problem := known.problem_of(row.sample_id, row.content_hash):
                        self.wrong(f"{samples_name(task.name)}: sample {row.sample_id!r}: {problem}")
            except BadSamplesError as error:
                self.wrong(str(error))
                continue
            self.samples += count
            planned = task.planned * manifest.repeats
            # A task that was ended early has fewer rollouts than its manifest plans.
            if count > planned or (count < planned and task.name not in ended):
                self.wrong(f"{samples_name(task.name)}: {count} rollouts, {MANIFEST} plans {planned}")
        return len(self.mismatches) == before

    def _report_task(self, known: KnownTask, results: Results) -> None:
        for line in known.mismatches:
            self.wrong(f"{MANIFEST}: {line}")
        self.unknown.extend(known.unknown)
        if known.partial and results.incomplete:
            self.unknown.append(f"the accuracy on all samples: it has {known.partial}, as it states")
        elif known.partial:
            self.wrong(f"{MANIFEST}: plans {known.partial}, which {RESULTS} does not state")

    def _row(
        self, row: SubmittedRow, task: TaskRecord, manifest: RunManifest, results: Results, hashes: dict[str, str]
    ) -> None:
        where = f"{samples_name(task.name)}: sample {row.sample_id!r}, repeat {row.repeat}"
        if row.repeat >= manifest.repeats:
            self.wrong(f"{where}: the run has {manifest.repeats} repeats, counted from 0")
        if row.content_hash and hashes.setdefault(row.sample_id, row.content_hash) != row.content_hash:
            self.wrong(f"{where}: content_hash differs from that of another repeat")
        if (row.answer is not None) != (row.outcome == "answered"):
            self.wrong(f"{where}: outcome {row.outcome!r} does not fit its answer")
        if row.value is not None and row.outcome in ("failed", "never ran"):
            self.wrong(f"{where}: has value {row.value:g}, but the rollout {row.outcome}")
        if row.value is None and row.outcome in ("answered", "exhausted") and not row.note:
            self.wrong(f"{where}: {row.outcome}, but has neither a value nor a reason for that")
        if row.content_hash == "" and row.value is not None:
            self.wrong(f"{where}: judged, but without a content_hash")
        if any(not math.isfinite(number) for number in row.others.values()):
            self.wrong(f"{where}: a further measure is no number")
        if row.outcome not in ("answered", "exhausted") or not judged_again(task, results.protocol):
            return
        if row.gold is not None:
            if row.answer is not None and row.gold.transcript and not is_answer_of(row.answer, row.gold.transcript):
                self.wrong(f"{where}: its answer {_cut(row.answer)} is not in its transcript")
            self._judge(row, task, results.protocol, where)
        elif results.with_targets and row.content_hash:
            self.wrong(f"{where}: has no gold, and others have")

    def _judge(self, row: SubmittedRow, task: TaskRecord, protocol: str, where: str) -> None:
        gold = row.gold
        assert gold is not None
        sample = Sample(row.task, row.sample_id, gold.question, gold.targets, gold.choices, fields=gold.fields)
        outcome: Outcome = Exhausted(row.limit or "turns") if row.answer is None else Answered(row.answer)
        turns = (Turn(gold.transcript, MalformedAction("as submitted")),)
        key = RolloutKey(row.task, row.sample_id, row.repeat)
        rollout = Rollout(key, outcome, turns, user_prompt="", content_hash=row.content_hash, seed=0)
        try:
            score = score_rollout(sample, rollout, task, protocol)
        except Exception as error:  # untrusted targets may raise anything; it affects only this sample
            self.wrong(f"{where}: cannot be judged again ({error})")
            return
        self.judged_again += 1
        if not _same(score.value, row.value):
            self.wrong(f"{where}: value is {row.value}, judging its answer again gives {score.value}")
        elif score.extracted != row.extracted:
            self.wrong(f"{where}: extracted is {_cut(row.extracted)}, judging again gives {_cut(score.extracted)}")
        elif score.others != row.others:
            self.wrong(f"{where}: others are {_cut(row.others)}, judging again gives {_cut(score.others)}")

    def _numbers(self, written: Results, computed: Results) -> None:
        expected = msgspec.to_builtins(computed)
        self.numbers += count_numbers(expected)
        for line in unlike(msgspec.to_builtins(written), expected):
            self.wrong(f"{RESULTS}: {line}")

    def _text(self, name: str, expected: str) -> None:
        data = self._bytes(name)
        if data is not None and data != expected.encode():
            self.wrong(f"{name}: is not the text that {MANIFEST} and {RESULTS} give")


def count_numbers(value: object) -> int:
    """Return how many numbers nested mappings contain."""
    return sum(isinstance(each, (int, float)) for _, each in flatten(value))


def unlike(found: object, expected: object, tolerance: float = _TOLERANCE) -> Iterator[str]:
    """Yield a line for each value that differs between written and computed results."""
    written, computed = dict(flatten(found)), dict(flatten(expected))
    for path in sorted(written.keys() | computed.keys()):
        if path not in computed:
            yield f"{path} does not follow from the samples"
        elif path not in written:
            yield f"{path} is missing; the samples give {_cut(computed[path])}"
        elif not _same(written[path], computed[path], tolerance):
            yield f"{path} is {_cut(written[path])}, the samples give {_cut(computed[path])}"


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the path of every entry that is no folder, and whether it is a plain file.

    A folder nested deeper than ``_DEEPEST`` is yielded too, as no plain file.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False) and name.count("/") < _DEEPEST:
                    waiting.append(f"{name}/")
                else:
                    yield name, entry.is_file(follow_symlinks=False)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = "\\" not in name and "\0" not in name and name == path.as_posix()
    return plain and not path.is_absolute() and ".." not in path.parts


def _same(found: Any, expected: Any, tolerance: float = _TOLERANCE) -> bool:
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (found, expected))
    if numbers:
        return math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(found == expected and type(found) is type(expected))


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
