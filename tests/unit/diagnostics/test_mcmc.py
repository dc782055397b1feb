"""Effective sample sizes of chains whose autocorrelation is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from neurodata.diagnostics.mcmc import (
    autocorrelation,
    autocorrelation_time,
    effective_sample_size,
    standard_error,
    thinning,
)
from neurodata.errors import OptionError


def ar1(r: float, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Stationary autoregression of unit variance (chain, draw); its autocorrelation time is (1 + r) / (1 - r)."""
    rng = np.random.default_rng(seed)
    start = r * rng.standard_normal((shape[0], 1))
    noise = np.sqrt(1 - r * r) * rng.standard_normal(shape)
    return lfilter([1.0], [1.0, -r], noise, axis=1, zi=start)[0]


@pytest.mark.statistical
@pytest.mark.parametrize("r", [-0.5, 0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregression(r):
    """30 chains of 20000: means over seeds 0-9 were within 2.6 % of the truth; the bar is 8 %."""
    chains = ar1(r, (30, 20_000))
    sizes = [float(effective_sample_size(chain[None])) for chain in chains]
    assert np.mean(sizes) == pytest.approx(20_000 * (1 - r) / (1 + r), rel=0.08)


@pytest.mark.statistical
def test_standard_error_is_the_spread_of_means_over_chains():
    """The sd of 400 means has a standard error of 3.5 %; the bar is three of them and 2 % for the estimate itself."""
    chains = ar1(0.8, (400, 2000), seed=1)
    claimed = np.sqrt(np.mean([float(standard_error(chain[None])) ** 2 for chain in chains]))
    assert claimed == pytest.approx(chains.mean(axis=1).std(), rel=0.13)


def test_chains_that_disagree_are_worth_little():
    chains = np.random.default_rng(2).standard_normal((4, 500)) + np.arange(4)[:, None]
    assert effective_sample_size(chains) < 20


def test_every_quantity_by_itself():
    chains = np.stack([ar1(0.0, (2, 500)), ar1(0.9, (2, 500))], axis=-1)
    both = effective_sample_size(chains)
    assert both.shape == (2,)
    assert both[1] == pytest.approx(float(effective_sample_size(chains[..., 1])))
    assert both[1] < 0.3 * both[0]


def test_constant_draws_have_no_effective_size():
    draws = np.stack([np.full((1, 50), 0.1), ar1(0.0, (1, 50))], axis=-1)
    sizes = effective_sample_size(draws)
    assert np.isnan(sizes[0])
    assert sizes[1] > 10


def test_autocorrelation_by_its_definition():
    chains = np.random.default_rng(3).standard_normal((2, 30))
    by_lag = []
    for lag in range(30):
        per_chain = []
        for chain in chains:
            c = chain - chain.mean()
            per_chain.append((c[: 30 - lag] * c[lag:]).sum() / (c**2).sum())
        by_lag.append(np.mean(per_chain))
    np.testing.assert_allclose(autocorrelation(chains), by_lag, atol=1e-12)


def test_thinning_leaves_little_autocorrelation():
    correlation = 0.9 ** np.arange(400.0)[:, None]
    every = thinning(correlation, most=1.2)
    assert autocorrelation_time(correlation[::every])[0] <= 1.2
    assert autocorrelation_time(correlation[:: every - 1])[0] > 1.2
    assert thinning(np.eye(1, 400).T) == 1
    assert thinning(np.full((400, 1), np.nan)) == 1


def test_too_few_draws_are_refused():
    with pytest.raises(OptionError, match="four draws or more"):
        effective_sample_size(np.ones((2, 3)))
    with pytest.raises(OptionError, match="leading axis"):
        effective_sample_size(np.ones(100))
