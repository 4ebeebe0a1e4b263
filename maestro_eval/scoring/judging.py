"""Judge a stretch of a journal: packed records in, lines of the scores file and counts out.

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
from maestro_eval.scoring.failures import FailureGroup, cause_of, merged
from maestro_eval.scoring.score import score_rollout, unscored
from maestro_eval.types import Failed, Protocol, Rollout, Sample, Score, TaskRecord, UserError

NEVER_RAN = "never ran"
_LONGEST_NOTE = 200

_encoder = msgspec.json.Encoder(order="deterministic")


class Rules(Struct, frozen=True):
    """All that judging needs beside the records. ``source`` names the journal in errors."""

    source: str
    tasks: dict[str, TaskRecord]
    protocol: Protocol


class Judged(Struct, frozen=True, tag="judged"):
    """``scores`` scores as ``lines`` of JSON, in the order of their records, and what the rollouts cost.

    ``lacking`` counts by task the rollouts that ended well without evidence that a service failed to give.
    """

    lines: bytes
    scores: int
    calls: int
    cached_calls: int
    missing_evidence: dict[str, int]
    lacking: dict[str, int]
    failures: tuple[FailureGroup, ...]


def judge_records(rules: Rules, records: Sequence[PackedRecord]) -> Judged:
    """One score a record. UserError for a damaged record, and where a judge cannot work on this machine."""
    lines = []
    calls = cached_calls = 0
    missing: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    failures: list[FailureGroup] = []
    for record in records:
        if record.rollout is None:
            score = unscored(record.key, rules.tasks[record.task], rules.protocol, NEVER_RAN)
            failures.append(FailureGroup(NEVER_RAN, 1, record.key, NEVER_RAN))
        else:
            rollout, sample = _unpacked(rules, record)
            score = _score(rules, rollout, sample)
            cached = [call.cached for turn in rollout.turns for call in turn.calls]
            calls, cached_calls = calls + len(cached), cached_calls + sum(cached)
            missing.update(each.service for each in rollout.missing_evidence)
            lacking[record.task] += lacks_evidence(rollout)
            if score.value is None:
                failures.append(_failure(rollout, score))
        lines.append(_encoder.encode(score))
    return Judged(
        b"".join(line + b"\n" for line in lines),
        len(lines),
        calls,
        cached_calls,
        dict(missing),
        dict(+lacking),
        merged(failures),
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


def _score(rules: Rules, rollout: Rollout, sample: Sample) -> Score:
    task = rules.tasks[rollout.key.task]
    try:
        return score_rollout(sample, rollout, task, rules.protocol)
    except UserError:
        raise
    except Exception as error:  # whatever it is, it is ours and this sample's alone
        note = f"harness: {type(error).__name__}: {error}"[:_LONGEST_NOTE]
        return replace(
            unscored(rollout.key, task, rules.protocol, note),
            category=sample.category,
            stratum=sample.stratum,
            cluster=sample.cluster,
            content_hash=sample.content_hash,
        )
