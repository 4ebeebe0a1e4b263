"""Defines the records of a submission and computes its numbers from its samples.

Writer and verifier share ``results_of``, which reads only the manifest and the sample files, so the verifier finds any
number in ``results.json`` that does not follow from them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from maestro_eval.analysis import Estimate, Measure, TaskAccuracy, compare
from maestro_eval.exports.names import safe_name
from maestro_eval.exports.source import shortcomings
from maestro_eval.records import Limit, RunManifest, Score, UserError
from maestro_eval.scoring import RunScores, Tally

SCHEMA = 1
MANIFEST, RESULTS, CARD, README, SUMS, SAMPLES = (
    "manifest.json", "results.json", "model_card.md", "README.md", "SHA256SUMS", "samples",
)  # fmt: skip
LONGEST = 64 << 20
"""The most bytes of a line, or of a file that is read whole."""

_Share = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=0)]


class Gold(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The parts of a sample that judging its answer needs; ``transcript`` is the text that its protocol reads."""

    question: str
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    transcript: str = ""


class SubmittedRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A planned rollout: its answer, its verdict and its costs.

    ``value`` is null if it was not judged. ``limit`` is the limit that it exhausted, ``cause`` that of a failure.
    ``searches`` are its calls as ``EXPERT@@SKILL``; ``missing`` counts missing evidence by service.
    """

    task: str
    sample_id: str
    repeat: _Count
    content_hash: str
    outcome: Literal["answered", "exhausted", "failed", "never ran"]
    value: _Share | None
    answer: str | None = None
    extracted: str = ""
    note: str = ""
    limit: Limit | None = None
    cause: str | None = None
    category: str = ""
    stratum: str = ""
    cluster: str = ""
    others: dict[str, float] = field(default_factory=dict)
    turns: _Count = 0
    searches: tuple[str, ...] = ()
    calls: _Count = 0
    cached_calls: _Count = 0
    missing: dict[str, int] = field(default_factory=dict)
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    elapsed_s: float = 0.0
    gold: Gold | None = None


class Number(Struct, frozen=True, forbid_unknown_fields=True):
    """A mean over ``n`` samples, as a fraction, with its 95 % interval and the interval's method."""

    value: float
    low: float | None
    high: float | None
    n: int
    method: str
    n_failed: int = 0


class TaskNumbers(Struct, frozen=True, forbid_unknown_fields=True):
    """A benchmark's accuracy, with failures counted as wrong, its categories and its further measures.

    ``rollouts`` counts the lines of its sample file.
    """

    accuracy: Number
    metric: str
    rollouts: int
    categories: dict[str, Number] = field(default_factory=dict)
    others: dict[str, Number] = field(default_factory=dict)


