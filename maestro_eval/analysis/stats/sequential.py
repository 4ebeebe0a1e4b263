"""Sequential tests of a paired comparison: an anytime-valid one, and group-sequential designs.

The anytime-valid test may be evaluated after every sample and stopped at any time.

An ordinary p-value that is checked repeatedly falls below 0.05 sooner or later, even under the null hypothesis. A
capital process does not. It bets on each of the units u₁, u₂, … ∈ [−1, 1] before it is seen; from a stake of 1, bets
of the fraction λ leave

    K_t(λ) = Π (1 + λ uᵢ),    −1 < λ < 1

If each unit's conditional mean is 0, then E[K_t] ≤ 1 at every t, and by Ville's inequality the chance that K_t *ever*
reaches 1/α is at most α. Since the best λ is unknown, the stake is spread evenly over both signs and many λ, and a
mixture of martingales is a martingale: K_t = Σ wⱼ K_t(λⱼ). On units of −1, 0 and 1 this is a sequential McNemar test:
units that both sides have right or both have wrong leave the capital unchanged.

With u − m in place of u it tests a mean of m. All m that are not rejected at a stopping time form an interval that is
valid with 1 − α at that time, however the time is chosen.

Sources: J. Ville, "Étude critique de la notion de collectif" (1939); H. Robbins, "Statistical methods related to the
law of the iterated logarithm", Ann. Math. Stat. 41 (1970), for the mixture; I. Waudby-Smith and A. Ramdas,
"Estimating means of bounded random variables by betting", JRSS B 86 (2024), for bounded units and the interval.

It assumes that each unit has the same mean given the earlier ones. Units in an order that does not depend on their
outcomes satisfy this. Finishing times depend on outcomes, so units count in an order that is fixed beforehand.

A group-sequential design is a two-sided test with a few planned looks at a comparison whose full size is known.

The score S(t) at the information fraction t is a Brownian motion with the effect as its drift: z = S/√t, and t = 1 is
the whole benchmark. Look k decides if |z| ≥ c_k. The c_k spend α by the function of K. K. G. Lan and D. L. DeMets
("Discrete sequential boundaries for clinical trials", Biometrika 70, 1983) that approximates P. C. O'Brien and T. R.
Fleming's boundaries: up to t it spends α(t) = 4 (1 − Φ(z_{1−α/4} / √t)), almost nothing early, so that the last look
is nearly the fixed test.

Chances come from numerical integration over the looks: P. Armitage, C. K. McPherson and B. C. Rowe, JRSS A 132 (1969).
A drift η multiplies the density of S(t) = s by exp(ηs − η²t/2), so that one integration without drift is enough.
Notation and the rest as in C. Jennison and B. W. Turnbull, "Group sequential methods" (2000).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import (
    Estimate,
    Sampled,
    differences,
    normal_cdf,
    normal_quantile,
    t_widening,
)
from maestro_eval.analysis.stats.intervals import pivot
from maestro_eval.analysis.stats.significance import difference_p
from maestro_eval.records import StopReason

METHOD = "anytime-valid"

# Each sign has enough fractions that one is near the best; none is 1, so that no single unit loses the whole stake.
_BETS_A_SIDE = 100
_FRACTIONS: NDArray[np.float64] = (np.arange(_BETS_A_SIDE) + 0.5) / _BETS_A_SIDE
_BETS = np.concatenate([-_FRACTIONS[::-1], _FRACTIONS])
_LOG_SHARE = -math.log(2 * _BETS_A_SIDE)
# Bisection steps for an end of the interval: the error is 2⁻⁴⁰ of its distance from the mean.
_HALVINGS = 40


class Evidence:
    """The capital against "the mean is 0" after the units added so far.

    A unit is a number in [−1, 1]: the difference on a sample, or on a cluster of samples scaled by the largest.
    """

    def __init__(self) -> None:
        self._log_capitals = np.zeros(_BETS.size)
        self._seen: Counter[float] = Counter()
        self._highest = 0.0

    def add(self, unit: float) -> None:
        """Add a unit. ValueError outside [−1, 1]."""
        if not -1 <= unit <= 1:
            raise ValueError(f"a unit lies in [-1, 1]: {unit}")
        self._seen[unit] += 1
        if unit:
            self._log_capitals += np.log1p(_BETS * unit)
            self._highest = max(self._highest, self.log_capital)

    @property
    def log_capital(self) -> float:
        return _log_sum(self._log_capitals) + _LOG_SHARE

    def rejects(self, alpha: float) -> bool:
        return self.log_capital >= -math.log(alpha)

    @property
    def p(self) -> float:
        """The anytime-valid p-value: 1 over the highest capital so far, at most 1."""
        return math.exp(-self._highest)

    @property
    def direction(self) -> int:
        """The sign with the larger capital: 1 for a mean above 0, −1 for one below, 0 for neither."""
        below, above = (_log_sum(half) for half in np.split(self._log_capitals, 2))
        return int(np.sign(above - below))

    def interval(self, alpha: float) -> Estimate:
        """Return the interval of all means that are not rejected now.

        A bet on a mean of m may stake λ / (1 + m) above and λ / (1 − m) below, since u − m is in [−1 − m, 1 − m]. The
        capital is convex in m and at most 1 at the mean of the units, so the means not rejected are around it.
        """
        if not self._seen:
            return Estimate(0.0, -1.0, 1.0, 0, METHOD)
        units = np.array(list(self._seen), dtype=np.float64)
        counts = np.array(list(self._seen.values()), dtype=np.float64)
        value = float(counts @ units / counts.sum())

        def rejects(mean: float) -> bool:
            stakes = np.where(_BETS > 0, _BETS / (1 + mean), _BETS / (1 - mean))
            logs = counts @ np.log1p(np.multiply.outer(units - mean, stakes))
            return _log_sum(logs) + _LOG_SHARE >= -math.log(alpha)

        return Estimate(value, _end(rejects, value, -1.0), _end(rejects, value, 1.0), self._seen.total(), METHOD)


def _end(rejects: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the boundary of ``rejects`` between the two by bisection; ``outside`` if nothing before it is rejected."""
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


