"""Statistics over numbers: intervals, tests, power and ranks, with no knowledge of runs or files.

Values are one number for each sample, repeats averaged; samples that are not independent share a cluster code.
Nothing here returns NaN, and nothing draws lots but from a given seed.
"""

from maestro_eval.analysis.stats.all_pairs import difference_intervals, difference_ps
from maestro_eval.analysis.stats.estimates import Estimate, PValue, Sampled, differences, independent
from maestro_eval.analysis.stats.group_sequential import LOOKS, GroupSequential, after_looks, standardised
from maestro_eval.analysis.stats.intervals import (
    RerunNoise,
    StandardError,
    difference_in_differences,
    difference_interval,
    mean_interval,
    rerun_noise,
    standard_error,
)
from maestro_eval.analysis.stats.means import (
    t_mean,
    wilson,
)
from maestro_eval.analysis.stats.ranks import RankInterval, rank_intervals
from maestro_eval.analysis.stats.significance import (
    benjamini_hochberg,
    difference_p,
    heterogeneity_p,
    holm,
    mcnemar,
    reference_p,
    sign_flip,
)

__all__ = [
    "LOOKS",
    "Estimate",
    "GroupSequential",
    "PValue",
    "RankInterval",
    "RerunNoise",
    "Sampled",
    "StandardError",
    "after_looks",
    "benjamini_hochberg",
    "difference_in_differences",
    "difference_interval",
    "difference_intervals",
    "difference_p",
    "difference_ps",
    "differences",
    "heterogeneity_p",
    "holm",
    "independent",
    "mcnemar",
    "mean_interval",
    "rank_intervals",
    "reference_p",
    "rerun_noise",
    "sign_flip",
    "standard_error",
    "standardised",
    "t_mean",
    "wilson",
]
