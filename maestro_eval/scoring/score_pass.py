"""Judge a whole run under every protocol: one pass over its journal, without models or network of its own.

Every planned rollout gets exactly one score per protocol, whether it was answered, exhausted, failed or never ran, and
the scores are in key order: a journal gives the same bytes in whatever order its records were written and however many
processes judge them. Records stream through the judges into the scores files; memory does not grow with the run.

Workers receive batches of records as the journal stores them and return lines of the scores files. A worker is a fresh
interpreter that communicates over its own pipes. It does not run the caller's ``__main__``, exits when its input
closes, and may start processes of its own, which must do the same. If a worker dies, the pass fails: the same cause
would kill another worker too. The usual cause is too little memory, and fewer processes are the fix.
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

# A batch is small enough to spread one slow task over all processes, and needs little memory.
_BATCH_RECORDS = 32
_BATCH_BYTES = 1 << 20

# Estimated seconds of judging that justify one more process.
_WORTH_A_PROCESS = 3.0
RowKind = Literal["run", "random", "best model", "best model per benchmark", "best pair", "best pair per sample"]
"""``run`` is a system that was run; the others are computed from an explore run: an expectation or a bound."""


# Batches in flight per worker: enough that none waits while another finishes the oldest batch.
_AHEAD = 3
_START = "import sys; sys.path[:] = sys.argv[1:]; from maestro_eval.scoring.score_pass import serve; serve()"


class RunScores(Struct, frozen=True):
    """All scores of a run under one protocol, in the order of (task, sample_id, repeat).

    ``scores`` can be iterated repeatedly; ``tally`` has the sums over the rollouts. ``file`` contains the scores, and
    is ``None`` if the run folder could not be written. ``elsewhere`` are the same rollouts' scores under the other
    protocols, if the same pass made them. ``all_right``, for a row of another ``kind`` than ``run``, are its scores if
    every failure had been right; they may come from other rollouts.
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
    """Score a run folder's journal and write the scores to its ``exports/scores.PROTOCOL.jsonl``.

    All protocols are judged, each into its file and into the journal's table ``scores`` (unless another process is
    writing to the journal, or it is read-only). The scores of ``protocol`` are returned, the others as ``elsewhere``.
    ``processes`` judge in parallel; ``None`` means one, or more if the run is long enough. Raise UserError for an
    unknown protocol, for a task whose metric or rule does not exist or has changed, if the journal cannot be opened,
    and if a worker dies; then no file is written and earlier ones stay.
    """
    checked = check_protocol(protocol)
    with Journal.open_if_free(folder) as journal:
        manifest, planned = journal.manifest, journal.planned()
        rules = Rules(str(folder / "journal.db"), _tasks(folder, manifest, planned), trusted_folders())
        wanted = _processes(rules, planned) if processes is None else processes
        with journal.new_scores() as keep, Pool(rules, wanted) if wanted > 1 else nullcontext() as pool:
            totals = Tally()
            batches = _batches(journal.planned_records())
            judged = pool.judge(batches) if pool else (judge_records(rules, records) for records in batches)
            headings = [heading_of(manifest, each) for each in PROTOCOLS]
            scores = write_scores_files(folder, headings, _summed(judged, totals, keep))
    totals.missing_evidence = dict(sorted(totals.missing_evidence.items()))
    chosen = scores.pop(checked)
    return RunScores(manifest, checked, chosen, totals, chosen.path, dict(scores))


_scores = msgspec.json.Decoder(Score)


def _summed(
    judged: Iterable[Judged], totals: Tally, keep: Callable[[Iterable[ScoreRow]], object]
) -> Iterator[Mapping[ScoringProtocol, bytes]]:
    """Yield the lines of each batch after adding its sums to ``totals`` and its rows to the journal."""
    for batch in judged:
        totals.add(batch.tally)
        keep(_rows(batch))
        yield batch.lines


def _rows(judged: Judged) -> Iterator[ScoreRow]:
    for lines in judged.lines.values():
        for attempt, score in zip(judged.attempts, map(_scores.decode, lines.splitlines()), strict=True):
            if attempt is not None:
                why = None if score.no_answer is None else score.no_answer.name.lower()
                yield ScoreRow(
                    score.protocol, attempt, score.metric, score.value, score.extracted, score.note, why, score.rule
                )


def _batches(records: Iterable[PackedRecord]) -> Iterator[list[PackedRecord]]:
    batch: list[PackedRecord] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.rollout or b"") + len(record.sample or "")
        if len(batch) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _processes(rules: Rules, planned: Mapping[str, int]) -> int:
    judges = {name: (judge_of(rules.tasks[name], each) for each in ("official", "released")) for name in planned}
    work = sum(planned[name] * sum(judge.seconds for judge in each) for name, each in judges.items())
    return max(1, min(len(os.sched_getaffinity(0)), math.floor(work / _WORTH_A_PROCESS)))


def _tasks(folder: Path, manifest: RunManifest, planned: Iterable[str]) -> dict[str, TaskRecord]:
    """Return the run's tasks by name; raise UserError if one cannot be judged or is only in the journal."""
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
    """Return the command that judges all answers of a task again after its metric has changed."""
    if not task.metric_hash:
        return f"maestro-eval score {shlex.quote(str(folder))}"
    # The hash of a task file covers the rule in it.
    changed = ["--accept", f"task:{task.name}"] if task.metric_file else []
    return shlex.join(["maestro-eval", "resume", str(folder), *changed, "--accept", f"metric:{task.name}"])


class _Refused(Struct, frozen=True, tag="refused"):
    """A UserError that a worker sends to the parent."""

    message: str


_encode = msgspec.msgpack.Encoder().encode
_rules = msgspec.msgpack.Decoder(Rules)
_records = msgspec.msgpack.Decoder(list[PackedRecord])
_replies: msgspec.msgpack.Decoder[Judged | _Refused] = msgspec.msgpack.Decoder(Judged | _Refused)


class Pool:
    """A context manager of ``processes`` workers with the same rules."""

    def __init__(self, rules: Rules, processes: int) -> None:
        self._threads = ThreadPoolExecutor(processes, "judge")
        self._children = [Child([sys.executable, "-c", _START, *sys.path]) for _ in range(processes)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            child.send(_encode(rules))
            self._idle.put(child)

    def judge(self, batches: Iterable[Sequence[PackedRecord]]) -> Iterator[Judged]:
        """Yield the result of `judge_records` for each batch, in order. Raise UserError if it does or a worker dies."""
        under_way: deque[Future[Judged]] = deque()
        for records in batches:
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
        # After a failure the rest is dropped; killing a worker closes its pipe and frees the thread that reads from it.
        if error is not None:
            for child in self._children:
                child.kill()
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.end()

    def _judge(self, records: bytes) -> Judged:
        # There are as many threads as workers, so one is always idle, but it may have died.
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
    """Run a worker: read the rules, then judge batches until the input closes."""
    # Ctrl-C reaches the whole process group; the parent decides when its workers stop.
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
