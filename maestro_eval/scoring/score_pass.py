"""Judge a whole run by every protocol: one pure pass over its journal, without a model and without a network.

Every planned rollout gets exactly one score a protocol, whether it was answered, exhausted, failed or never ran, and
the scores are in key order: the same journal gives the same bytes whatever order its records were written in, and in
however many processes they are judged. Records stream from the journal through the judges into the scores files;
memory does not grow with the run.

Workers get a stretch as the journal has it and return its lines as the scores file wants them; the parent moves bytes
only. A worker is a fresh interpreter that talks over its own pipes. It runs none of the caller's ``__main__``, ends
when its input ends, and may start processes of its own, which must end by the same rule. A worker that dies fails the
pass: what killed it would kill another too, and the usual cause, too little memory, is mended by fewer processes.
"""

from __future__ import annotations

import math
import os
import queue
import shlex
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
from msgspec import Struct, field

from maestro_eval.journal import Journal, PackedRecord, ScoreRow
from maestro_eval.records import PROTOCOLS, RunManifest, Score, ScoringProtocol, TaskRecord, UserError
from maestro_eval.scoring.child import Child, private_pipes, received
from maestro_eval.scoring.judging import FailureGroup, Judged, Rules, Tally, judge_of, judge_records
from maestro_eval.scoring.metric import check_protocol, metric_hash, metric_of
from maestro_eval.scoring.released import RELEASED
from maestro_eval.scoring.scores_file import heading_of, write_scores_files
from maestro_eval.tasks import RuleChangedError, trust, trusted_folders

# A stretch is judged at once: small enough to spread one slow task over all processes, and not to weigh much.
_STRETCH_RECORDS = 32
_STRETCH_BYTES = 1 << 20

# What judging must take, roughly, for one more process to be worth its start.
_WORTH_A_PROCESS = 3.0
RowKind = Literal["run", "random", "best model", "best model per benchmark", "best pair", "best pair per sample"]
"""A system that was run; or a row made of an explore run, which is an expectation or a bound and no system."""


# Enough that a worker need not wait while the oldest stretch is being finished by another.
_AHEAD = 3
_START = "import sys; sys.path[:] = sys.argv[1:]; from maestro_eval.scoring.score_pass import serve; serve()"


class RunScores(Struct, frozen=True):
    """All scores of a run under one protocol, in the order of (task, sample_id, repeat).

    ``scores`` can be iterated as often as one likes; ``tally`` has the sums of the rollouts. ``file`` holds the scores,
    ``None`` where the run folder could not be written. ``elsewhere`` are the same rollouts' scores under the other
    protocols, where the same pass made them. ``all_right`` are the scores of a row of another ``kind`` than a run's,
    had every failure been right: other rollouts may then make it.
    """

    manifest: RunManifest
    protocol: str
    scores: Iterable[Score]
    tally: Tally = field(default_factory=Tally)
    file: Path | None = None
    elsewhere: dict[ScoringProtocol, Iterable[Score]] = field(default_factory=dict)
    kind: RowKind = "run"
    all_right: tuple[Score, ...] = ()

    @property
    def failures(self) -> tuple[FailureGroup, ...]:
        """The causes of scores without a value, under this protocol."""
        return self.tally.failures.get(check_protocol(self.protocol), ())


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
            totals = Tally()
            stretches = _stretches(journal.planned_records())
            judged = pool.judge(stretches) if pool else (judge_records(rules, records) for records in stretches)
            headings = [heading_of(manifest, each) for each in PROTOCOLS]
            scores = write_scores_files(folder, headings, _summed(judged, totals, keep))
    totals.missing_evidence = dict(sorted(totals.missing_evidence.items()))
    chosen = scores.pop(checked)
    return RunScores(manifest, checked, chosen, totals, chosen.path, dict(scores))


_scores = msgspec.json.Decoder(Score)


def _summed(
    judged: Iterable[Judged], totals: Tally, keep: Callable[[Iterable[ScoreRow]], object]
) -> Iterator[Mapping[ScoringProtocol, bytes]]:
    """Yield the lines of each stretch, once its sums are in ``totals`` and its rows in the journal."""
    for stretch in judged:
        totals.add(stretch.tally)
        keep(_rows(stretch))
        yield stretch.lines


