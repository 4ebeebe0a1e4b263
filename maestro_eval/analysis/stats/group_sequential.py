"""Group-sequential designs: a two-sided test with a few planned looks at a comparison whose full size is known.

The score S(t) at the information fraction t is a Brownian motion with the effect as its drift: z = S/√t, and 1 is the
whole benchmark. Look k decides where |z| ≥ c_k. The c_k spend α as K. K. G. Lan and D. L. DeMets ("Discrete sequential
boundaries for clinical trials", Biometrika 70, 1983) do to come near P. C. O'Brien and T. R. Fleming's boundaries: by
the fraction t, α(t) = 4 (1 − Φ(z_{1−α/4} / √t)), almost nothing early, so that the last look is nearly the fixed test.

Chances come from numerical integration over the looks: P. Armitage, C. K. McPherson and B. C. Rowe, JRSS A 132 (1969).
A drift η multiplies the density of S(t) = s by exp(ηs − η²t/2), so that one integration without drift serves all.
Notation and the rest as in C. Jennison and B. W. Turnbull, "Group sequential methods" (2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.stats.estimates import Estimate, Sampled, differences
from maestro_eval.analysis.stats.means import normal_cdf, normal_quantile, t_quantile
from maestro_eval.analysis.stats.pivots import pivot
from maestro_eval.analysis.stats.significance import difference_p
from maestro_eval.records import StopReason

_Floats = NDArray[np.float64]

LOOKS = 20
# Chance of a decision, at the effect that the whole benchmark detects with _POWER, below which a look is futile.
_FUTILE = 0.1
_POWER = 0.8
# No look decides beyond this z: what the spending function allows there is less than rounding leaves, and is kept.
_FARTHEST = 8.0
# Gauss-Legendre nodes between the boundaries: half the standard deviation of a step of 20 looks apart.
_NODES = 65
_LEAST_P = 1e-12
_LEVEL = 0.95


class Reach(Struct, frozen=True):
    """A median-unbiased estimate and the ends of an interval."""

    value: float
    low: float
    high: float


class _Stage(Struct, frozen=True, eq=False):
    """The paths that reach a look, by where they were at the one before: ``mass`` at ``nodes`` of S, without drift."""

    nodes: _Floats
    mass: _Floats
    before: float
    time: float

    def above(self, s: float) -> float:
        """P(the look is reached and S ≥ ``s`` there), without drift."""
        return float(self.mass @ normal_cdf((self.nodes - s) / math.sqrt(self.time - self.before)))

    def then(self, outer: float, inner: float, time: float) -> _Stage:
        """Of these paths, those that go on, ``inner`` ≤ |S| < ``outer``, up to a look at ``time``."""
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
    """The α that is spent, on both sides together, by the information fraction ``time``."""
    return min(alpha, 4 * float(normal_cdf(-normal_quantile(1 - alpha / 4) / np.sqrt(time))))


def crossing(times: Sequence[float], bounds: Sequence[float]) -> float:
    """The chance, without an effect, that |z| reaches its bound at any look."""
    stages = _stages(times, bounds, [0.0] * len(times))
    roots = np.sqrt(times)
    return 2 * math.fsum(stage.above(bound * root) for stage, bound, root in zip(stages, bounds, roots, strict=True))


@lru_cache(256)
def boundaries(
    times: tuple[float, ...], alpha: float, spending: Callable[[float, float], float] = obrien_fleming
) -> tuple[float, ...]:
    """c_k for looks at the rising fractions ``times``: two-sided, symmetric, size ``alpha`` over all of them."""
    from scipy.optimize import brentq

    found: list[float] = []
    spent, stage = 0.0, _start(times[0])
    for number, time in enumerate(times):
        share, root = (spending(alpha, time) - spent) / 2, math.sqrt(time)
        if stage.above(_FARTHEST * root) >= share:
            bound = _FARTHEST
        elif stage.above(0.0) <= share:
            bound = 0.0
        else:
            bound = float(brentq(_too_much, 0, _FARTHEST, (stage, root, share)))
        spent += 2 * stage.above(bound * root)
        found.append(bound)
        if number + 1 < len(times):
            stage = stage.then(max(bound, 1e-6) * root, 0.0, times[number + 1])
    return tuple(found)


class GroupSequential:
    """One comparison under way, looked at when the fractions ``times`` (rising, the last is 1) of it are there.

    ``look`` takes the next z, ``judge`` says what that comes to at a level. The level may rise between looks, where
    another comparison's α is passed on.
    """

    def __init__(self, times: Sequence[float]) -> None:
        self.times = tuple(times)
        self._zs: list[tuple[float, float]] = []
        self._bounds: list[float] = []
        self._level = 0.0

    @property
    def looks(self) -> int:
        """How many looks there were."""
        return len(self._zs)

    @property
    def side(self) -> int:
        """The sign of the effect at the last look, 0 where failures leave it open."""
        return int(np.sign(self._z(self.looks - 1)))

    def prepare(self, level: float) -> None:
        """Compute the boundaries, and import what that takes."""
        boundaries(self.times, level)

    def look(self, low: float, high: float) -> None:
        """Take the next look's z, from the reading of failures that makes it least to that which makes it most."""
        self._zs.append((low, high))

    def judge(self, level: float) -> StopReason | None:
        """``decided``, ``futile``, ``complete`` or ``None`` (go on), by the last look's z and a two-sided ``level``.

        Futile: were there an effect that the whole benchmark detects with 80 % power, the chance that it is still
        decided would be below 10 %. By K. K. G. Lan, R. Simon and M. Halperin, "Stochastically curtailed tests", Seq.
        Anal. 1 (1982), this takes some 2 points of those 80 at most. It is not binding: going on costs no α.
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
        """The sequential p-value: the least α at which a look so far would have decided.

        Valid whenever and for whatever reason one stops, and for Holm's method over several comparisons: Q. Liu and K.
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

    def estimate(self, z: float, null_z: float, level: float = 0.95) -> Reach:
        """The effect in units of the standard error at the last look, of which ``z`` is the mean seen.

        What could have been seen is ordered: decided upwards, the earlier the more; then all that was not decided, by
        its mean; then decided downwards. The estimate is the drift under which half of it is as high or higher, the
        interval holds those under which it is neither too high nor too low. After a decision this is the stage-wise
        ordering of A. A. Tsiatis, G. L. Rosner and C. R. Mehta, "Exact confidence intervals following a group
        sequential test", Biometrics 40 (1984). ``null_z``: z as the test has it, whose error is that without an effect.
        """
        if z < 0:
            mirrored = self.estimate(-z, -null_z, level)
            return Reach(-mirrored.value, -mirrored.high, -mirrored.low)
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

        # P(what is seen is as high as this or higher), as chances that a look is reached and S is at a bound or above.
        terms: list[tuple[_Stage, float, int]] = []
        if decided:
            terms = [(stages[j], bounds[j] * roots[j], 1) for j in range(number)] + [(stages[number], s, 1)]
        else:
            for stage, bound, wedge, root in zip(stages, bounds, wedges, roots, strict=False):
                outer = bound * root
                inner = outer if stage.time == 1 else min(wedge, outer)
                terms.append((stage, outer, 1))
                if inner > 0:
                    terms += [(stage, min(max(s / time * stage.time, -inner), inner), 1), (stage, inner, -1)]
        higher = _chance(terms)

        tail = (1 - level) / 2
        centre, reach = s / time, 8 / math.sqrt(time) + s / time
        ends = [
            brentq(lambda drift, chance: higher(drift) - chance, centre - reach, centre + reach, chance, xtol=1e-4)
            for chance in (0.5, tail, 1 - tail)
        ]
        return Reach(*(float(end) * math.sqrt(time) for end in ends))

    def _z(self, number: int) -> float:
        low, high = self._zs[number]
        return max(low, 0.0) + min(high, 0.0)

    def _wedges(self) -> list[float]:
        """The |S| below which each look is futile; 0 where none is."""
        last = boundaries(self.times, self._level)[-1]
        drift = last + normal_quantile(_POWER)
        return [
            max(0.0, last - drift * (1 - time) + normal_quantile(_FUTILE) * math.sqrt(1 - time)) if time < 1 else 0.0
            for time in self.times
        ]


