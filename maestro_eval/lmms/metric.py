"""The metric ``lmms``: a task's scorer in lmms-eval judges the final answer that we extract."""

from __future__ import annotations

from maestro_eval.lmms.config import lmms_rules
from maestro_eval.records import Sample
from maestro_eval.scoring import Metric, ResultScorer, Strictness, Verdict


def lmms_score(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """Judge an answer to a sample of an ``lmms:`` task. Raise UserError if lmms-eval or the task is missing."""
    return ResultScorer(lmms_rules(sample.task)).verdict(sample, answer, strictness)


def lmms_lack(sample: Sample) -> str:
    """Return why lmms-eval's scorer can judge no answer to this sample, or "" if it can."""
    rules = lmms_rules(sample.task)
    return "" if rules.asks_judge else ResultScorer(rules).lack(sample)


# lmms-eval's scorer also judges a missing answer.
LMMS = Metric(rule=lmms_score, lack=lmms_lack, judges_silence=True, target_is_answer=False)