def _rows(judged: Judged) -> Iterator[ScoreRow]:
    for lines in judged.lines.values():
        for attempt, score in zip(judged.attempts, map(_scores.decode, lines.splitlines()), strict=True):
            if attempt is not None:
                why = None if score.no_answer is None else score.no_answer.name.lower()
                yield ScoreRow(
                    score.protocol, attempt, score.metric, score.value, score.extracted, score.note, why, score.rule
                )


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
    judges = {name: (judge_of(rules.tasks[name], each) for each in ("official", "released")) for name in planned}
    work = sum(planned[name] * sum(judge.seconds for judge in each) for name, each in judges.items())
    return max(1, min(len(os.sched_getaffinity(0)), math.floor(work / _WORTH_A_PROCESS)))


def _tasks(folder: Path, manifest: RunManifest, planned: Iterable[str]) -> dict[str, TaskRecord]:
    """Return the records of the tasks that the journal plans; UserError for one that cannot be judged."""
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
    except RuleChangedError:
        same = False
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if not same:
        raise UserError(
            f"{where}: the code of metric {task.metric} is not what it was when the run began; put it back, or judge "
            f"all by the new one: {rejudge_command(folder, task)}"
        )


def rejudge_command(folder: Path, task: TaskRecord) -> str:
    """Return the command that judges all answers of a task again once its metric has been changed."""
    if not task.metric_hash:
        return f"maestro-eval score {shlex.quote(str(folder))}"
    # A task file's hash covers its own rule.
    changed = ["--accept", f"task:{task.name}"] if task.metric_file else []
    return shlex.join(["maestro-eval", "resume", str(folder), *changed, "--accept", f"metric:{task.name}"])


class _Refused(Struct, frozen=True, tag="refused"):
    """A UserError on its way back."""

    message: str


_encode = msgspec.msgpack.Encoder().encode
_rules = msgspec.msgpack.Decoder(Rules)
_records = msgspec.msgpack.Decoder(list[PackedRecord])
_replies: msgspec.msgpack.Decoder[Judged | _Refused] = msgspec.msgpack.Decoder(Judged | _Refused)


class Pool:
    """``processes`` workers with the same rules; a context manager."""

    def __init__(self, rules: Rules, processes: int) -> None:
        self._threads = ThreadPoolExecutor(processes, "judge")
        self._children = [Child([sys.executable, "-c", _START, *sys.path]) for _ in range(processes)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            child.send(_encode(rules))
            self._idle.put(child)

    def judge(self, stretches: Iterable[Sequence[PackedRecord]]) -> Iterator[Judged]:
        """Yield what ``judge_records`` returns for each, in order; UserError as of it, and when a worker dies."""
        under_way: deque[Future[Judged]] = deque()
        for records in stretches:
            under_way.append(self._threads.submit(self._judge, _encode(records)))
            if len(under_way) >= len(self._children) * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a failure nobody waits for the rest; a killed worker's pipe frees the thread that reads from it.
        if error is not None:
            for child in self._children:
                child.kill()
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.end()

    def _judge(self, records: bytes) -> Judged:
        # As many threads as workers: one is always idle, if not well.
        child = self._idle.get()
        try:
            child.send(records)
            reply = child.receive()
            if reply is None:
                status = child.end()
                how = f"was killed (signal {-status})" if status < 0 else f"ended with status {status}"
                raise UserError(
                    f"a scoring process {how}; nothing was written: score again, with fewer --processes if memory was "
                    "short"
                )
        finally:
            self._idle.put(child)
        match _replies.decode(reply):
            case _Refused(message):
                raise UserError(message)
            case judged:
                return judged


def serve() -> None:
    """Read rules, then judge stretches until the input ends: the worker's end."""
    # An interrupt from the keyboard reaches the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = private_pipes()
    first = received(requests)
    if first is None:
        return
    rules = _rules.decode(first)
    trust(map(Path, rules.trusted))
    while (records := received(requests)) is not None:
        try:
            reply: Judged | _Refused = judge_records(rules, _records.decode(records))
        except UserError as error:
            reply = _Refused(str(error))
        replies.send_bytes(_encode(reply))
