"""What a fit's coefficients count for: the effective number of them, and BIC."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.containers import make_counts

N_UNITS, N_BINS, N_LAGS = 4, 1500, 3


@pytest.fixture(scope="module")
def counts():
    return make_counts(np.random.default_rng(0).poisson([0.2, 0.5, 1.0, 0.4], (N_BINS, N_UNITS)), bin_width=0.02)


def fit(counts, n_states=1, **settings):
    settings = {"prior": None, "basis": "exponential", "history": 0.06, "n_restarts": 1, "rng": 0, **settings}
    return nd.models.HMMGLM(n_states=n_states, **settings).fit(counts)


@pytest.mark.parametrize("ridge", [0.1, 10.0, 1000.0])
def test_effective_number_equals_the_trace_by_dense_matrices(counts, ridge):
    model = fit(counts, ridge=ridge)
    x, shape = counts.values.astype(float), model.basis_shape_.values[0]
    columns = np.ones((N_BINS - N_LAGS, 1 + N_UNITS))
    for t in range(N_LAGS, N_BINS):
        columns[t - N_LAGS, 1:] = sum(shape[k] * x[t - 1 - k] for k in range(N_LAGS))
    expected = 0.0
    for post in range(N_UNITS):
        theta = np.concatenate([[model.intercept_.values[0, post]], model.coefficient_.values[0, post, :, 0]])
        curvature = columns.T @ (np.exp(columns @ theta)[:, None] * columns)
        precision = np.diag(model.penalty_precision_.values[0, :, post])
        expected += np.trace(np.linalg.solve(curvature + precision, curvature))
    assert model.n_effective_ == pytest.approx(expected, rel=1e-5)
    assert model.n_effective_ < N_UNITS * (1 + N_UNITS)


def test_without_a_prior_every_coefficient_counts(counts):
    assert fit(counts, ridge=0.0).n_effective_ == pytest.approx(N_UNITS * (1 + N_UNITS), abs=1e-3)


def test_an_intercept_of_all_states_counts_once(counts):
    apart, shared = fit(counts, 2, ridge=1e-6), fit(counts, 2, ridge=1e-6, share_intercept=True)
    assert apart.n_effective_ == pytest.approx(2 * N_UNITS * (1 + N_UNITS), rel=0.01)
    assert shared.n_effective_ == pytest.approx(2 * N_UNITS**2 + N_UNITS, rel=0.01)


def test_silent_and_absent_units_count_for_nothing(counts):
    with_more = np.concatenate([counts.values.astype(float), np.full((N_BINS, 1), np.nan)], axis=1)
    more = fit(make_counts(with_more, bin_width=0.02))
    # The prior's scale is a mean over columns, so only nearly the same.
    assert more.n_effective_ == pytest.approx(fit(counts).n_effective_, rel=0.02)


def test_few_couplings_count_under_the_onehot_prior_when_there_are_none():
    counts = make_counts(np.random.default_rng(1).poisson(0.4, (2000, 10)), bin_width=0.02)
    model = fit(counts, prior="onehot")
    assert model.n_effective_ + 0.5 >= 10
    # A tenth of the hundred couplings; all of them count without a prior.
    assert model.n_effective_ < 20


def test_effective_number_survives_a_file(counts, tmp_path):
    model = fit(counts)
    model.save(tmp_path / "model.nc")
    assert nd.models.load(tmp_path / "model.nc").n_effective_ == model.n_effective_


def test_bic_counts_effective_coefficients_transitions_and_first_states(counts):
    model = nd.models.HMMGLM(prior=None, basis="exponential", history=0.06, n_restarts=1, rng=0)
    table = nd.models.select_n_states(model, counts, [1, 2], n_folds=2)
    for n_states in (1, 2):
        # Two transitions and a first state for two states.
        fitted = fit(counts, n_states)
        free = fitted.n_effective_ + (0 if n_states == 1 else 3)
        expected = -2.0 * float(fitted.log_likelihood_[-1]) + free * np.log(N_BINS)
        assert float(table["bic"].sel(n_states=n_states)) == pytest.approx(expected, rel=1e-9)
