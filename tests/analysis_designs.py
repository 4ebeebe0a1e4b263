"""Designs that the tests of statistics draw from: values with clusters and strata."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maestro_eval.analysis.stats.estimates import Sampled

values = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.sampled_from([0.25, 0.5]))


@st.composite
def strata(draw: st.DrawFn, *, most: int = 3, binary: bool = False) -> list[Sampled]:
    """One to ``most`` strata of equal weight, whose clusters may be large, shared, or all apart."""
    number = draw(st.integers(1, most))
    found = []
    for _ in range(number):
        size = draw(st.integers(1, 12))
        kind = st.sampled_from([0.0, 1.0]) if binary else values
        numbers = draw(st.lists(kind, min_size=size, max_size=size))
        codes = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
        found.append(Sampled(np.array(numbers), np.array(codes, dtype=np.int64), 1 / number))
    return found


@st.composite
def sides(draw: st.DrawFn, *, most: int = 3, binary: bool = False) -> tuple[list[Sampled], list[Sampled]]:
    """Two systems over one design."""
    a = draw(strata(most=most, binary=binary))
    kind = st.sampled_from([0.0, 1.0]) if binary else values
    b = [
        Sampled(
            np.array(draw(st.lists(kind, min_size=each.values.size, max_size=each.values.size))),
            each.clusters,
            each.weight,
        )
        for each in a
    ]
    return a, b
