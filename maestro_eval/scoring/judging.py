"""Judge a batch of a journal's records under every protocol: packed records in, lines of the scores files and sums out.

A score is the verdict on one rollout and the fields of its sample that comparisons need. Scores without a value are
grouped by cause, and each group names an example. No state is kept between batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.journal import PackedRecord, unpack_record
from maestro_eval.records import (
    PROTOCOLS,
    Answered,
    Exhausted,
    Failed,
    Rollout,
    RolloutKey,
    Sample,
    Score,
    ScoringProtocol,
    TaskRecord,
    UserError,
)
from maestro_eval.scoring.metric import Metric, Verdict, check_protocol, metric_of, unjudged
from maestro_eval.scoring.released import FALL_BACK, ReleasedRule, judge_released, released_rule

NEVER_RAN = "never ran"

_encoder = msgspec.json.Encoder(order="deterministic")
_LONGEST = 200
_LONGEST_NOTE = 200


class Rules(Struct, frozen=True):
    """The inputs of judging besides the records: the journal's name, for errors, and the folders whose code may run."""

    source: str
    tasks: dict[str, TaskRecord]
    trusted: tuple[str, ...] = ()


class Tally(Struct):
    """Sums over rollouts: calls, missing evidence and failures.

    ``missing_evidence`` counts missing evidence by service, ``lacking`` by task the rollouts that miss some but did not
    fail, and ``silent`` the rollouts that reached a limit without an answer. ``failures`` are, by protocol, the causes
    of scores without a value. ``attempt`` is the latest of the records' numbers in the journal, 0 if unknown.
    """

    attempt: int = 0
    calls: int = 0
    cached_calls: int = 0
    silent: int = 0
    missing_evidence: dict[str, int] = {}
    lacking: dict[str, int] = {}
    failures: dict[ScoringProtocol, tuple[FailureGroup, ...]] = {}

    def count(self, rollout: Rollout) -> None:
        """Add the calls and the missing evidence of one rollout."""
        self.calls += len(rollout.calls)
        self.cached_calls += sum(call.cached for call in rollout.calls)
        self.silent += isinstance(rollout.outcome, Exhausted)
        for each in rollout.missing_evidence:
            self.missing_evidence[each.service] = self.missing_evidence.get(each.service, 0) + 1
        # The rollout did not fail, but a service failed to give evidence.
        if rollout.missing_evidence and not isinstance(rollout.outcome, Failed):
            task = rollout.key.task
            self.lacking[task] = self.lacking.get(task, 0) + 1

    def add(self, other: Tally) -> None:
        self.attempt = max(self.attempt, other.attempt)
        self.calls += other.calls
        self.cached_calls += other.cached_calls
        self.silent += other.silent
        self.missing_evidence = dict(Counter(self.missing_evidence) + Counter(other.missing_evidence))
        self.lacking = dict(Counter(self.lacking) + Counter(other.lacking))
        for protocol, groups in other.failures.items():
            self.failures[protocol] = merged((*self.failures.get(protocol, ()), *groups))


class Judged(Struct, frozen=True, tag="judged"):
    """The scores of a batch by protocol, as lines of JSON in the order of the records.

    ``attempts`` are the records' numbers in the journal, ``None`` for a rollout that never ran.
    """

    lines: dict[ScoringProtocol, bytes]
    attempts: tuple[int | None, ...]
    tally: Tally


def judge_records(rules: Rules, records: Sequence[PackedRecord]) -> Judged:
    """Make one score per record and protocol. Raise UserError for a damaged record, or if a judge raises it."""
    lines: dict[ScoringProtocol, list[bytes]] = {protocol: [] for protocol in PROTOCOLS}
    failures: dict[ScoringProtocol, list[FailureGroup]] = {protocol: [] for protocol in PROTOCOLS}
    tally = Tally(max((record.attempt or 0 for record in records), default=0))
    for record in records:
        task = rules.tasks[record.task]
        if record.rollout is None:
            for protocol in PROTOCOLS:
                lines[protocol].append(_encoder.encode(unscored(record.key, task, protocol, NEVER_RAN)))
                failures[protocol].append(FailureGroup(NEVER_RAN, 1, record.key, NEVER_RAN))
            continue
        try:
            rollout, sample = unpack_record(record)
        except ValueError as error:
            raise UserError(
                f"{rules.source}: the record of {record.task}/{record.sample_id}/{record.repeat} is damaged ({error}); "
                "restore the folder from a copy"
            ) from error
        verdicts: dict[ScoringProtocol, Verdict] = {}
        for protocol in PROTOCOLS:
            # A metric without a fair rule judges once for both: it may be slow, or call a judge model.
            if protocol == "fair" and metric_of(task).fair is None:
                verdicts[protocol] = verdicts["official"]
            else:
                verdicts[protocol] = judge_rollout(sample, rollout, task, protocol)
            score = score_of(verdicts[protocol], rollout.key, task, protocol, sample)
            lines[protocol].append(_encoder.encode(score))
            if score.value is None:
                failures[protocol].append(_failure(rollout, verdicts[protocol]))
        tally.count(rollout)
    tally.failures = {protocol: merged(each) for protocol, each in failures.items()}
    joined = {protocol: b"".join(line + b"\n" for line in each) for protocol, each in lines.items()}
    return Judged(joined, tuple(record.attempt for record in records), tally)


