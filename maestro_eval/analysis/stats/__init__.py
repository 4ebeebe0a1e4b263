"""Statistics over numbers: intervals, tests, power and ranks, with no knowledge of runs or files.

Values are one number for each sample, repeats averaged; samples that are not independent share a cluster code. Where
samples are independent ``wilson``, ``mean_of``, ``stratified_mean`` and their paired forms take plain sequences;
everything else takes ``Sampled`` strata. Nothing here returns NaN, and nothing draws lots but from a given seed.
"""

from maestro_eval.analysis.stats.bootstrap import cluster_bootstrap
from maestro_eval.analysis.stats.estimates import Estimate, PValue, Sampled, differences, independent
from maestro_eval.analysis.stats.intervals import (
    StandardError,
    difference_in_differences,
    difference_interval,
    mean_interval,
    standard_error,
)
from maestro_eval.analysis.stats.means import (
    combine,
    mean_of,
    paired_difference,
    stratified_difference,
    stratified_mean,
    t_mean,
    wilson,
)
from maestro_eval.analysis.stats.multiplicity import benjamini_hochberg, holm
from maestro_eval.analysis.stats.power import detectable, needed_for_equivalence, needed_samples
from maestro_eval.analysis.stats.ranks import RankInterval, rank_intervals
from maestro_eval.analysis.stats.rerun import RerunNoise, rerun_noise
from maestro_eval.analysis.stats.significance import difference_p, mcnemar, reference_p, sign_flip
from maestro_eval.analysis.stats.tost import Equivalence, equivalence

__all__ = [
    "Equivalence",
    "Estimate",
    "PValue",
    "RankInterval",
    "RerunNoise",
    "Sampled",
    "StandardError",
    "benjamini_hochberg",
    "cluster_bootstrap",
    "combine",
    "detectable",
    "difference_in_differences",
    "difference_interval",
    "difference_p",
    "differences",
    "equivalence",
    "holm",
    "independent",
    "mcnemar",
    "mean_interval",
    "mean_of",
    "needed_for_equivalence",
    "needed_samples",
    "paired_difference",
    "rank_intervals",
    "reference_p",
    "rerun_noise",
    "sign_flip",
    "standard_error",
    "stratified_difference",
    "stratified_mean",
    "t_mean",
    "wilson",
]
