"""What does it mean? Intervals, paired differences, comparison of systems."""

from maestro_eval.analysis.breakdown import Measure, RepeatMeasures
from maestro_eval.analysis.compare import compare
from maestro_eval.analysis.comparison import (
    SMALL,
    CategoryDifference,
    CategoryDifferences,
    Comparison,
    Contrast,
    ContrastSpec,
    Group,
    Ranking,
    ReportedContrast,
    SystemResult,
    TaskAccuracy,
)
from maestro_eval.analysis.names import told_apart
from maestro_eval.analysis.notes import accepted_text, samples_text, size_texts, stop_text
from maestro_eval.analysis.published import SettingDifference, reported_name
from maestro_eval.analysis.reference import Reference, ReportedValue, load_reference, reference_names
from maestro_eval.analysis.sample_scores import Bounds, Readings
from maestro_eval.analysis.stats import (
    Estimate,
    PValue,
    difference_interval,
    holm,
    independent,
    standard_error,
    wilson,
)

__all__ = [
    "SMALL",
    "Bounds",
    "CategoryDifference",
    "CategoryDifferences",
    "Comparison",
    "Contrast",
    "ContrastSpec",
    "Estimate",
    "Group",
    "Measure",
    "PValue",
    "Ranking",
    "Readings",
    "Reference",
    "RepeatMeasures",
    "ReportedContrast",
    "ReportedValue",
    "SettingDifference",
    "SystemResult",
    "TaskAccuracy",
    "accepted_text",
    "compare",
    "difference_interval",
    "holm",
    "independent",
    "load_reference",
    "reference_names",
    "reported_name",
    "samples_text",
    "size_texts",
    "standard_error",
    "stop_text",
    "told_apart",
    "wilson",
]