def _failure(rollout: Rollout, verdict: Verdict) -> FailureGroup:
    outcome = rollout.outcome
    if isinstance(outcome, Failed):
        return FailureGroup(cause_of(outcome), 1, rollout.key, outcome.detail)
    return FailureGroup(verdict.cause or verdict.note, 1, rollout.key, verdict.note, unjudged=True)


class FailureGroup(Struct, frozen=True):
    """``count`` rollouts without a score for one ``cause``; ``key`` and ``detail`` are those of the first.

    ``unjudged``: the rollouts did not fail, but judging them did. ``alike``: all have this detail.
    """

    cause: str
    count: int
    key: RolloutKey
    detail: str
    unjudged: bool = False
    alike: bool = True


def cause_of(outcome: Failed) -> str:
    """Return what failures of one kind share, such as ``policy: http 404`` or ``sample: unreadable image``."""
    fault = outcome.fault
    if fault is None:
        return f"{outcome.cause}: {outcome.kind or outcome.detail[:_LONGEST]}"
    return f"{outcome.cause}: {fault.kind}{'' if fault.status is None else f' {fault.status}'}"


def merged(groups: Iterable[FailureGroup]) -> tuple[FailureGroup, ...]:
    """Merge the groups of each cause into one and sort by count, highest first; ties keep their order."""
    found: dict[str, FailureGroup] = {}
    for group in groups:
        known = found.get(group.cause)
        if known is not None:
            alike = known.alike and group.alike and known.detail == group.detail
            group = replace(known, count=known.count + group.count, alike=alike)
        found[group.cause] = group
    return tuple(sorted(found.values(), key=lambda group: -group.count))


def judge_of(task: TaskRecord, protocol: ScoringProtocol) -> Metric | ReleasedRule:
    """Return the metric or released rule that judges a task under a protocol; raise UserError if it does not exist."""
    return released_rule(task.released) if protocol == "released" else metric_of(task)


def score_rollout(sample: Sample, rollout: Rollout, task: TaskRecord, protocol: str) -> Score:
    """Score a rollout: its answer by the task's metric; 0 if a limit ended it; no value if it failed.

    ``released`` judges `released_text` by the task's released rule (or the fall-back of the released scorer), also if a
    limit ended the rollout. If the judge raises, the score has no value and its note says where. Raise UserError for a
    metric, released rule or protocol that does not exist, and if the judge raises one: it concerns all samples alike.
    """
    checked = check_protocol(protocol)
    return score_of(judge_rollout(sample, rollout, task, checked), rollout.key, task, checked, sample)


def judge_rollout(sample: Sample, rollout: Rollout, task: TaskRecord, protocol: ScoringProtocol) -> Verdict:
    """Return the verdict for `score_rollout`."""
    outcome = rollout.outcome
    if isinstance(outcome, Failed):
        return Verdict(None, note=f"failed ({outcome.cause}): {outcome.detail}")
    try:
        if protocol == "released":
            verdict = judge_released(sample, released_text(rollout), task.released)
            ended = f"exhausted: {outcome.reason}" if isinstance(outcome, Exhausted) else ""
            return replace(verdict, note="; ".join(filter(None, (ended, verdict.note))))
        metric = metric_of(task)
        if isinstance(outcome, Answered):
            return metric.judge(sample, outcome.text, protocol)
        # Further measures, such as a recall, count a missing answer as the value does.
        others = metric.judge(sample, "", protocol).others
        return Verdict(0.0, note=f"exhausted: {outcome.reason} before an answer", others=others)
    except UserError:
        raise
    except Exception as error:  # an error of ours or of the metric, for this sample only
        if protocol == "released":
            return unjudged(f"released rule {task.released or FALL_BACK}", None, error)
        return unjudged(f"metric {task.metric}", metric_of(task).rule, error)


def unscored(key: RolloutKey, task: TaskRecord, protocol: str, note: str) -> Score:
    """Make the score without a value of a rollout that was not judged or has no record."""
    return score_of(Verdict(None, note=note), key, task, protocol, sample=None)


def released_text(rollout: Rollout) -> str:
    """Return what the released scorer reads: the text that its style recorded, else all that the policy wrote."""
    if rollout.scored_text is not None:
        return rollout.scored_text
    return "\n".join(turn.text for turn in rollout.turns)


def score_of(verdict: Verdict, key: RolloutKey, task: TaskRecord, protocol: str, sample: Sample | None) -> Score:
    """Make the score of a rollout from its verdict."""
    return Score(
        task=key.task,
        sample_id=key.sample_id,
        repeat=key.repeat,
        metric=task.metric,
        protocol=protocol,
        value=verdict.value,
        extracted=verdict.extracted,
        category=sample.category if sample else "",
        stratum=sample.stratum if sample else "",
        cluster=sample.cluster if sample else "",
        content_hash=sample.content_hash if sample else "",
        note=verdict.note[:_LONGEST_NOTE],
        others=verdict.others,
        no_answer=verdict.no_answer,
        rule=verdict.rule,
    )
