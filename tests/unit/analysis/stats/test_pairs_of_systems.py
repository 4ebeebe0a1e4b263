from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.analysis.stats.estimates import Sampled
from maestro_eval.analysis.stats.intervals import difference_interval, difference_intervals
from maestro_eval.analysis.stats.significance import difference_p, difference_ps


def systems(seed: int, sizes: list[int], cluster: int, *, shared: bool, repeats: int = 1) -> list[list[Sampled]]:
    """Four systems on strata of ``sizes`` in clusters of ``cluster``, which all strata have or each for itself."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(sizes))) + 1e-3
    codes = [np.arange(size) // cluster + (0 if shared else 1000 * part) for part, size in enumerate(sizes)]
    return [
        [
            Sampled(rng.integers(0, repeats + 1, size) / repeats, code, float(weight))
            for size, code, weight in zip(sizes, codes, weights / weights.sum(), strict=True)
        ]
        for _ in range(4)
    ]


PAIRS = [*combinations(range(4), 2), (3, 1)]
designs = st.builds(
    systems,
    st.integers(0, 2**20),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 3),
    shared=st.booleans(),
    repeats=st.integers(1, 3),
)


@given(designs)
@settings(max_examples=40)
def test_all_pairs_at_once_have_the_numbers_of_each_pair_alone(found: list[list[Sampled]]) -> None:
    for (a, b), interval, p in zip(PAIRS, difference_intervals(found, PAIRS), difference_ps(found, PAIRS), strict=True):
        alone, tested = difference_interval(found[a], found[b]), difference_p(found[a], found[b])
        assert interval == alone
        assert p.method == tested.method
        assert p.value == pytest.approx(tested.value, abs=1e-12)


@pytest.mark.parametrize("cluster", [1, 3])
def test_signs_drawn_for_all_pairs_tell_what_signs_drawn_for_one_do(cluster: int) -> None:
    found = systems(5, [60, 80, 100], cluster, shared=False, repeats=4)
    for (a, b), p in zip(PAIRS, difference_ps(found, PAIRS), strict=True):
        alone = difference_p(found[a], found[b])
        assert p.method == alone.method
        # Four standard deviations of the gap between two shares of 10,000 draws.
        assert abs(p.value - alone.value) <= 4 * (2 * alone.value * (1 - alone.value) / 10_000) ** 0.5 + 2e-4


def test_a_gap_beyond_all_draws_has_the_same_tail() -> None:
    found = systems(5, [150, 150], 1, shared=False, repeats=4)
    best = [Sampled(np.ones(part.values.size), part.clusters, part.weight) for part in found[0]]
    (p,) = difference_ps([found[0], best], [(1, 0)])
    alone = difference_p(best, found[0])
    assert p.method == alone.method == "sign flip, t beyond 10,000 draws"
    assert p.value == pytest.approx(alone.value, rel=1e-9)


def test_systems_of_other_samples_are_refused() -> None:
    a, b = systems(1, [5], 1, shared=False), systems(1, [6], 1, shared=False)
    with pytest.raises(ValueError, match="the same samples"):
        difference_intervals([a[0], b[0]], [(0, 1)])
