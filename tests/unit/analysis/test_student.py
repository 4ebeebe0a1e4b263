from __future__ import annotations

import pytest
from scipy import special, stats

from maestro_eval.analysis._student import incomplete_beta, t_cdf, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 11, 30, 200, 10_000])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9995])
def test_quantiles_agree_with_scipy(freedom: int, probability: float) -> None:
    expected = stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("x", [-40.0, -1.5, 0.0, 0.2, 3.0])
def test_the_distribution_function_agrees_with_scipy(x: float) -> None:
    assert t_cdf(x, 7) == pytest.approx(stats.t.cdf(x, 7), abs=1e-12)


@pytest.mark.parametrize(("a", "b", "x"), [(0.5, 0.5, 0.3), (2, 3, 0.99), (500, 0.5, 0.999), (40, 60, 0.4)])
def test_the_incomplete_beta_agrees_with_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-10)


@pytest.mark.parametrize(("probability", "freedom"), [(0.0, 3), (1.0, 3), (0.5, 0)])
def test_a_quantile_that_does_not_exist_is_refused(probability: float, freedom: float) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        t_quantile(probability, freedom)
