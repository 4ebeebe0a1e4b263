"""Was it right? Answer extraction, metrics and protocols as pure functions, and the pass over a journal."""

from maestro_eval.scoring.failures import FailureGroup, cause_of
from maestro_eval.scoring.lmms_score import lmms_lack
from maestro_eval.scoring.metrics import METRICS, check_protocol, judge
from maestro_eval.scoring.released import FALL_BACK, RELEASED, judge_released
from maestro_eval.scoring.score import EXHAUSTED, score_rollout, unscored
from maestro_eval.scoring.score_pass import RowKind, RunScores, score_run
from maestro_eval.scoring.verdict import Verdict

__all__ = [
    "EXHAUSTED",
    "FALL_BACK",
    "METRICS",
    "RELEASED",
    "FailureGroup",
    "RowKind",
    "RunScores",
    "Verdict",
    "cause_of",
    "check_protocol",
    "judge",
    "judge_released",
    "lmms_lack",
    "score_rollout",
    "score_run",
    "unscored",
]