_Floats = NDArray[np.float64]

LOOKS = 20
# A look is futile if the chance of a decision is below this, for the effect that the benchmark detects with _POWER.
_FUTILE = 0.05
_POWER = 0.8
# The largest boundary: the α beyond this z is below rounding error.
_FARTHEST = 8.0
# Gauss-Legendre nodes between the boundaries; with 20 looks their distance is half a step's standard deviation.
_NODES = 65
_LEAST_P = 1e-12


class _Stage(Struct, frozen=True, eq=False):
    """The paths without drift that reach the look at ``time``: ``mass`` at ``nodes`` of S at the previous look."""

    nodes: _Floats
    mass: _Floats
    before: float
    time: float

    def above(self, s: float) -> float:
        """Return P(the look is reached and S ≥ ``s`` there), without drift."""
        return float(self.mass @ normal_cdf((self.nodes - s) / math.sqrt(self.time - self.before)))

    def then(self, outer: float, inner: float, time: float) -> _Stage:
        """Return the paths with ``inner`` ≤ |S| < ``outer`` at this look, as they reach the next one at ``time``."""
        step = self.time - self.before
        x, weight = _legendre()
        if inner > 0:
            half = (outer - inner) / 2
            up = inner + half * (x + 1)
            nodes, weights = np.concatenate([-up, up]), np.concatenate([weight, weight]) * half
        else:
            nodes, weights = outer * x, weight * outer
        density = np.exp(-((nodes[:, None] - self.nodes) ** 2) / (2 * step)) / math.sqrt(2 * math.pi * step)
        return _Stage(nodes, weights * (density @ self.mass), self.time, time)


def obrien_fleming(alpha: float, time: float) -> float:
    """Return the two-sided α that is spent up to the information fraction ``time``."""
    return min(alpha, 4 * float(normal_cdf(-normal_quantile(1 - alpha / 4) / np.sqrt(time))))


