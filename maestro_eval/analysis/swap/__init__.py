"""Registry swap: the effect of an augmented registry on the same system."""

from maestro_eval.analysis.swap.adoption import read_uses
from maestro_eval.analysis.swap.swap import OrderSpread, Robustness, Swap, VariantRun, new_entries, swap_report

__all__ = [
    "OrderSpread", "Robustness", "Swap", "VariantRun", "new_entries", "read_uses", "swap_report",
]  # fmt: skip
