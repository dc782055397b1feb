"""HMMGLM against independent regressions: one state is a Poisson regression; missing data are left out of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor
from statsmodels.genmod.families import Poisson
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.tools import add_constant

import neurodata as nd
from neurodata.containers import make_counts

N_BINS, N_UNITS, BIN = 1500, 4, 0.02


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Counts of a network in which unit 0 drives unit 1 in the next bin and unit 2 holds unit 3 down."""
    rng = np.random.default_rng(5)
    weight = np.zeros((N_UNITS, N_UNITS))
    weight[1, 0], weight[3, 2] = 0.9, -0.9
    counts = np.zeros((N_BINS, N_UNITS))
    for t in range(1, N_BINS):
        counts[t] = rng.poisson(np.exp(-1.0 + weight @ counts[t - 1]))
    return counts


def exponential_design(values: np.ndarray, n_lags: int) -> np.ndarray:
    """The paper's basis by plain loops: weights exp(-k), k = 1..n_lags, sum 1; rows with a whole history."""
    kernel = np.exp(-np.arange(1, n_lags + 1.0))
    kernel /= kernel.sum()
    rows = []
    for t in range(n_lags, len(values)):
        rows.append(sum(kernel[k - 1] * values[t - k] for k in range(1, n_lags + 1)))
    return np.array(rows)


def one_state(values: np.ndarray, n_lags: int):
    model = nd.models.HMMGLM(
        prior=None, n_states=1, basis="exponential", history=n_lags * BIN, ridge=0.0, tol=1e-14, max_iter=200, rng=0
    )
    return model.fit(make_counts(values, BIN))


@pytest.mark.parametrize("n_lags", [1, 3])
def test_one_state_is_a_poisson_regression(values, n_lags):
    model = one_state(values, n_lags)
    design = exponential_design(values, n_lags)
    for unit in range(N_UNITS):
        peer = GLM(values[n_lags:, unit], add_constant(design), family=Poisson()).fit(tol=1e-12)
        np.testing.assert_allclose(model.intercept_.values[0, unit], peer.params[0], atol=1e-6)
        np.testing.assert_allclose(model.weight_.values[0, unit], peer.params[1:], atol=1e-6)
        np.testing.assert_allclose(model.weight_se_.values[0, unit], peer.bse[1:], rtol=1e-4)


def test_bins_that_are_missing_are_left_out_of_the_regression(values):
    """A bin counts when it and its whole history were observed; nothing is put in its place."""
    missing = values.copy()
    missing[400:420] = np.nan
    missing[900] = np.nan
    model = one_state(missing, 1)
    design, target = missing[:-1], missing[1:]
    kept = np.isfinite(design).all(axis=1) & np.isfinite(target).all(axis=1)
    for unit in range(N_UNITS):
        peer = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
        peer.fit(design[kept], target[kept, unit])
        np.testing.assert_allclose(model.weight_.values[0, unit], peer.coef_, atol=1e-6)


def test_standard_errors_are_those_of_the_information_matrix(values):
    model = one_state(values, 1)
    design = np.column_stack([np.ones(N_BINS - 1), values[:-1]])
    for unit in range(N_UNITS):
        rate = np.exp(design @ np.r_[model.intercept_.values[0, unit], model.weight_.values[0, unit]])
        covariance = np.linalg.inv(design.T @ (rate[:, None] * design))
        np.testing.assert_allclose(model.weight_se_.values[0, unit], np.sqrt(np.diag(covariance))[1:], rtol=1e-4)


def test_the_objective_never_falls_and_units_may_be_in_any_order(values):
    order = [2, 0, 3, 1]
    counts = make_counts(values, BIN)

    def fit(data):
        return nd.models.HMMGLM(prior=None, n_states=2, history=BIN, n_basis=1, n_restarts=1, tol=1e-10, rng=0).fit(
            data
        )

    model = fit(counts)
    objective = model.objective_.values
    assert (np.diff(objective) >= -1e-8 * np.abs(objective[:-1])).all()
    one = nd.models.HMMGLM(prior=None, n_states=1, history=BIN, n_basis=1, tol=1e-12, rng=0)
    straight, turned = one.fit(counts).weight_, one.fit(counts.isel(unit=order)).weight_
    np.testing.assert_allclose(turned.sel(post=straight.post, pre=straight.pre), straight, atol=1e-6)