@lru_cache(256)
def boundaries(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Return the boundaries c_k of a two-sided symmetric test of size ``alpha`` with looks at the rising ``times``."""
    from scipy.optimize import brentq

    found: list[float] = []
    spent, stage = 0.0, _Stage(np.zeros(1), np.ones(1), 0.0, times[0])
    for number, time in enumerate(times):
        share, root = (obrien_fleming(alpha, time) - spent) / 2, math.sqrt(time)
        if stage.above(_FARTHEST * root) >= share:
            bound = _FARTHEST
        elif stage.above(0.0) <= share:
            bound = 0.0
        else:
            bound = float(brentq(lambda z, at=stage, root=root, share=share: at.above(z * root) - share, 0, _FARTHEST))
        spent += 2 * stage.above(bound * root)
        found.append(bound)
        if number + 1 < len(times):
            stage = stage.then(max(bound, 1e-6) * root, 0.0, times[number + 1])
    return tuple(found)


class GroupSequential:
    """One comparison with looks at the information fractions ``times`` (rising, the last is 1).

    ``look`` adds the next z, ``judge`` decides at a level. The level may rise between looks, if another comparison
    is decided and passes on its α.
    """

    def __init__(self, times: Sequence[float]) -> None:
        self.times = tuple(times)
        self._zs: list[tuple[float, float]] = []
        self._bounds: list[float] = []
        self._level = 0.0

    @property
    def looks(self) -> int:
        return len(self._zs)

    @property
    def side(self) -> int:
        """The sign of the effect at the last look, 0 if it depends on the reading of failures."""
        return int(np.sign(self._z(self.looks - 1)))

    def look(self, low: float, high: float) -> None:
        """Add a look's smallest and largest z over the readings of failures."""
        self._zs.append((low, high))

    def judge(self, level: float) -> StopReason | None:
        """Return ``decided``, ``futile``, ``complete`` or None (continue) for the last look at a two-sided ``level``.

        Futile: for an effect that the whole benchmark detects with 80 % power, the chance of a later decision is below
        5 %: K. K. G. Lan, R. Simon and M. Halperin, "Stochastically curtailed tests", Seq. Anal. 1 (1982). By
        integration this costs at most 0.4 points of power. It is not binding: continuing costs no α.
        """
        number, self._level = self.looks - 1, level
        bound = boundaries(self.times, level)[number]
        self._bounds[number:] = [bound]
        low, high = self._zs[number]
        if abs(self._z(number)) >= bound:
            return "decided"
        if self.looks == len(self.times):
            return "complete"
        return "futile" if max(high, -low) * math.sqrt(self.times[number]) < self._wedges()[number] else None

    @property
    def p(self) -> float:
        """The sequential p-value: the smallest α at which a look so far decides.

        It is valid for any stopping reason, and for Holm's method over several comparisons: Q. Liu and K.
        M. Anderson, "On adaptive extensions of group sequential trials", JASA 103 (2008); W. Maurer and F. Bretz,
        "Multiple testing in group sequential trials using graphical approaches", Stat. Biopharm. Res. 5 (2013).
        """
        from scipy.optimize import brentq

        zs = [abs(self._z(number)) for number in range(self.looks)]

        def lacking(log_alpha: float) -> float:
            bounds = boundaries(self.times[: self.looks], math.exp(log_alpha))
            return min(bound - z for bound, z in zip(bounds, zs, strict=True))

        least = math.log(_LEAST_P)
        if lacking(least) <= 0:
            return _LEAST_P
        return math.exp(float(brentq(lacking, least, 0, xtol=1e-4))) if lacking(0) < 0 else 1.0

    def estimate(self, z: float, null_z: float) -> tuple[float, float, float]:
        """Return the effect and the ends of its 95 % interval, where the observed mean is ``z``.

        All are in units of the standard error at the last look.

        The possible outcomes are ordered from high to low: decisions upwards, earlier ones higher; then no decision,
        by the mean; then decisions downwards. The estimate is the drift under which an outcome at least as high as the
        observed one has the chance ½; the ends of the interval are the drifts with the chances of its tails. After a
        decision this is the stage-wise ordering of A. A. Tsiatis, G. L. Rosner and C. R. Mehta, "Exact confidence
        intervals following a group sequential test", Biometrics 40 (1984). ``null_z`` is the z of the test, whose
        standard error assumes no effect.
        """
        if z < 0:
            value, low, high = self.estimate(-z, -null_z)
            return -value, -high, -low
        from scipy.optimize import brentq

        number, time = self.looks - 1, self.times[self.looks - 1]
        decided = null_z >= self._bounds[number]
        ratio = z / null_z if abs(null_z) > 1 and 0.5 < z / null_z < 2 else 1.0
        planned = boundaries(self.times, self._level)
        bounds = [ratio * bound for bound in (*self._bounds, *planned[self.looks :])]
        wedges = [ratio * wedge for wedge in self._wedges()]
        times = self.times[: number + 1] if decided else self.times
        stages, roots = _stages(times, bounds, wedges), np.sqrt(times)
        s = z * math.sqrt(time)

        # P(an outcome at least as high), as a signed sum of P(a look is reached and S is at least a bound).
        terms: list[tuple[_Stage, float, int]] = []
        for stage, bound, wedge, root in zip(stages, bounds, wedges, roots, strict=False):
            outer = bound * root
            inner = outer if stage.time == 1 else min(wedge, outer)
            terms.append((stage, s if decided and stage.time == time else outer, 1))
            if inner > 0 and not decided:
                terms += [(stage, min(max(s / time * stage.time, -inner), inner), 1), (stage, inner, -1)]
        higher = _chance(terms)
        centre, reach = s / time, 8 / math.sqrt(time) + s / time

        def drift(chance: float) -> float:
            """Return the drift under which an outcome at least as high has this chance."""
            return float(brentq(lambda drift: higher(drift) - chance, centre - reach, centre + reach, xtol=1e-4))

        value, low, high = (drift(chance) * math.sqrt(time) for chance in (0.5, 0.025, 0.975))
        return value, low, high

    def _z(self, number: int) -> float:
        low, high = self._zs[number]
        return max(low, 0.0) + min(high, 0.0)

    def _wedges(self) -> list[float]:
        last = boundaries(self.times, self._level)[-1]
        drift = last + normal_quantile(_POWER)
        return [
            max(0.0, last - drift * (1 - time) + normal_quantile(_FUTILE) * math.sqrt(1 - time)) if time < 1 else 0.0
            for time in self.times
        ]


def standardised(a: Sequence[Sampled], b: Sequence[Sampled]) -> float:
    """Return the z that has the two-sided p-value of ``difference_p``, with the sign of the mean of a − b."""
    mean = math.fsum(each.weight * float(each.values.mean()) for each in differences(a, b))
    return math.copysign(-normal_quantile(max(difference_p(a, b).value, 1e-300) / 2), mean)


def after_looks(design: GroupSequential, a: Sequence[Sampled], b: Sequence[Sampled]) -> Estimate:
    """Return the mean of a − b, median-unbiased given the looks so far, with a 95 % interval.

    The standard error is that of ``difference_interval``, so that without interim looks the interval is the same.
    """
    plain = pivot(differences(a, b))
    error = plain.error * t_widening(plain.freedom)
    method = f"group-sequential, look {design.looks} of {len(design.times)}"
    if not 0 < error < math.inf:
        return plain.interval()
    value, low, high = (error * each for each in design.estimate(plain.centre / error, standardised(a, b)))
    value = min(plain.most, max(plain.least, plain.value + value - plain.centre))
    low, high = max(plain.least, low), min(plain.most, high)
    return Estimate(value, min(low, value), max(high, value), plain.n, method)


def _stages(times: Sequence[float], bounds: Sequence[float], wedges: Sequence[float]) -> list[_Stage]:
    """Return the paths that reach each look; paths also end if |S| is below the look's element of ``wedges``."""
    found = [_Stage(np.zeros(1), np.ones(1), 0.0, times[0])]
    for before, after, bound, wedge in zip(times, times[1:], bounds, wedges, strict=False):
        outer = max(bound, 1e-6) * math.sqrt(before)
        found.append(found[-1].then(outer, min(wedge, outer * (1 - 1e-9)), after))
    return found


def _chance(terms: Sequence[tuple[_Stage, float, int]]) -> Callable[[float], float]:
    """Return a function of the drift: the sum of sign · P(the look is reached and S ≥ s) over (look, s, sign)."""
    nodes = np.concatenate([stage.nodes for stage, _, _ in terms])
    mass = np.concatenate([sign * stage.mass for stage, _, sign in terms])
    sizes = [stage.nodes.size for stage, _, _ in terms]
    before, step, s = (
        np.repeat(each, sizes)
        for each in np.array([(stage.before, stage.time - stage.before, s) for stage, s, _ in terms]).T
    )
    root = np.sqrt(step)
    return lambda drift: float(
        (mass * np.exp(drift * nodes - drift * drift * before / 2)) @ normal_cdf((nodes + drift * step - s) / root)
    )


@lru_cache(1)
def _legendre() -> tuple[_Floats, _Floats]:
    x, weight = np.polynomial.legendre.leggauss(_NODES)
    return x, weight
