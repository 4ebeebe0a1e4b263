"""Judge a whole run by every protocol: one pure pass over its journal, without a model and without a network.

Every planned rollout gets exactly one score a protocol, whether it was answered, exhausted, failed or never ran, and
the scores are in key order: the same journal gives the same bytes whatever order its records were written in, and in
however many processes they are judged. Records stream from the journal through the judges into the scores files;
memory does not grow with the run.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from maestro_eval.journal import Journal, PackedRecord, ScoreRow
from maestro_eval.records import PROTOCOLS, RunManifest, Score, ScoringProtocol, TaskRecord, UserError
from maestro_eval.scoring.failures import FailureGroup, merged
from maestro_eval.scoring.judging import Judged, Rules, judge_records
from maestro_eval.scoring.metric import check_protocol, metric_hash, metric_of
from maestro_eval.scoring.pool import Pool
from maestro_eval.scoring.released import FALL_BACK, RELEASED
from maestro_eval.scoring.scores_file import heading_of, write_scores_files
from maestro_eval.tasks import trusted_folders

# A stretch is judged at once: small enough to spread one slow task over all processes, and not to weigh much.
_STRETCH_RECORDS = 32
_STRETCH_BYTES = 1 << 20

# What judging must take, roughly, for one more process to be worth its start.
_WORTH_A_PROCESS = 3.0


RowKind = Literal["run", "random", "best model", "best model per benchmark", "best pair", "best pair per sample"]
"""A system that was run; or a row made of an explore run, which is an expectation or a bound and no system."""


class RunScores(Struct, frozen=True):
    """All scores of a run under one protocol, in the order of (task, sample_id, repeat).

    ``scores`` can be iterated as often as one likes. ``calls`` counts the model calls of its rollouts,
    ``cached_calls`` those that the call cache answered, and ``missing_evidence`` by service how often what it was to
    report was missing. ``lacking`` counts by task the rollouts that went without, ``silent`` those
    without an answer that did not fail; ``failures`` are the causes of those
    that have no score. ``file`` holds the scores, ``None`` where the run folder could not be written. ``elsewhere``
    are the scores of the same rollouts under the other protocols, where the same pass made them. ``all_right`` are the
    scores of a row of another ``kind`` than a run's, had every failure been right: other rollouts may then make it.
    """

    manifest: RunManifest
    protocol: str
    scores: Iterable[Score]
    calls: int = 0
    cached_calls: int = 0
    missing_evidence: dict[str, int] = field(default_factory=dict)
    file: Path | None = None
    lacking: dict[str, int] = field(default_factory=dict)
    silent: int = 0
    failures: tuple[FailureGroup, ...] = ()
    elsewhere: dict[ScoringProtocol, Iterable[Score]] = field(default_factory=dict)
    kind: RowKind = "run"
    all_right: tuple[Score, ...] = ()


def score_run(folder: Path, protocol: str = "official", *, processes: int | None = None) -> RunScores:
    """Score what a run folder's journal holds, and keep the scores in its ``exports/scores.PROTOCOL.jsonl``.

    All protocols are judged, each into its file and into the table ``scores`` of the journal (unless somebody else
    writes to that, or nobody may); the scores of ``protocol`` are returned, the others as ``elsewhere``. ``processes``
    is how many judge at once; ``None`` takes one, and more where the run is so long that it pays. UserError for an
    unknown protocol, for a task whose metric or rule does not exist, from opening the
    journal, and where a judging process dies; then no file is written and earlier ones stay.
    """
    checked = check_protocol(protocol)
    with Journal.open_if_free(folder) as journal:
        manifest, planned = journal.manifest, journal.planned()
        rules = Rules(str(folder / "journal.db"), _tasks(folder, manifest, planned), trusted_folders())
        wanted = _processes(rules, planned) if processes is None else processes
        with journal.new_scores() as keep, Pool(rules, wanted) if wanted > 1 else nullcontext() as pool:
            totals = _Totals(keep)
            stretches = _stretches(journal.planned_records())
            judged = pool.judge(stretches) if pool else (judge_records(rules, records) for records in stretches)
            headings = [heading_of(manifest, each) for each in PROTOCOLS]
            scores = write_scores_files(folder, headings, map(totals.add, judged))
    return RunScores(
        manifest,
        checked,
        scores[checked],
        totals.calls,
        totals.cached_calls,
        dict(sorted(totals.missing_evidence.items())),
        scores[checked].path,
        dict(totals.lacking),
        totals.silent,
        totals.failures[checked],
        {each: file for each, file in scores.items() if each != checked},
    )


class _Totals:
    """What the stretches say of their rollouts' costs, summed while their lines go by, which the journal keeps too."""

    def __init__(self, keep: Callable[[Iterable[ScoreRow]], None]) -> None:
        self._keep = keep
        self.calls = 0
        self.silent = 0
        self.cached_calls = 0
        self.missing_evidence: Counter[str] = Counter()
        self.lacking: Counter[str] = Counter()
        self.failures: dict[ScoringProtocol, tuple[FailureGroup, ...]] = dict.fromkeys(PROTOCOLS, ())

    def add(self, judged: Judged) -> Mapping[ScoringProtocol, bytes]:
        self.calls += judged.calls
        self.cached_calls += judged.cached_calls
        self.missing_evidence.update(judged.missing_evidence)
        self.lacking.update(judged.lacking)
        self.silent += judged.silent
        for protocol, groups in judged.failures.items():
            self.failures[protocol] = merged((*self.failures[protocol], *groups))
        self._keep(_rows(judged))
        return judged.lines


