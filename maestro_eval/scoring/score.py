"""The verdict on one rollout, with what a comparison needs to know of its sample."""

from __future__ import annotations

from msgspec.structs import replace

from maestro_eval.records import (
    Answered,
    Exhausted,
    Failed,
    Rollout,
    RolloutKey,
    Sample,
    Score,
    ScoringProtocol,
    TaskRecord,
)
from maestro_eval.scoring.metric import Metric, check_protocol, judge, metric_of
from maestro_eval.scoring.released import judge_released
from maestro_eval.scoring.verdict import Verdict

_LONGEST_NOTE = 200


def score_rollout(sample: Sample, rollout: Rollout, task: TaskRecord, protocol: str) -> Score:
    """Judge a rollout: its answer by the task's metric; 0 where a limit ended it; no value where it failed.

    ``released`` judges `released_text` by the task's released rule (or the fall-back of the released scorer), also
    where a limit ended it. UserError for a metric, a released rule or a protocol that does not exist.
    """
    checked = check_protocol(protocol)
    verdict = _verdict(sample, rollout, task, checked)
    return Score(
        task=rollout.key.task,
        sample_id=rollout.key.sample_id,
        repeat=rollout.key.repeat,
        metric=task.metric,
        protocol=checked,
        value=verdict.value,
        extracted=verdict.extracted,
        category=sample.category,
        stratum=sample.stratum,
        cluster=sample.cluster,
        content_hash=sample.content_hash,
        note=verdict.note[:_LONGEST_NOTE],
        others=verdict.others,
        no_answer=verdict.no_answer,
        rule=verdict.rule,
    )


def unscored(key: RolloutKey, task: TaskRecord, protocol: str, note: str) -> Score:
    """The score of a planned rollout that no record exists of."""
    return Score(key.task, key.sample_id, key.repeat, task.metric, protocol, value=None, note=note)


def released_text(rollout: Rollout) -> str:
    """What the released scorer reads: the text that a rollout in its style recorded, else what the policy wrote."""
    if rollout.scored_text is not None:
        return rollout.scored_text
    return "\n".join(turn.text for turn in rollout.turns)


def _verdict(sample: Sample, rollout: Rollout, task: TaskRecord, protocol: ScoringProtocol) -> Verdict:
    if protocol != "released":
        return _of_outcome(sample, rollout, metric_of(task), protocol)
    match rollout.outcome:
        case Failed(cause, detail):
            return _failed(cause, detail)
        case Exhausted() as exhausted:
            verdict = judge_released(sample, released_text(rollout), task.released)
            return replace(verdict, note=_joined(f"exhausted: {exhausted.reason}", verdict.note))
        case Answered():
            return judge_released(sample, released_text(rollout), task.released)


def _of_outcome(sample: Sample, rollout: Rollout, metric: Metric, protocol: str) -> Verdict:
    match rollout.outcome:
        case Answered(text):
            return judge(sample, text, metric, protocol)
        case Exhausted() as exhausted:
            # A further measure, such as a recall, counts the silence as the value does.
            others = judge(sample, "", metric, protocol).others
            return Verdict(0.0, note=f"exhausted: {exhausted.reason} before an answer", others=others)
        case Failed(cause, detail):
            return _failed(cause, detail)


def _failed(cause: str, detail: str) -> Verdict:
    return Verdict(None, note=f"failed ({cause}): {detail}")


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if second else first
