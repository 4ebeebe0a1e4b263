"""Is a paired comparison decided yet? A test that may be looked at after every sample, as often as one likes.

An ordinary p-value that is looked at again and again ends below 0.05 sooner or later, whatever is true. A capital
process does not. Somebody who believes that the mean of the units u₁, u₂, … ∈ [−1, 1] is not 0 bets on each before it
is seen: from a stake of 1, betting the fraction λ leaves

    K_t(λ) = Π (1 + λ uᵢ),    −1 < λ < 1

which, if the mean is 0 whatever came before, nobody can expect to grow: E[K_t] ≤ 1 at every moment, and by Ville's
inequality the chance that it *ever* reaches 1/α is at most α. The stake is spread evenly over both signs and over
many λ, since the right one is not known (a mixture of martingales is one): K_t = Σ wⱼ K_t(λⱼ). On units of −1, 0 and 1
this is a sequential McNemar test: units that both have right or both wrong leave the capital as it is.

The same with u − m in the place of u tests a mean of m, and all m that are not rejected at a moment of stopping are an
interval that holds at that moment with 1 − α, however the moment was chosen.

Sources: J. Ville, "Étude critique de la notion de collectif" (1939); H. Robbins, "Statistical methods related to the
law of the iterated logarithm", Ann. Math. Stat. 41 (1970), for the mixture; I. Waudby-Smith and A. Ramdas,
"Estimating means of bounded random variables by betting", JRSS B 86 (2024), for bounded units and the interval.

What it needs: each unit's mean, given the earlier ones, is the same. Units drawn independently in an order that does
not look at their outcomes have that; finishing times do, so units count in an order that was fixed before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# Fractions of the stake for each sign. So many that the best of them is never far; none bets everything, so that no
# single unit can end the game.
_BETS_A_SIDE = 100
_FRACTIONS: NDArray[np.float64] = (np.arange(_BETS_A_SIDE) + 0.5) / _BETS_A_SIDE
_BETS = np.concatenate([-_FRACTIONS[::-1], _FRACTIONS])
_LOG_SHARE = -math.log(2 * _BETS_A_SIDE)
# Halvings of the way from the mean to an end of the interval: 2⁻⁴⁰ of it is left.
_HALVINGS = 40


class AnytimeInterval(Struct, frozen=True):
    """The mean of the units so far, and an interval for it that holds at whatever moment one stops."""

    value: float
    low: float
    high: float
    units: int


class Evidence:
    """The capital against "the mean is 0" after the units seen so far; ``add`` takes one more.

    A unit is a number in [−1, 1]: the difference on a sample, or on a cluster of samples scaled by the largest.
    """

    def __init__(self) -> None:
        self._log_capitals = np.zeros(_BETS.size)
        self._seen: Counter[float] = Counter()
        self._highest = 0.0

    def add(self, unit: float) -> None:
        """One more unit. ValueError outside [−1, 1]."""
        if not -1 <= unit <= 1:
            raise ValueError(f"a unit lies in [-1, 1]: {unit}")
        self._seen[unit] += 1
        if unit:
            self._log_capitals += np.log1p(_BETS * unit)
            self._highest = max(self._highest, self.log_capital)

    @property
    def units(self) -> int:
        """How many units were seen."""
        return self._seen.total()

    @property
    def log_capital(self) -> float:
        """ln K_t."""
        return _log_sum(self._log_capitals) + _LOG_SHARE

    def rejects(self, alpha: float) -> bool:
        """Whether the capital has come to 1/α at this moment."""
        return self.log_capital >= -math.log(alpha)

    @property
    def p(self) -> float:
        """The anytime-valid p-value: 1 over the highest capital so far, at most 1."""
        return math.exp(-self._highest)

    @property
    def direction(self) -> int:
        """Which side the capital was made on: 1 for a mean above 0, −1 for one below, 0 for neither."""
        below, above = (_log_sum(half) for half in np.split(self._log_capitals, 2))
        return int(np.sign(above - below))

    def interval(self, alpha: float) -> AnytimeInterval:
        """Every mean that the capital against it does not reject: valid at the moment at which it is asked for.

        A bet on a mean of m may stake λ / (1 + m) above and λ / (1 − m) below, for u − m lies in [−1 − m, 1 − m]. The
        capital is convex in m and at most 1 at the mean of the units itself, so what is not rejected lies around it.
        """
        if not self._seen:
            return AnytimeInterval(0.0, -1.0, 1.0, 0)
        units = np.array(list(self._seen), dtype=np.float64)
        counts = np.array(list(self._seen.values()), dtype=np.float64)
        value = float(counts @ units / counts.sum())

        def rejects(mean: float) -> bool:
            stakes = np.where(_BETS > 0, _BETS / (1 + mean), _BETS / (1 - mean))
            logs = counts @ np.log1p(np.multiply.outer(units - mean, stakes))
            return _log_sum(logs) + _LOG_SHARE >= -math.log(alpha)

        return AnytimeInterval(value, _end(rejects, value, -1.0), _end(rejects, value, 1.0), self.units)


def _end(rejects: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where between the two ``rejects`` begins; ``outside`` itself is not asked about."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        if rejects(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_sum(logs: NDArray[np.float64]) -> float:
    return float(np.logaddexp.reduce(logs))
