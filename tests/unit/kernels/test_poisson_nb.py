"""Poisson log-likelihoods and derivatives against SciPy, finite differences and the definition of information."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, gammaln
from scipy.stats import poisson

from neurodata.kernels import poisson_nb
from neurodata.kernels.poisson_nb import LINKS, emission, mean_and_log, weighted_along, weighted_terms

MEANS = {"exp": np.exp, "softplus": lambda e: np.logaddexp(0.0, e), "sigmoid": expit}


@pytest.mark.parametrize("link", LINKS)
def test_mean_and_its_logarithm(link):
    eta = np.concatenate([np.linspace(-700, 35, 200), [-30.0, 0.0, 30.0, 100.0]])
    got = np.array([mean_and_log(e, LINKS[link]) for e in eta])
    np.testing.assert_allclose(got[:, 0], MEANS[link](eta), rtol=1e-12)
    exact_log = {"exp": eta, "softplus": np.where(eta < -40, eta, np.log(MEANS["softplus"](np.maximum(eta, -40))))}
    np.testing.assert_allclose(got[:, 1], exact_log.get(link, -np.logaddexp(0.0, -eta)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("link", LINKS)
def test_extreme_predictors_are_finite(link):
    for eta in (-1e6, 1e6):
        assert np.isfinite(mean_and_log(eta, LINKS[link])).all()


@pytest.mark.parametrize("link", LINKS)
def test_emission_equals_scipy_and_leaves_out_what_was_not_observed(link):
    rng = np.random.default_rng(0)
    eta = rng.normal(size=(7, 2, 4))
    counts = rng.integers(0, 4, size=(7, 4)).astype(np.int32)
    counts[2, 1] = counts[5] = -1
    out = np.empty((7, 2))
    emission(eta, counts, LINKS[link], out)
    terms = poisson.logpmf(counts[:, None], MEANS[link](eta)) + gammaln(np.maximum(counts, 0) + 1.0)[:, None]
    expected = np.where(counts[:, None] >= 0, terms, 0.0).sum(axis=2)
    np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_slope_equals_finite_differences(link):
    rng = np.random.default_rng(1)
    eta, weight = rng.normal(size=(5, 3)), rng.random(5)
    counts = rng.integers(0, 4, size=(5, 3)).astype(np.int32)
    slope, fisher = np.empty_like(eta), np.empty_like(eta)
    weighted_terms(eta, counts, weight, LINKS[link], slope, fisher)
    step = 1e-5
    zero = np.zeros(3)
    for t in range(5):
        change = np.zeros_like(eta)
        change[t] = 1.0
        up = weighted_along(eta, change, zero + step, counts, weight, LINKS[link])
        down = weighted_along(eta, change, zero - step, counts, weight, LINKS[link])
        np.testing.assert_allclose(slope[t], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("link", LINKS)
def test_curvature_is_the_information_the_variance_of_the_slope(link):
    counts = np.arange(60, dtype=np.int32)[:, None]
    for value in (-3.0, 0.0, 1.5):
        eta = np.full((60, 1), value)
        slope, fisher = np.empty_like(eta), np.empty_like(eta)
        weighted_terms(eta, counts, np.ones(60), LINKS[link], slope, fisher)
        chance = poisson.pmf(counts, MEANS[link](value))
        np.testing.assert_allclose((chance * slope).sum(), 0.0, atol=1e-10)
        np.testing.assert_allclose(fisher[0, 0], (chance * slope**2).sum(), rtol=1e-9)


def test_compiled_functions_equal_their_python_source():
    rng = np.random.default_rng(2)
    eta, change, weight = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.random(6)
    counts = rng.integers(-1, 4, size=(6, 3)).astype(np.int32)
    for link in LINKS.values():
        results = []
        for pick in (lambda f: f, lambda f: f.py_func):
            slope, fisher, out = np.empty_like(eta), np.empty_like(eta), np.empty((6, 1))
            value = pick(weighted_terms)(eta, counts, weight, link, slope, fisher)
            along = pick(weighted_along)(eta, change, np.array([0.5, 1.0, 0.0]), counts, weight, link)
            pick(emission)(eta[:, None], counts, link, out)
            scalars = [pick(mean_and_log)(e, link) for e in (-40.0, -1.0, 2.0, 40.0)]
            slopes = [pick(poisson_nb.log_slope)(e, 0.3, link) for e in (-40.0, -1.0, 2.0, 40.0)]
            results.append((value, along, slope, fisher, out, scalars, slopes))
        for compiled, plain in zip(*results, strict=True):
            np.testing.assert_allclose(compiled, plain, rtol=1e-13)
