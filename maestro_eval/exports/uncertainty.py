"""Computes standard errors of accuracies, for formats that have a field for them."""

from __future__ import annotations

from maestro_eval.analysis import MeasuredRun, sampled, standard_error


def standard_errors(run: MeasuredRun) -> dict[str, float]:
    """Return the cluster-robust standard error of each task's accuracy, failures counted as wrong, as a fraction.

    A task with a single cluster has no estimate and is left out.
    """
    errors = {}
    for name, record in run.records.items():
        found = standard_error(sampled([(record, run.outcomes(name))], lambda outcome: outcome.wrong))
        if found.clusters > 1:
            errors[name] = found.error
    return errors
