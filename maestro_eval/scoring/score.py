"""The verdict on one rollout, with what a comparison needs to know of its sample."""

from __future__ import annotations

from maestro_eval.scoring.metrics import check_protocol, judge
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.types import Answered, Exhausted, Failed, Rollout, RolloutKey, Sample, Score

_LONGEST_NOTE = 200


def score_rollout(sample: Sample, rollout: Rollout, metric: str, protocol: str) -> Score:
    """Judge a rollout: its answer by the metric; 0 where a limit ended it; no value where it failed.

    UserError for a metric or protocol that does not exist.
    """
    check_protocol(protocol)
    value, extracted, note = _value(sample, rollout, metric, protocol)
    return Score(
        task=rollout.key.task,
        sample_id=rollout.key.sample_id,
        repeat=rollout.key.repeat,
        metric=metric,
        protocol=protocol,
        value=value,
        extracted=extracted,
        category=sample.category,
        cluster=sample.cluster,
        content_hash=sample.content_hash,
        note=note[:_LONGEST_NOTE],
    )


def unscored(key: RolloutKey, metric: str, protocol: str, note: str) -> Score:
    """The score of a planned rollout that no record exists of."""
    return Score(key.task, key.sample_id, key.repeat, metric, protocol, value=None, note=note)


def _value(sample: Sample, rollout: Rollout, metric: str, protocol: str) -> tuple[float | None, str, str]:
    match rollout.outcome:
        case Answered(text):
            verdict: Verdict = judge(sample, text, metric, protocol)
            return verdict.value, verdict.extracted, verdict.note
        case Exhausted(limit):
            return 0.0, "", f"exhausted: out of {limit} before an answer"
        case Failed(cause, detail):
            return None, "", f"failed ({cause}): {detail}"
