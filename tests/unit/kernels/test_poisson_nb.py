"""Poisson log-likelihoods and derivatives against SciPy, finite differences and the definition of information."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, gammaln
from scipy.stats import poisson

from neurodata.kernels import poisson_nb
from neurodata.kernels.poisson_nb import LINKS, emission, mean_of, weighted_terms, weighted_value

MEANS = {"exp": np.exp, "softplus": lambda e: np.logaddexp(0.0, e), "sigmoid": expit}


@pytest.mark.parametrize("link", LINKS)
def test_mean(link):
    eta = np.concatenate([np.linspace(-600, 35, 200), [-30.0, 0.0, 30.0, 100.0]])
    np.testing.assert_allclose(mean_of(eta, LINKS[link]), MEANS[link](eta), rtol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_extreme_predictors_are_finite(link):
    eta = np.array([[-1e6, 1e6]])
    mean, counts = mean_of(eta, LINKS[link]), np.array([[1, 0]], dtype=np.int32)
    assert np.isfinite(mean).all()
    assert (mean > 0.0).all() or link == "exp"
    slope, fisher = np.empty_like(eta), np.empty(eta.shape, dtype=np.float32)
    assert np.isfinite(weighted_terms(eta, mean, counts, np.ones(1), LINKS[link], slope, fisher)).all()
    assert np.isfinite(slope).all()
    assert np.isfinite(fisher).all()


@pytest.mark.parametrize("link", LINKS)
def test_emission_equals_scipy_and_leaves_out_what_was_not_observed(link):
    rng = np.random.default_rng(0)
    eta = rng.normal(size=(7, 2, 4))
    counts = rng.integers(0, 4, size=(7, 4)).astype(np.int32)
    counts[2, 1] = counts[5] = -1
    out = np.empty((7, 2))
    emission(eta, mean_of(eta, LINKS[link]), counts, LINKS[link], out)
    terms = poisson.logpmf(counts[:, None], MEANS[link](eta)) + gammaln(np.maximum(counts, 0) + 1.0)[:, None]
    expected = np.where(counts[:, None] >= 0, terms, 0.0).sum(axis=2)
    np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_slope_equals_finite_differences(link):
    rng = np.random.default_rng(1)
    eta, weight = rng.normal(size=(5, 3)), rng.random(5)
    counts = rng.integers(0, 4, size=(5, 3)).astype(np.int32)
    slope, fisher = np.empty_like(eta), np.empty_like(eta)
    weighted_terms(eta, mean_of(eta, LINKS[link]), counts, weight, LINKS[link], slope, fisher)
    step = 1e-5
    for t in range(5):
        change = np.zeros_like(eta)
        change[t] = 1.0
        up, down = (
            weighted_value(moved, mean_of(moved, LINKS[link]), counts, weight, LINKS[link])
            for moved in (eta + step * change, eta - step * change)
        )
        np.testing.assert_allclose(slope[t], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("link", LINKS)
def test_curvature_is_the_information_the_variance_of_the_slope(link):
    counts = np.arange(60, dtype=np.int32)[:, None]
    for value in (-3.0, 0.0, 1.5):
        eta = np.full((60, 1), value)
        slope, fisher = np.empty_like(eta), np.empty_like(eta)
        weighted_terms(eta, mean_of(eta, LINKS[link]), counts, np.ones(60), LINKS[link], slope, fisher)
        chance = poisson.pmf(counts, MEANS[link](value))
        np.testing.assert_allclose((chance * slope).sum(), 0.0, atol=1e-10)
        np.testing.assert_allclose(fisher[0, 0], (chance * slope**2).sum(), rtol=1e-9)


def test_compiled_functions_equal_their_python_source():
    rng = np.random.default_rng(2)
    eta, weight = rng.normal(size=(6, 3)), rng.random(6)
    counts = rng.integers(-1, 4, size=(6, 3)).astype(np.int32)
    for link in LINKS.values():
        mean = mean_of(eta, link)
        results = []
        for pick in (lambda f: f, lambda f: f.py_func):
            slope, fisher, out = np.empty_like(eta), np.empty_like(eta), np.empty((6, 1))
            value = pick(weighted_terms)(eta, mean, counts, weight, link, slope, fisher)
            alone = pick(weighted_value)(eta, mean, counts, weight, link)
            np.testing.assert_allclose(alone, value, rtol=1e-13)
            pick(emission)(eta[:, None], mean[:, None], counts, link, out)
            slopes = [pick(poisson_nb.log_slope)(e, 0.3, link) for e in (-40.0, -1.0, 2.0, 40.0)]
            results.append((value, slope, fisher, out, slopes))
        for compiled, plain in zip(*results, strict=True):
            np.testing.assert_allclose(compiled, plain, rtol=1e-13)
