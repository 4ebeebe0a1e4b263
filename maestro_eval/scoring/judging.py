"""Judge a stretch of a journal by every protocol: packed records in, lines of the scores files and counts out.

This is what a worker process of the pass does, and the pass itself where it needs none. It keeps nothing between
two stretches. A judge that raises has judged nobody: that sample's score has no value, and its note says that the
harness failed. UserError passes through, because it says what to mend for all samples alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.journal import PackedRecord, lacks_evidence, unpack_record
from maestro_eval.records import (
    PROTOCOLS,
    Exhausted,
    Failed,
    Rollout,
    Sample,
    Score,
    ScoringProtocol,
    TaskRecord,
    UserError,
)
from maestro_eval.scoring.failures import FailureGroup, cause_of, merged
from maestro_eval.scoring.metric import metric_of
from maestro_eval.scoring.score import score_rollout, unscored

NEVER_RAN = "never ran"
_LONGEST_NOTE = 200

_encoder = msgspec.json.Encoder(order="deterministic")


class Rules(Struct, frozen=True):
    """All that judging needs beside the records: the journal's name in errors, and the folders whose code may judge."""

    source: str
    tasks: dict[str, TaskRecord]
    trusted: tuple[str, ...] = ()


class Judged(Struct, frozen=True, tag="judged"):
    """The scores by protocol, as lines of JSON in the order of their records, and what the rollouts cost.

    ``attempts`` are the numbers of the records in the journal, ``None`` for what never ran.
    ``lacking`` counts by task the rollouts that ended well without evidence that a service failed to give, ``silent``
    those that reached a limit without an answer;
    ``failures`` are by protocol the causes of scores without a value.
    """

    lines: dict[ScoringProtocol, bytes]
    attempts: tuple[int | None, ...]
    calls: int
    cached_calls: int
    missing_evidence: dict[str, int]
    lacking: dict[str, int]
    silent: int
    failures: dict[ScoringProtocol, tuple[FailureGroup, ...]]


def judge_records(rules: Rules, records: Sequence[PackedRecord]) -> Judged:
    """One score a record and protocol. UserError for a damaged record, and where a judge cannot work here."""
    lines: dict[ScoringProtocol, list[bytes]] = {protocol: [] for protocol in PROTOCOLS}
    calls = cached_calls = silent = 0
    missing: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    failures: dict[ScoringProtocol, list[FailureGroup]] = {protocol: [] for protocol in PROTOCOLS}
    for record in records:
        task = rules.tasks[record.task]
        if record.rollout is None:
            for protocol in PROTOCOLS:
                lines[protocol].append(_encoder.encode(unscored(record.key, task, protocol, NEVER_RAN)))
                failures[protocol].append(FailureGroup(NEVER_RAN, 1, record.key, NEVER_RAN))
            continue
        rollout, sample = _unpacked(rules, record)
        scores: dict[ScoringProtocol, Score] = {}
        for protocol in PROTOCOLS:
            # A rule without a fair reading is asked once: it may be slow, or ask a judge of its own.
            if protocol == "fair" and metric_of(task).fair is None:
                scores[protocol] = replace(scores["official"], protocol=protocol)
            else:
                scores[protocol] = _score(task, rollout, sample, protocol)
            lines[protocol].append(_encoder.encode(scores[protocol]))
            if scores[protocol].value is None:
                failures[protocol].append(_failure(rollout, scores[protocol]))
        cached = [call.cached for call in rollout.calls]
        calls, cached_calls = calls + len(cached), cached_calls + sum(cached)
        missing.update(each.service for each in rollout.missing_evidence)
        lacking[record.task] += lacks_evidence(rollout)
        silent += isinstance(rollout.outcome, Exhausted)
    return Judged(
        {protocol: b"".join(line + b"\n" for line in each) for protocol, each in lines.items()},
        tuple(record.attempt for record in records),
        calls,
        cached_calls,
        dict(missing),
        dict(+lacking),
        silent,
        {protocol: merged(each) for protocol, each in failures.items()},
    )


def _failure(rollout: Rollout, score: Score) -> FailureGroup:
    outcome = rollout.outcome
    if isinstance(outcome, Failed):
        return FailureGroup(cause_of(outcome), 1, rollout.key, outcome.detail)
    return FailureGroup(score.note, 1, rollout.key, score.note)


def _unpacked(rules: Rules, record: PackedRecord) -> tuple[Rollout, Sample]:
    try:
        return unpack_record(record)
    except ValueError as error:
        raise UserError(
            f"{rules.source}: the record of {record.task}/{record.sample_id}/{record.repeat} is damaged ({error}); "
            "restore the folder from a copy"
        ) from error


def _score(task: TaskRecord, rollout: Rollout, sample: Sample, protocol: ScoringProtocol) -> Score:
    try:
        return score_rollout(sample, rollout, task, protocol)
    except UserError:
        raise
    except Exception as error:  # whatever it is, it is ours and this sample's alone
        note = f"harness: {type(error).__name__}: {error}"[:_LONGEST_NOTE]
        return replace(
            unscored(rollout.key, task, protocol, note),
            category=sample.category,
            stratum=sample.stratum,
            cluster=sample.cluster,
            content_hash=sample.content_hash,
        )
