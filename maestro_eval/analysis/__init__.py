"""Statistics and comparison of scored runs: intervals, paired differences, rankings, oracles."""

from maestro_eval.analysis.breakdown import Accuracy, Measure, RepeatMeasures
from maestro_eval.analysis.compare import compare
from maestro_eval.analysis.comparison import (
    SMALL,
    CategoryDifference,
    CategoryDifferences,
    Comparison,
    Contrast,
    Group,
    ReportedContrast,
    ScopeAccuracy,
    SystemResult,
    TaskAccuracy,
    main_scopes,
)
from maestro_eval.analysis.notes import accepted_text, samples_text, size_texts, stop_text
from maestro_eval.analysis.oracle import regret_of
from maestro_eval.analysis.published import reported_name, training_warning
from maestro_eval.analysis.reference import Reference, load_reference
from maestro_eval.analysis.sample_scores import Bounds, sampled
from maestro_eval.analysis.scored_run import (
    MeasuredRun,
    distinct_names,
    measure,
    read_explored,
    renamed,
    with_distinct_names,
)
from maestro_eval.analysis.stats.estimates import Estimate, independent, wilson
from maestro_eval.analysis.stats.intervals import difference_interval, standard_error
from maestro_eval.analysis.stopping import EarlyStopping, rule_again, stop_rule

__all__ = [
    "SMALL", "Accuracy", "Bounds", "CategoryDifference", "CategoryDifferences", "Comparison", "Contrast",
    "EarlyStopping", "Estimate", "Group", "Measure", "MeasuredRun", "Reference", "RepeatMeasures",
    "ReportedContrast", "ScopeAccuracy", "SystemResult", "TaskAccuracy", "accepted_text", "compare",
    "difference_interval", "distinct_names", "independent", "load_reference", "main_scopes",
    "measure", "read_explored", "regret_of", "renamed", "reported_name", "rule_again", "sampled",
    "samples_text", "size_texts", "standard_error", "stop_rule", "stop_text", "training_warning", "wilson",
    "with_distinct_names",
]  # fmt: skip
