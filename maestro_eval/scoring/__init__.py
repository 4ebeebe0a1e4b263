"""Answer extraction, metrics and protocols as pure functions, and the pass that scores a journal."""

from maestro_eval.scoring.extract import Strictness
from maestro_eval.scoring.judging import FailureGroup, Tally, cause_of, judge_of, released_text, score_rollout, unscored
from maestro_eval.scoring.metric import (
    METRICS,
    Metric,
    Verdict,
    check_protocol,
    judge,
    metric_hash,
    metric_of,
    unjudged,
)
from maestro_eval.scoring.released import FALL_BACK, RELEASED, Form, judge_released
from maestro_eval.scoring.results import ResultScorer
from maestro_eval.scoring.score_pass import RowKind, RunScores, rejudge_command, score_run
from maestro_eval.scoring.scores_file import Heading, ScoresFile, heading_of

__all__ = [
    "FALL_BACK",
    "METRICS",
    "RELEASED",
    "FailureGroup",
    "Form",
    "Heading",
    "Metric",
    "ResultScorer",
    "RowKind",
    "RunScores",
    "ScoresFile",
    "Strictness",
    "Tally",
    "Verdict",
    "cause_of",
    "check_protocol",
    "heading_of",
    "judge",
    "judge_of",
    "judge_released",
    "metric_hash",
    "metric_of",
    "rejudge_command",
    "released_text",
    "score_rollout",
    "score_run",
    "unjudged",
    "unscored",
]
