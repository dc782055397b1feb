"""Polya-Gamma draws against their moments, their Laplace transform and the draws of the `polyagamma` package."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ks_2samp

from neurodata.kernels import polya_gamma_nb as pg

SHAPES = (0.2, 0.7, 1.0, 2.3, 10.0, 100.0)
TILTS = (0.0, 0.5, 3.0, 10.0)
N = 20_000


def draws(b, z, n_terms, seed, n=N):
    out = np.empty(n)
    pg.draw_all(np.random.default_rng(seed), np.full(n, b), np.full(n, z), n_terms, out)
    return out


def mean_and_variance(b, z):
    if z == 0:
        return b / 4, b / 24
    return b * np.tanh(z / 2) / (2 * z), b * (np.sinh(z) - z) / (4 * z**3 * np.cosh(z / 2) ** 2)


@pytest.mark.parametrize("n_terms", [pg.FEW_TERMS, pg.MANY_TERMS])
@pytest.mark.parametrize("z", TILTS)
@pytest.mark.parametrize("b", SHAPES)
def test_moments_and_laplace_transform(b, z, n_terms):
    """Of the 192 z values one is beyond 4 in 1 of 80 seeds."""
    w = draws(b, z, n_terms, seed=1)
    mean, variance = mean_and_variance(b, z)
    assert abs(w.mean() - mean) < 4 * np.sqrt(variance / N)
    square = (w - mean) ** 2
    assert abs(square.mean() - variance) < 4 * square.std() / np.sqrt(N)
    for s in (0.3 / mean, 2.0 / mean):
        seen = np.exp(-s * w)
        assert abs(seen.mean() - np.exp(pg.log_laplace(np.array(s), b, z))) < 4 * seen.std() / np.sqrt(N)


@pytest.mark.parametrize("n_terms", [pg.FEW_TERMS, pg.MANY_TERMS])
@pytest.mark.parametrize("z", TILTS)
@pytest.mark.parametrize("b", SHAPES)
def test_draws_are_those_of_polyagamma(b, z, n_terms):
    polyagamma = pytest.importorskip("polyagamma")
    # Exact methods where it has them; its sum of gammas, for small shapes, is cut off.
    method = "devroye" if b == int(b) else "alternate" if b > 1 else "gamma"
    theirs = polyagamma.random_polyagamma(b, z, size=N, method=method, random_state=np.random.default_rng(2))
    assert ks_2samp(draws(b, z, n_terms, seed=3), theirs).pvalue > 1e-4


def test_the_comparison_sees_an_error_of_two_percent():
    polyagamma = pytest.importorskip("polyagamma")
    theirs = polyagamma.random_polyagamma(10.0, 0.5, size=N, method="devroye", random_state=np.random.default_rng(2))
    assert ks_2samp(1.02 * draws(10.0, 0.5, pg.MANY_TERMS, seed=3), theirs).pvalue < 1e-4


@pytest.mark.parametrize("z", [1e-4, 0.019, 0.021, 0.5, -3.0, 30.0])
def test_mean_and_variance_of_shape_one(z):
    # By differences of the log Laplace transform that the draws do not use; the series takes over near 0.
    found = pg.mean_and_variance(z)
    if abs(z) > 0.1:
        assert found == pytest.approx(mean_and_variance(1.0, z), rel=1e-9)
    else:
        terms = np.arange(200_000) + 0.5
        c = 1 / (2 * np.pi**2 * (terms**2 + z**2 / (4 * np.pi**2)))
        # The rest of the sum, by the integral.
        assert found == pytest.approx((c.sum() + 1 / (2 * np.pi**2 * 200_000), (c**2).sum()), rel=1e-9)


def test_laplace_transform_of_shape_one_by_its_density():
    """Density of PG(1, 0) by its alternating series (Polson, Scott & Windle 2013, section 2)."""

    def density(x):
        k = np.arange(60)
        terms = (-1.0) ** k * (2 * k + 1) / np.sqrt(2 * np.pi * x**3) * np.exp(-((2 * k + 1) ** 2) / (8 * x))
        return terms.sum()

    for s, z in ((0.7, 0.0), (2.0, 1.3)):
        by_density = quad(lambda x, s, z: np.exp(-(s + z**2 / 2) * x) * np.cosh(z / 2) * density(x), 1e-3, 6, (s, z))[0]
        assert float(pg.log_laplace(np.array(s), 1.0, z)) == pytest.approx(np.log(by_density), abs=1e-6)


def test_compiled_and_plain_draws_agree():
    seen = [f(np.random.default_rng(7), 1.3, -2.0, 5) for f in (pg.draw, pg.draw.py_func)]
    assert seen[0] == pytest.approx(seen[1], rel=1e-12)
