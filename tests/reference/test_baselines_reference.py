"""Streamed least squares and lagged correlations against plain ones on the whole data."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.containers import make_counts
from neurodata.kernels.lagged_regression import past_rows, psp_filter
from neurodata.models import blocks as blocks_module
from neurodata.models.blocks import read_series
from neurodata.validate.baselines import LaggedRegression, lagged_correlation


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    rng = np.random.default_rng(0)
    shared = rng.random(4000) < 0.1
    return (rng.random((4000, 4)) < 0.05 + 0.2 * shared[:, None]).astype(np.int32)


def kernel(width: float, decay: float, rise: float, delay: float, slow: float | None, n: int) -> np.ndarray:
    """The filter as its docstring has it; entry k - 1 is lag k."""
    t = width * np.arange(1, n + 1) - delay
    h = np.exp(-t / decay) - (np.exp(-t / rise) if rise else 0.0)
    h[t < -1e-9] = 0.0
    h = h / h.sum()
    if slow is None:
        return h
    low = np.where(t < -1e-9, 0.0, np.exp(-t / slow))
    difference = h - low / low.sum()
    return difference * (h @ difference) / (difference @ difference)


@pytest.mark.parametrize(
    ("width", "decay", "rise", "delay", "slow"),
    [
        (0.002, 0.01, 0.003, 0.002, 0.1),
        (0.002, 0.01, 0.003, 0.002, None),
        (0.001, 0.006, 0.0, 0.0025, 0.02),
        (0.005, 0.01, 0.003, 0.002, None),
        (0.03, 0.2, 0.05, 0.1, 0.5),
    ],
)
def test_the_recursive_filter_is_the_convolution(spikes, width, decay, rise, delay, slow):
    psp = psp_filter(width, decay, rise, delay, slow)
    expected = np.zeros(spikes.shape)
    for lag, h in enumerate(kernel(width, decay, rise, delay, slow, 2000), start=1):
        expected[lag:] += h * spikes[:-lag]
    for size in (1, 7, 1000, 5000):
        pieces = [spikes[a : a + size] for a in range(0, 500 if size == 1 else 4000, size)]
        rows = list(past_rows(pieces, psp))
        past = np.concatenate([r.past for r in rows])
        np.testing.assert_allclose(past, expected[psp.length :][: len(past)], atol=1e-8)
        np.testing.assert_array_equal(np.concatenate([r.counts for r in rows]), spikes[psp.length :][: len(past)])


def test_regression_is_ordinary_least_squares(spikes, monkeypatch):
    monkeypatch.setattr(blocks_module.blocks, "__defaults__", (300,))  # the data come in many blocks
    model = LaggedRegression().fit(make_counts(spikes, 0.002))
    past = np.zeros(spikes.shape)
    for lag, h in enumerate(kernel(0.002, 0.01, 0.003, 0.002, 0.1, 2000), start=1):
        past[lag:] += h * spikes[:-lag]
    first = psp_filter(0.002, 0.01, 0.003, 0.002, 0.1).length
    design = np.column_stack([np.ones(4000 - first), past[first:]])
    inverse = np.linalg.inv(design.T @ design)
    for post in range(4):
        y = spikes[first:, post]
        beta = inverse @ design.T @ y
        variance = ((y - design @ beta) ** 2).sum() / (len(y) - 5)
        error = np.sqrt(variance * np.diag(inverse))
        for pre in set(range(4)) - {post}:
            assert model.weight_.sel(post=post, pre=pre).item() == pytest.approx(beta[1 + pre], rel=1e-6, abs=1e-9)
            assert model.weight_se_.sel(post=post, pre=pre).item() == pytest.approx(error[1 + pre], rel=1e-6)
        assert model.self_weight_.sel(unit=post).item() == pytest.approx(beta[1 + post], rel=1e-6, abs=1e-9)
    assert model.n_bins_ == 4000 - first


def test_rows_with_an_incomplete_history_are_those_of_a_loop(spikes):
    values = spikes.astype(int).copy()
    rng = np.random.default_rng(1)
    values[rng.random(4000) < 0.01, 2] = -1
    psp = psp_filter(0.002, 0.004, 0.0, 0.0)
    missing = (values < 0).any(axis=1)
    expected = [t for t in range(psp.length, 4000) if not missing[t - psp.length : t + 1].any()]
    rows = list(past_rows([values[a : a + 700] for a in range(0, 4000, 700)], psp))
    np.testing.assert_array_equal(np.concatenate([r.counts for r in rows]), values[expected])


@pytest.mark.parametrize("lag", [0, 1, 5, -3])
def test_lagged_correlation_over_bins_observed_in_both(spikes, lag):
    values = spikes.astype(float)
    values[np.random.default_rng(2).random(values.shape) < 0.1] = np.nan
    found, n = lagged_correlation(read_series(make_counts(values, 0.002)), [lag])
    for post in range(4):
        for pre in range(4):
            late, early = (
                (values[lag:, post], values[: 4000 - lag, pre])
                if lag >= 0
                else (values[:lag, post], values[-lag:, pre])
            )
            both = np.isfinite(late) & np.isfinite(early)
            assert n[0, post, pre] == both.sum()
            covariance = (late[both] * early[both]).mean() - late[both].mean() * early[both].mean()
            spread = np.nanstd(values[:, post]) * np.nanstd(values[:, pre])
            assert found[0, post, pre] == pytest.approx(covariance / spread)
