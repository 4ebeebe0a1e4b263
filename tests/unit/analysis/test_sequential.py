"""A paired comparison that may be looked at after every sample: its error, its power, its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.analysis.stats.sequential import _BETS, _LOG_SHARE, Evidence

ALPHA = 0.05
GAMES = 10_000
# Three standard errors of a share of 5 % among so many games.
CHANCE = 3 * math.sqrt(ALPHA * (1 - ALPHA) / GAMES)

units_lists = st.lists(st.floats(-1, 1, allow_nan=False), max_size=60)


def _evidence(units: list[float]) -> Evidence:
    evidence = Evidence()
    for unit in units:
        evidence.add(unit)
    return evidence


def _signs(rng: np.random.Generator, gains: float, losses: float, shape: tuple[int, int]) -> np.ndarray:
    drawn = rng.random(shape)
    return np.where(drawn < gains, 1.0, np.where(drawn < gains + losses, -1.0, 0.0))


def stopping_times(units: np.ndarray, alpha: float) -> np.ndarray:
    """When each row of ``units`` is decided, looked at after every unit; 0 for never.

    Many games at once: those that have seen each value equally often have one capital, which is computed once.
    """
    values, which = np.unique(units, return_inverse=True)
    steps, which = np.log1p(np.multiply.outer(values, _BETS)), which.reshape(units.shape)
    # A number for each set of counts: sums of 63 random bits, which do not meet by chance.
    places = np.random.default_rng(0).integers(1, 2**62, max(1, values.size), dtype=np.int64)
    counts, codes = np.zeros((len(units), values.size)), np.zeros(len(units), dtype=np.int64)
    times, playing = np.zeros(len(units), dtype=int), np.arange(len(units))
    for moment, column in enumerate(which.T, start=1):
        seen = column[playing]
        counts[playing, seen] += 1
        codes[playing] += places[seen]
        _, first, state = np.unique(codes[playing], return_index=True, return_inverse=True)
        logs = counts[playing[first]] @ steps
        top = logs.max(axis=1, keepdims=True)
        capital = top[:, 0] + np.log(np.exp(logs - top).sum(axis=1)) + _LOG_SHARE
        won = (capital >= -math.log(alpha))[state]
        times[playing[won]] = moment
        playing = playing[~won]
        if not playing.size:
            break
    return times


def _false_decisions(units: np.ndarray) -> float:
    return float((stopping_times(units, ALPHA) > 0).mean())


@pytest.mark.parametrize("discordant", [0.02, 0.1, 0.4, 1.0])
def test_looking_after_every_sample_decides_a_tie_in_at_most_alpha_of_games(discordant: float) -> None:
    units = _signs(np.random.default_rng(1), discordant / 2, discordant / 2, (GAMES, 120))
    assert _false_decisions(units) <= ALPHA + CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("discordant", [0.05, 0.2, 0.5])
def test_so_it_does_over_a_thousand_looks(discordant: float) -> None:
    units = _signs(np.random.default_rng(2), discordant / 2, discordant / 2, (GAMES, 1000))
    assert _false_decisions(units) <= ALPHA + CHANCE


def test_fractional_lopsided_differences_keep_the_error_too() -> None:
    # A few great gains against many small losses, of mean 0, as repeats and partial credit make them.
    rng = np.random.default_rng(3)
    units = np.where(rng.random((GAMES, 120)) < 0.1, 0.9, -0.1)
    assert _false_decisions(units) <= ALPHA + CHANCE


def test_a_tie_over_one_whole_benchmark_in_random_order_keeps_the_error() -> None:
    rng = np.random.default_rng(4)
    benchmark = np.array([1.0] * 30 + [-1.0] * 30 + [0.0] * 90)
    assert _false_decisions(rng.permuted(np.tile(benchmark, (GAMES, 1)), axis=1)) <= ALPHA + CHANCE


def test_clusters_as_units_keep_the_error_where_single_samples_would_not() -> None:
    # Questions on one image are won or lost together.
    rng = np.random.default_rng(5)
    clusters = _signs(rng, 0.25, 0.25, (GAMES, 40))
    assert _false_decisions(clusters) <= ALPHA + CHANCE
    assert _false_decisions(np.repeat(clusters, 5, axis=1)) > 2 * ALPHA


def test_a_clear_difference_is_decided_long_before_the_end() -> None:
    times = stopping_times(_signs(np.random.default_rng(6), 0.3, 0.05, (500, 300)), ALPHA)
    assert (times > 0).mean() > 0.99
    assert np.median(times) < 100


def test_an_ordinary_test_looked_at_as_often_would_not_keep_the_error() -> None:
    # Why none of this is done with a p-value: the reason for the module, kept true.
    units = _signs(np.random.default_rng(7), 0.2, 0.2, (2000, 150))
    total, squares = units.cumsum(axis=1), (units**2).cumsum(axis=1)
    z = np.abs(total) / np.sqrt(np.maximum(squares, 1))
    assert ((z > 1.96) & (squares >= 10)).any(axis=1).mean() > 3 * ALPHA


def test_the_interval_at_the_moment_of_stopping_covers_the_truth() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    games = 400
    played = _signs(rng, 0.3, 0.1, (games, 200))
    for units, stop in zip(played, stopping_times(played, ALPHA), strict=True):
        found = _evidence(list(units[: stop or 200])).interval(ALPHA)
        covered += found.low <= 0.2 <= found.high
    assert covered / games >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / games)


@settings(max_examples=60)
@given(units_lists)
def test_whole_games_are_the_same_game_as_unit_by_unit(units: list[float]) -> None:
    evidence, crossed = Evidence(), 0
    for moment, unit in enumerate(units, start=1):
        evidence.add(unit)
        if not crossed and evidence.log_capital >= -math.log(ALPHA):
            crossed = moment
    # A capital within rounding of the threshold may fall on either side.
    if abs(-math.log(evidence.p) + math.log(ALPHA)) > 1e-9:
        assert stopping_times(np.array([units]), ALPHA)[0] == crossed


@settings(max_examples=60)
@given(units_lists)
def test_exchanging_the_systems_mirrors_everything(units: list[float]) -> None:
    one, other = _evidence(units), _evidence([-unit for unit in units])
    assert one.p == pytest.approx(other.p)
    assert one.direction == -other.direction
    a, b = one.interval(ALPHA), other.interval(ALPHA)
    assert (a.low, a.high) == pytest.approx((-b.high, -b.low), abs=1e-9)


@settings(max_examples=60)
@given(units_lists)
def test_p_never_rises_and_the_interval_holds_the_mean(units: list[float]) -> None:
    evidence, before = Evidence(), 1.0
    for unit in units:
        evidence.add(unit)
        assert evidence.p <= before
        before = evidence.p
    found = evidence.interval(ALPHA)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.n == len(units)


def test_an_interval_without_zero_goes_with_a_decision_at_that_moment() -> None:
    evidence = _evidence([1.0] * 12)
    assert evidence.p <= ALPHA
    assert evidence.direction == 1
    assert evidence.interval(ALPHA).low > 0
    assert _evidence([1.0, -1.0] * 6).interval(ALPHA).low < 0 < _evidence([1.0, -1.0] * 6).interval(ALPHA).high


def test_samples_on_which_both_agree_cost_no_capital() -> None:
    assert _evidence([1.0] * 5 + [0.0] * 500).p == _evidence([1.0] * 5).p


@pytest.mark.parametrize("unit", [1.01, -2.0, math.nan])
def test_a_unit_beyond_one_is_refused(unit: float) -> None:
    with pytest.raises(ValueError, match="unit lies in"):
        Evidence().add(unit)
