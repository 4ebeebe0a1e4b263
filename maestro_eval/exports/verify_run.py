"""Verifies that a run folder is undamaged and that its scores follow from its transcripts, without changing it.

The folder is untrusted. Its journal is read with its checksums, every answer is compared with the policy's text,
every verdict is computed again unless that would run a program, and so is every number of its report.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from maestro_eval.exports.answers import is_answer_of, written
from maestro_eval.exports.known_tasks import KnownTask, known_task
from maestro_eval.exports.submission import judged_again
from maestro_eval.exports.verify import Verified, count_numbers, unlike
from maestro_eval.journal import Journal, unpack_record
from maestro_eval.records import PROTOCOLS, Answered, RunManifest, Score, ScoringProtocol, Selection, UserError
from maestro_eval.report import Asked, find, render_as
from maestro_eval.scoring import (
    Heading,
    RunScores,
    ScoresFile,
    Tally,
    check_protocol,
    heading_of,
    score_rollout,
    unscored,
)
from maestro_eval.text import printable

_MOST = 1000
_NEVER_RAN = "never ran"
_SCORES = "scores.*.jsonl"
_LONGEST_LINE = 64 << 20
# Numbers are written with 6 decimals; another platform may round the last one differently.
_ROUNDED = 2e-6
_PARTS = ("tasks", "means", "missing_evidence")
_JUDGED = ("value", "extracted", "others", "category", "stratum", "cluster")


def verify_run(folder: Path, data: Mapping[str, str] | None = None) -> Verified:
    """Check a run folder; if ``data`` contains the path of a task's rows, compare its samples with them.

    A folder that cannot be opened as a run is a mismatch; a planned rollout without a record is only unknown.
    """
    check = _RunCheck(folder, data or {})
    try:
        with Journal.open(folder, read_only=True) as journal:
            check.journal(journal)
    except UserError as error:
        check.wrong(str(error))
    return Verified(
        folder, tuple(check.mismatches), check.files, check.samples, check.numbers, check.judged_again,
        tuple(check.unknown),
    )  # fmt: skip


class _RunCheck:
    """One verification, with its findings so far."""

    def __init__(self, folder: Path, data: Mapping[str, str]) -> None:
        self.folder = folder
        self.data = data
        self.mismatches: list[str] = []
        self.unknown = ["whether the model wrote these transcripts: whoever has the folder can write them anew"]
        self.files = self.samples = self.numbers = self.judged_again = 0
        self.tally = Tally()

    def wrong(self, line: str) -> None:
        if len(self.mismatches) < _MOST:
            self.mismatches.append(printable(line))

    def journal(self, journal: Journal) -> None:
        manifest = journal.manifest
        self.files = 2
        for problem in journal.problems():
            self.wrong(problem)
        if self.mismatches:  # A damaged journal makes the other checks pointless.
            return
        known = {task.name: known_task(task, self.data.get(task.name, "")) for task in manifest.tasks}
        for task in known.values():
            self._report_task(task, selected=manifest.selection != Selection())
        pictures: dict[tuple[str, str], str] = {}
        for rollout, sample in journal.rollouts():
            self.samples += 1
            self.tally.count(rollout)
            where = f"{rollout.key.task}/{rollout.key.sample_id}/{rollout.key.repeat}"
            if isinstance(rollout.outcome, Answered) and not is_answer_of(rollout.outcome.text, written(rollout)):
                self.wrong(f"{where}: its answer is not in its transcript")
            if problem := known[rollout.key.task].problem_of(sample.sample_id, sample.content_hash):
                self.wrong(f"{where}: {problem}")
            for image in sample.images:
                if image.file and pictures.setdefault((sample.task, image.file), image.sha256) != image.sha256:
                    self.wrong(f"{where}: {image.file} was another picture in a rollout before it")
        planned = manifest.repeats * sum(task.planned for task in manifest.tasks)
        if self.samples < planned:
            self.unknown.append(
                f"the results of {planned - self.samples:,} of {planned:,} planned rollouts: they have no record"
            )
        for path in sorted((self.folder / "exports").glob(_SCORES)):
            self.files += 1
            self._scores(path, journal, manifest)
        for protocol in PROTOCOLS:
            report = self.folder / "report" / ("" if protocol == "official" else protocol) / "results.json"
            if report.exists():
                self.files += 1
                self._report(report, manifest, protocol)

    def _report_task(self, known: KnownTask, *, selected: bool) -> None:
        for line in known.mismatches:
            self.wrong(f"manifest.json: {line}")
        self.unknown.extend(known.unknown)
        if known.partial and selected:
            self.unknown.append(f"the accuracy on all samples: it has {known.partial}, as its selection states")
        elif known.partial:
            self.wrong(f"manifest.json: plans {known.partial}, and no selection (--limit, …) explains that")

    def _scores(self, path: Path, journal: Journal, manifest: RunManifest) -> None:
        """Judge every record again and compare it with its line of a scores file."""
        name = f"exports/{path.name}"
        tasks = {task.name: task for task in manifest.tasks}
        lines = _lines(path)
        try:
            heading = msgspec.json.decode(next(lines, b""), type=Heading)
            protocol = check_protocol(heading.protocol)
            if heading != heading_of(manifest, protocol):
                self.wrong(f"{name}: its first line is of another run than manifest.json")
                return
            records = journal.planned_records()
            for number, (record, line) in enumerate(zip(records, lines, strict=True), 2):
                score = msgspec.json.decode(line, type=Score)
                if (score.task, score.sample_id, score.repeat) != (record.task, record.sample_id, record.repeat):
                    self.wrong(f"{name}, line {number}: is of another rollout than the journal's next one")
                    return
                if record.rollout is None:
                    again = unscored(record.key, tasks[record.task], protocol, _NEVER_RAN)
                else:
                    rollout, sample = unpack_record(record)
                    if not judged_again(tasks[record.task], protocol):
                        continue
                    again = score_rollout(sample, rollout, tasks[record.task], protocol)
                self.judged_again += 1
                for field in _JUDGED:
                    found, expected = getattr(score, field), getattr(again, field)
                    if found != expected:
                        self.wrong(f"{name}, line {number}: {field} is {found}, judging again gives {expected}")
        except (msgspec.DecodeError, UserError, ValueError, KeyError, OSError, RecursionError) as error:
            self.wrong(f"{name}: cannot be checked ({error}); `maestro-eval score {self.folder}` writes it again")

    def _report(self, path: Path, manifest: RunManifest, protocol: ScoringProtocol) -> None:
        """Compute the numbers of a report again from the scores file and compare them."""
        name, scores = path.relative_to(self.folder), self.folder / "exports" / f"scores.{protocol}.jsonl"
        try:
            with _opened(path) as report, _opened(scores) as file:
                written = msgspec.json.decode(report.read(_LONGEST_LINE))
                begin, count = len(file.readline(_LONGEST_LINE)), sum(1 for _ in file)
                scored = RunScores(manifest, protocol, ScoresFile(file, None, count, begin), self.tally)
                found = find([(scored, self.folder)], Asked(), protocol)
                computed = msgspec.json.decode(render_as("json", found, path.parent))
            rows = {(each["run"], each.get("kind")): each for each in written["systems"]}
            for own in computed["systems"]:
                row = rows.pop((own["run"], own.get("kind")), None)
                if row is None:
                    self.wrong(f"{name}: has no row of this run")
                    continue
                # The file does not have the tasks of a group of the user's own.
                groups = row["means"].keys() - own["means"].keys()
                means = {mean: numbers for mean, numbers in row["means"].items() if mean not in groups}
                self._numbers(name, {**row, "means": means}, own)
                if groups:
                    self.unknown.append(f"the mean of {', '.join(sorted(groups))} in {name}: a group of somebody's own")
            if rows:
                self.unknown.append(f"the numbers of {len(rows)} other systems in {name}")
            if written.get("reported"):
                self.unknown.append(f"the differences from published numbers in {name}")
        except (msgspec.DecodeError, UserError, ValueError, LookupError, TypeError, AttributeError, OSError,
                RecursionError) as error:  # fmt: skip
            self.wrong(f"{name}: cannot be checked ({error}); `maestro-eval score {self.folder}` writes it again")

    def _numbers(self, name: Path, written: dict[str, Any], computed: dict[str, Any]) -> None:
        found, expected = ({part: row.get(part, {}) for part in _PARTS} for row in (written, computed))
        self.numbers += count_numbers(expected)
        row = f" ({computed['kind']})" if "kind" in computed else ""
        for line in unlike(found, expected, _ROUNDED):
            self.wrong(f"{name}{row}: {line}")


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _lines(path: Path) -> Iterator[bytes]:
    with _opened(path) as file:
        while line := file.readline(_LONGEST_LINE):
            if len(line) >= _LONGEST_LINE:
                raise ValueError(f"a line is longer than {_LONGEST_LINE} bytes")
            yield line
