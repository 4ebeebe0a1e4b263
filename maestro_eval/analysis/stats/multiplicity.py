"""p-values adjusted for how many are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted so that the chance of any false rejection in the family is at most α; valid under any dependence.

    With m p-values in rising order, p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎). S. Holm, "A simple
    sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979). In the order of ``p``.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps * values[order])) if len(values) else []
    return [float(each) for each in adjusted]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted so that the expected share of false ones among the rejections is at most α; for exploring only.

    p̃₍ᵢ₎ = min over j ≥ i of min(1, m p₍ⱼ₎ / j). Y. Benjamini and Y. Hochberg, "Controlling the false discovery
    rate", J. R. Statist. Soc. B 57 (1995); valid for independent and positively dependent tests.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    adjusted = np.empty_like(values)
    ranks = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(len(values) / ranks * values[order])) if len(values) else []
    return [float(each) for each in adjusted]
