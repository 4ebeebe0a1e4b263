from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from maestro_eval.analysis.stats.estimates import Sampled, independent
from maestro_eval.analysis.stats.significance import RankInterval, rank_intervals

tables = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=8, max_size=8), min_size=k, max_size=k)
)


def systems(accuracies: list[float], groups: int, seed: int = 1) -> list[list[Sampled]]:
    """Systems over the same clusters of three; a sample that is hard for one is hard for all."""
    hard = np.random.default_rng(seed).random(groups * 3)
    return [[Sampled((hard < p).astype(float), np.repeat(np.arange(groups), 3))] for p in accuracies]


class TestRankIntervals:
    def test_systems_far_apart_have_their_ranks_for_sure(self) -> None:
        found = rank_intervals(systems([0.3, 0.9, 0.6], 200))
        assert found == [RankInterval(3, 3, 3), RankInterval(1, 1, 1), RankInterval(2, 2, 2)]

    def test_systems_that_the_samples_do_not_tell_apart_share_their_ranks(self) -> None:
        found = rank_intervals(systems([0.70, 0.71, 0.2], 40))
        assert [(each.low, each.high) for each in found] == [(1, 2), (1, 2), (3, 3)]

    def test_equal_systems_share_the_better_rank_and_every_place(self) -> None:
        found = rank_intervals(systems([0.5, 0.5, 0.5], 30))
        assert found == [RankInterval(1, 1, 3)] * 3

    def test_what_failures_may_hide_makes_no_rank_sure(self) -> None:
        table = systems([0.3, 0.9, 0.6], 200)
        (last,) = table[2]
        table[2] = [replace(last, least=last.values, most=np.ones_like(last.values))]
        found = rank_intervals(table)
        assert [(each.low, each.high) for each in found] == [(3, 3), (1, 2), (1, 2)]

    def test_four_lucky_samples_do_not_make_a_rank(self) -> None:
        a, b = [1.0] * 100, [1.0] * 96 + [0.0] * 4
        found = rank_intervals([independent([a]), independent([b])])
        assert [(each.rank, each.low, each.high) for each in found] == [(1, 1, 2), (2, 1, 2)]

    def test_copies_within_clusters_tell_no_more_than_one(self) -> None:
        generator = np.random.default_rng(2)
        a, b = (generator.random(25) < 0.6).astype(float), (generator.random(25) < 0.4).astype(float)
        copied = [[Sampled(np.repeat(each, 40), np.repeat(np.arange(25), 40))] for each in (a, b)]
        single = [[Sampled(each, np.arange(25))] for each in (a, b)]
        assert rank_intervals(copied) == rank_intervals(single)

    def test_a_single_system_is_first(self) -> None:
        assert rank_intervals(systems([0.4], 5)) == [RankInterval(1, 1, 1)]

    def test_thousands_of_clusters_are_drawn_from_their_limit(self) -> None:
        found = rank_intervals(systems([0.60, 0.55, 0.56], 3000), seed=3)
        assert [(each.low, each.high) for each in found] == [(1, 1), (3, 3), (2, 2)]

    @pytest.mark.parametrize("seed", [0, 1])
    def test_the_same_seed_gives_the_same(self, seed: int) -> None:
        table = systems([0.5, 0.6, 0.65], 20)
        assert rank_intervals(table, seed=seed) == rank_intervals(table, seed=seed)

    @settings(max_examples=25)
    @given(tables)
    def test_every_interval_holds_its_rank(self, table: list[list[float]]) -> None:
        found = rank_intervals([independent([row]) for row in table], draws=500)
        assert all(1 <= each.low <= each.rank <= each.high <= len(table) for each in found)

    @settings(max_examples=15)
    @given(tables)
    def test_the_order_in_which_systems_are_listed_does_not_matter(self, table: list[list[float]]) -> None:
        forth = rank_intervals([independent([row]) for row in table], draws=500)
        back = rank_intervals([independent([row]) for row in reversed(table)], draws=500)
        # Ends are of the seeded draws, which are the same for both orders.
        assert [(each.rank, each.low, each.high) for each in forth] == [
            (each.rank, each.low, each.high) for each in reversed(back)
        ]
