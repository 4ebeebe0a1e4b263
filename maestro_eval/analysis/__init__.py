"""What does it mean? Intervals, paired differences, comparison of systems."""

from maestro_eval.analysis.compare import (
    Comparison,
    Contrast,
    ContrastSpec,
    Group,
    SystemResult,
    TaskAccuracy,
    compare,
)
from maestro_eval.analysis.stats import (
    Estimate,
    combine,
    mean_of,
    paired_difference,
    stratified_difference,
    stratified_mean,
    wilson,
)

__all__ = [
    "Comparison",
    "Contrast",
    "ContrastSpec",
    "Estimate",
    "Group",
    "SystemResult",
    "TaskAccuracy",
    "combine",
    "compare",
    "mean_of",
    "paired_difference",
    "stratified_difference",
    "stratified_mean",
    "wilson",
]
