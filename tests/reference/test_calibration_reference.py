"""ECDF bands and effective sample sizes against ArviZ."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from neurodata.diagnostics.ecdf import ecdf_band
from neurodata.diagnostics.mcmc import effective_sample_size, standard_error


@pytest.fixture(scope="module")
def az():
    with warnings.catch_warnings():
        # ArviZ 0.23 announces its own rewrite on import.
        warnings.simplefilter("ignore")
        import arviz
        from arviz.stats import ecdf_utils

        arviz.ecdf_utils = ecdf_utils
        yield arviz


@pytest.mark.parametrize(("n_samples", "n_values"), [(100, 100), (60, 20), (400, 50)])
def test_band_is_that_of_arviz(az, n_samples, n_values):
    """ArviZ solves for the pointwise level with its own recursion. Its limits are the same counts within one: it seeks
    the coverage nearest to 95 %, this package the smallest that is not below.
    """
    points = np.arange(1, n_values) / n_values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        low, high = az.ecdf_utils.ecdf_confidence_band(n_samples, points, points, prob=0.95, method="optimized")
    band = ecdf_band(n_samples, n_values, 0.95)
    assert np.abs(band.lower[:-1] - low * n_samples).max() < 1 + 1e-6
    assert np.abs(band.upper[:-1] - high * n_samples).max() < 1 + 1e-6


@pytest.mark.parametrize("r", [0.0, 0.7])
def test_effective_size_is_that_of_arviz(az, r):
    """ArviZ splits each chain in two, which changes little in chains as long as these."""
    rng = np.random.default_rng(0)
    chains = np.zeros((4, 5000))
    for t in range(1, 5000):
        chains[:, t] = r * chains[:, t - 1] + rng.standard_normal(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size, error = float(az.ess(chains, method="mean")), float(az.mcse(chains, method="mean"))
    assert float(effective_sample_size(chains)) == pytest.approx(size, rel=0.05)
    assert float(standard_error(chains)) == pytest.approx(error, rel=0.05)
