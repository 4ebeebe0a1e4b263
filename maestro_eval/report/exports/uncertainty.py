"""Standard errors of accuracies, for formats that have a place for one; the intervals are the table's own."""

from __future__ import annotations

import math

from maestro_eval.analysis.sample_scores import sampled
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.analysis.stats.clusters import blocks


def standard_errors(run: MeasuredRun) -> dict[str, float]:
    """The cluster-robust standard error of each task's accuracy, failures counted as wrong, as a fraction.

    √(Σ w² v) over a task's independent blocks of strata, with w their weights and v the variances of their means. A
    task with a single cluster has no error that could be told, and is left out.
    """
    errors = {}
    for name, record in run.records.items():
        found = blocks(sampled([(record, run.outcomes(name))], lambda outcome: outcome.wrong))
        if sum(block.clusters for block in found) > 1:
            errors[name] = math.sqrt(sum(block.weight**2 * block.variance for block in found))
    return errors
