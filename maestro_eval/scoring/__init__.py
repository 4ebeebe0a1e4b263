"""Answer extraction, metrics and protocols as pure functions, and the pass that scores a journal."""

from maestro_eval.scoring.failures import FailureGroup, cause_of
from maestro_eval.scoring.lmms_score import lmms_lack
from maestro_eval.scoring.metric import METRICS, Metric, check_protocol, judge, metric_hash, metric_of
from maestro_eval.scoring.released import FALL_BACK, RELEASED, judge_released
from maestro_eval.scoring.score import score_rollout, unscored
from maestro_eval.scoring.score_pass import RowKind, RunScores, score_run
from maestro_eval.scoring.verdict import Verdict

__all__ = [
    "FALL_BACK",
    "METRICS",
    "RELEASED",
    "FailureGroup",
    "Metric",
    "RowKind",
    "RunScores",
    "Verdict",
    "cause_of",
    "check_protocol",
    "judge",
    "judge_released",
    "lmms_lack",
    "metric_hash",
    "metric_of",
    "score_rollout",
    "score_run",
    "unscored",
]
