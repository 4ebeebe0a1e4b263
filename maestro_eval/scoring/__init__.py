"""Was it right? Answer extraction, metrics and protocols as pure functions, and the pass over a journal."""

from maestro_eval.scoring.metrics import METRICS, check_protocol, judge
from maestro_eval.scoring.run import RunScores, score_run, write_scores
from maestro_eval.scoring.score import score_rollout
from maestro_eval.scoring.verdict import Verdict

__all__ = [
    "METRICS",
    "RunScores",
    "Verdict",
    "check_protocol",
    "judge",
    "score_rollout",
    "score_run",
    "write_scores",
]
