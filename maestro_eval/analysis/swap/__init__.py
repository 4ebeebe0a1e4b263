"""What does another registry change? The same system with a base registry and with an augmented one."""

from maestro_eval.analysis.swap.pairs import Use, Uses, read_uses, uses_of
from maestro_eval.analysis.swap.records import (
    Adoption,
    Allowed,
    Choices,
    Credit,
    DomainEffect,
    EntryChanges,
    Interference,
    LostSample,
    OrderSpread,
    Robustness,
    ScopeEffect,
    StratumEffect,
    Swap,
    VariantRun,
    VariantScope,
)
from maestro_eval.analysis.swap.swap import new_entries, swap_report

__all__ = [
    "Adoption",
    "Allowed",
    "Choices",
    "Credit",
    "DomainEffect",
    "EntryChanges",
    "Interference",
    "LostSample",
    "OrderSpread",
    "Robustness",
    "ScopeEffect",
    "StratumEffect",
    "Swap",
    "Use",
    "Uses",
    "VariantRun",
    "VariantScope",
    "new_entries",
    "read_uses",
    "swap_report",
    "uses_of",
]