def standardised(a: Sequence[Sampled], b: Sequence[Sampled]) -> float:
    """The z that has the two-sided p-value of ``difference_p``, with the sign of the mean of a − b."""
    mean = math.fsum(each.weight * float(each.values.mean()) for each in differences(a, b))
    return math.copysign(-normal_quantile(max(difference_p(a, b).value, 1e-300) / 2), mean)


def after_looks(design: GroupSequential, a: Sequence[Sampled], b: Sequence[Sampled]) -> Estimate:
    """The mean of a − b as the looks until now leave it: median-unbiased, with a 95 % interval.

    The standard error is that of ``difference_interval``, so that without looks the interval would be the same.
    """
    plain = pivot(differences(a, b))
    error = plain.error * t_quantile((1 + _LEVEL) / 2, plain.freedom) / normal_quantile((1 + _LEVEL) / 2)
    method = f"group-sequential, look {design.looks} of {len(design.times)}"
    if not 0 < error < math.inf:
        return plain.interval(_LEVEL)
    found = design.estimate(plain.centre / error, standardised(a, b), _LEVEL)
    value = min(plain.most, max(plain.least, plain.value + found.value * error - plain.centre))
    low, high = max(plain.least, found.low * error), min(plain.most, found.high * error)
    return Estimate(value, min(low, value), max(high, value), plain.n, method)


def _too_much(bound: float, stage: _Stage, root: float, share: float) -> float:
    return stage.above(bound * root) - share


def _start(time: float) -> _Stage:
    return _Stage(np.zeros(1), np.ones(1), 0.0, time)


def _stages(times: Sequence[float], bounds: Sequence[float], wedges: Sequence[float]) -> list[_Stage]:
    """Each look with the paths that reach it; ``wedges`` are values of |S| below which paths end too."""
    found = [_start(times[0])]
    for before, after, bound, wedge in zip(times, times[1:], bounds, wedges, strict=False):
        outer = max(bound, 1e-6) * math.sqrt(before)
        found.append(found[-1].then(outer, min(wedge, outer * (1 - 1e-9)), after))
    return found


def _chance(terms: Sequence[tuple[_Stage, float, int]]) -> Callable[[float], float]:
    """By drift: the sum of the chances that a look is reached and S is ``s`` or above there, each with its sign."""
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