class _Scored(Struct, frozen=True):
    """The part of a score that has a column."""

    protocol: str
    metric: str
    value: float | None
    extracted: str = ""
    note: str = ""


_scored = msgspec.json.Decoder(_Scored)


def _rows(judged: Judged) -> Iterator[ScoreRow]:
    for lines in judged.lines.values():
        for attempt, score in zip(judged.attempts, map(_scored.decode, lines.splitlines()), strict=True):
            if attempt is not None:
                yield ScoreRow(score.protocol, attempt, score.metric, score.value, score.extracted, score.note)


def _stretches(records: Iterable[PackedRecord]) -> Iterator[list[PackedRecord]]:
    stretch: list[PackedRecord] = []
    size = 0
    for record in records:
        stretch.append(record)
        size += len(record.rollout or b"") + len(record.sample or "")
        if len(stretch) >= _STRETCH_RECORDS or size >= _STRETCH_BYTES:
            yield stretch
            stretch, size = [], 0
    if stretch:
        yield stretch


def _processes(rules: Rules, planned: Mapping[str, int]) -> int:
    work = sum(count * _seconds(rules.tasks[name]) for name, count in planned.items())
    return max(1, min(len(os.sched_getaffinity(0)), math.floor(work / _WORTH_A_PROCESS)))


def _seconds(task: TaskRecord) -> float:
    return metric_of(task).seconds + RELEASED[task.released or FALL_BACK].seconds


def _tasks(folder: Path, manifest: RunManifest, planned: Iterable[str]) -> dict[str, TaskRecord]:
    """The records of the tasks that the journal plans; UserError for one that cannot be judged."""
    tasks = {task.name: task for task in manifest.tasks}
    for task in manifest.tasks:
        _refuse(folder, task)
    for name in planned:
        if name not in tasks:
            raise UserError(
                f"{folder / 'manifest.json'}: task {name} is in the journal but not in the field 'tasks'; "
                "restore the manifest that the run was started with"
            )
    return tasks


def _refuse(folder: Path, task: TaskRecord) -> None:
    where = f"{folder / 'manifest.json'}: task {task.name}"
    if task.released and task.released not in RELEASED:
        raise UserError(
            f"{where} has the released rule {task.released!r}, which is none of {', '.join(RELEASED)}; "
            "score it with the version that ran it"
        )
    try:
        metric_of(task)
        same = metric_hash(task) == task.metric_hash
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if not same:
        raise UserError(
            f"{where}: the code of metric {task.metric} is not what it was when the run began; put it back, or judge "
            f"all by the new one: maestro-eval resume {folder} --accept metric:{task.name}"
        )