class Results(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``results.json``; ``incomplete`` lists the run's shortcomings."""

    schema: int
    system: str
    protocol: str
    tasks: dict[str, TaskNumbers]
    means: dict[str, Number]
    outcomes: dict[str, int]
    calls: int
    cached_calls: int
    missing_evidence: dict[str, int]
    with_targets: bool
    incomplete: tuple[str, ...]


class BadSamplesError(Exception):
    """A malformed sample file; the message is one line that names file and line."""


def samples_name(task: str) -> str:
    """Return the path, within a submission, of a task's samples."""
    return f"{SAMPLES}/{safe_name(task)}.jsonl"


def read_rows(folder: Path, task: str) -> Iterator[SubmittedRow]:
    """Yield a task's rows. Raise BadSamplesError for a line that is malformed, of another task, or out of order."""
    name = samples_name(task)
    decoder = msgspec.json.Decoder(SubmittedRow)
    before: tuple[str, int] | None = None
    try:
        # A link could point anywhere on the reader's machine.
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            for number, line in enumerate(_lines(file, name), 1):
                try:
                    row = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise BadSamplesError(f"{name}, line {number}: not a sample ({error})") from error
                key = (row.sample_id, row.repeat)
                if row.task != task:
                    raise BadSamplesError(f"{name}, line {number}: is of task {row.task!r}, not of {task!r}")
                if before is not None and key <= before:
                    raise BadSamplesError(
                        f"{name}, line {number}: sample {row.sample_id!r}, repeat {row.repeat} is listed twice "
                        "or out of order"
                    )
                before = key
                yield row
    except OSError as error:
        raise BadSamplesError(f"{name}: cannot be read ({error.strerror})") from error


def _lines(file: object, name: str) -> Iterator[bytes]:
    while line := file.readline(LONGEST):  # type: ignore[attr-defined]
        if len(line) >= LONGEST:
            raise BadSamplesError(f"{name}: a line is longer than {LONGEST} bytes")
        yield line


class _Scores:
    """The scores in the sample files of a folder; each iteration reads them again."""

    def __init__(self, folder: Path, manifest: RunManifest, protocol: str, tasks: list[str]) -> None:
        self._folder = folder
        self._tasks = sorted(tasks)
        self._protocol = protocol
        self._metrics = {task.name: task.metric for task in manifest.tasks}

    def __iter__(self) -> Iterator[Score]:
        for task in self._tasks:
            for row in read_rows(self._folder, task):
                yield Score(
                    task=task,
                    sample_id=row.sample_id,
                    repeat=row.repeat,
                    metric=self._metrics[task],
                    protocol=self._protocol,
                    value=row.value,
                    extracted=row.extracted,
                    category=row.category,
                    stratum=row.stratum,
                    cluster=row.cluster,
                    content_hash=row.content_hash,
                    note=row.note,
                    others=row.others,
                )


def results_of(folder: Path, manifest: RunManifest, protocol: str) -> Results:
    """Compute all numbers from the sample files. Raise BadSamplesError, or UserError if there are no samples."""
    tasks = [task.name for task in manifest.tasks if task.planned]
    outcomes: Counter[str] = Counter()
    rollouts: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    calls = cached = scored = unscored = 0
    gold = False
    for task in tasks:
        for row in read_rows(folder, task):
            outcomes[row.outcome] += 1
            rollouts[task] += 1
            missing.update(row.missing)
            calls, cached = calls + row.calls, cached + row.cached_calls
            scored, unscored = scored + (row.value is not None), unscored + (row.value is None)
            gold = gold or row.gold is not None
    if not outcomes:
        raise UserError(f"{folder}: contains no sample")
    tally = Tally(calls=calls, cached_calls=cached, missing_evidence=dict(sorted(missing.items())))
    scores = RunScores(manifest, protocol, _Scores(folder, manifest, protocol, tasks), tally)
    (system,) = compare([scores]).systems
    return Results(
        SCHEMA,
        manifest.system,
        protocol,
        {name: _task(task, rollouts[name]) for name, task in system.tasks.items()},
        {name: _number(mean.accuracy) for name, mean in system.means.items()},
        dict(sorted(outcomes.items())),
        calls,
        cached,
        tally.missing_evidence,
        gold,
        shortcomings(manifest, scored, unscored),
    )


def _task(task: TaskAccuracy, rollouts: int) -> TaskNumbers:
    return TaskNumbers(
        _number(task.accuracy, task.n_failed),
        task.metric,
        rollouts,
        {name: _number(each.accuracy, each.n_failed) for name, each in task.categories.items()},
        {name: _measure(measure) for name, measure in task.others.items()},
    )


def _number(estimate: Estimate, n_failed: int = 0) -> Number:
    return Number(estimate.value, estimate.low, estimate.high, estimate.n, estimate.method, n_failed)


def _measure(measure: Measure) -> Number:
    return Number(measure.value, measure.low, measure.high, measure.n, measure.method)


def flatten(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value in nested mappings with its path, such as ``tasks.chartqa.accuracy.value``."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from flatten(each, f"{path}.{name}" if path else str(name))
    else:
        yield path, value
