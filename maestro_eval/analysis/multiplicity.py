"""Which p-values are adjusted together, and how.

Of twenty true zeros one will look decided. A family is the set of questions that are looked at together and over
which that chance is held down; what belongs to one is declared before the numbers are seen, and printed with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from maestro_eval.analysis.comparison import Adjust, Contrast, FamilyScope, ReportedContrast
from maestro_eval.analysis.stats import benjamini_hochberg, holm

_Any = TypeVar("_Any", Contrast, ReportedContrast)


def adjusted(contrasts: Sequence[_Any], adjust: Adjust, family: FamilyScope) -> tuple[_Any, ...]:
    """``contrasts`` in their order, each with its p-value as adjusted within its family."""
    families: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, contrast in enumerate(contrasts):
        if contrast.p is not None:
            families[_family(contrast, family)].append(number)
    found = list(contrasts)
    for members in families.values():
        values = [each.value for number in members if (each := contrasts[number].p) is not None]
        for number, p in zip(members, _adjust(values, adjust), strict=True):
            found[number] = replace(found[number], p_adjusted=p)
    return tuple(found)


def _family(contrast: Contrast | ReportedContrast, family: FamilyScope) -> tuple[str, ...]:
    against = contrast.baseline if isinstance(contrast, Contrast) else contrast.reference.name
    if family == "all":
        return ()
    return (contrast.kind, against, contrast.system) if family == "system" else (contrast.kind, against)


def _adjust(values: list[float], adjust: Adjust) -> list[float]:
    if adjust == "none":
        return values
    return holm(values) if adjust == "holm" else benjamini_hochberg(values)
