"""What does it mean? Intervals, paired differences, comparison of systems."""

from maestro_eval.analysis.breakdown import CategoryAccuracy, Measure
from maestro_eval.analysis.compare import compare
from maestro_eval.analysis.comparison import (
    Comparison,
    Contrast,
    ContrastSpec,
    Group,
    SystemResult,
    TaskAccuracy,
)
from maestro_eval.analysis.notes import accepted_text, selection_text
from maestro_eval.analysis.repeats import RepeatMeasures
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
    "CategoryAccuracy",
    "Comparison",
    "Contrast",
    "ContrastSpec",
    "Estimate",
    "Group",
    "Measure",
    "RepeatMeasures",
    "SystemResult",
    "TaskAccuracy",
    "accepted_text",
    "combine",
    "compare",
    "mean_of",
    "paired_difference",
    "selection_text",
    "stratified_difference",
    "stratified_mean",
    "wilson",
]
