"""HMMGLM against scikit-learn, a slow EM written as loops, and fits on what was observed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import poisson

import neurodata as nd
from neurodata.containers import make_counts

HISTORY, BIN = 0.06, 0.02


def switching_counts(n_bins, n_units, rng, missing=False):
    """Two states of 40 bins that differ in rate and in who excites whom."""
    weight = 0.4 * rng.normal(size=(2, n_units, n_units))
    base = np.log(rng.uniform(0.2, 0.8, (2, n_units)))
    counts = np.zeros((n_bins, n_units))
    for t in range(n_bins):
        s = (t // 40) % 2
        counts[t] = rng.poisson(np.minimum(np.exp(base[s] + weight[s] @ counts[t - 1] * (t > 0)), 5.0))
    if missing:
        counts[100:110] = np.nan
        counts[200, 1] = np.nan
    return counts


def loop_design(counts, basis):
    """Design and rows of one sequence, by the definition."""
    n_bins, n_units = counts.shape
    lags = basis.shape[1]
    rows, used = [], []
    for t in range(lags, n_bins):
        past = counts[t - lags : t][::-1]
        if np.isfinite(past).all() and np.isfinite(counts[t]).any():
            rows.append(np.concatenate([[1.0], (basis @ past).T.ravel()]))
            used.append(t)
    return np.array(rows).reshape(len(used), 1 + n_units * len(basis)), np.array(used, dtype=int)


def theta_of(model):
    weights = model.coefficient_.values.transpose(0, 2, 3, 1)
    return np.concatenate(
        [model.intercept_.values[:, None], weights.reshape(len(weights), -1, weights.shape[-1])], axis=1
    )


def loop_log_likelihood(counts, model):
    """Forward pass over every bin in log space; a bin that is no row says nothing but time passes."""
    design, used = loop_design(counts, model.basis_shape_.values)
    emission = np.zeros((len(counts), model.initial_.size))
    theta = theta_of(model)
    for row, t in zip(design, used, strict=True):
        terms = poisson.logpmf(counts[t], np.exp(np.einsum("p,spn->sn", row, theta)))
        emission[t] = np.where(np.isfinite(counts[t]), terms, 0.0).sum(axis=1)
    alpha = np.log(model.initial_.values) + emission[0]
    for t in range(1, len(counts)):
        alpha = logsumexp(alpha[:, None] + np.log(model.transition_.values), axis=0) + emission[t]
    return logsumexp(alpha)


@pytest.fixture(scope="module")
def fitted():
    counts = switching_counts(800, 4, np.random.default_rng(0), missing=True)
    data = make_counts(counts, BIN)
    model = nd.models.HMMGLM(prior=None, n_states=2, history=HISTORY, n_basis=2, rng=0).fit(data)
    return model, counts, data


@pytest.mark.parametrize("basis", ["raised_cosine", "exponential"])
def test_one_state_without_ridge_equals_scikit_learn(basis):
    from sklearn.linear_model import PoissonRegressor

    counts = switching_counts(1500, 4, np.random.default_rng(1))
    model = nd.models.HMMGLM(prior=None, n_states=1, ridge=0.0, history=HISTORY, n_basis=2, basis=basis).fit(
        make_counts(counts, BIN)
    )
    design, used = loop_design(counts, model.basis_shape_.values)
    for unit in range(4):
        other = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=200, solver="newton-cholesky")
        other.fit(design[:, 1:], counts[used, unit])
        np.testing.assert_allclose(model.coefficient_[0, unit].values.ravel(), other.coef_, atol=1e-6)
        np.testing.assert_allclose(model.intercept_[0, unit], other.intercept_, atol=1e-6)


@pytest.mark.parametrize("link", ["exp", "softplus", "sigmoid"])
def test_one_state_with_ridge_equals_a_general_optimiser(link):
    counts = np.minimum(switching_counts(1000, 3, np.random.default_rng(2)), 1 if link == "sigmoid" else 99)
    model = nd.models.HMMGLM(prior=None, n_states=1, ridge=3.0, link=link, history=HISTORY, n_basis=2).fit(
        make_counts(counts, BIN)
    )
    design, used = loop_design(counts, model.basis_shape_.values)
    precision = np.full(design.shape[1], 3.0 * design[:, 1:].var(axis=0).sum())
    precision[0] = 0.03
    mean = {"exp": np.exp, "softplus": lambda e: np.logaddexp(0, e), "sigmoid": lambda e: 1 / (1 + np.exp(-e))}[link]
    inverse = {"exp": np.log, "softplus": lambda m: np.log(np.expm1(m)), "sigmoid": lambda m: np.log(m / (1 - m))}[link]
    for unit in range(3):
        x = counts[used, unit]
        centre = np.zeros(design.shape[1])
        centre[0] = inverse((x.sum() + 0.5) / (len(x) + 1))

        def loss(theta, x=x, centre=centre):
            m = mean(design @ theta)
            return (m - x * np.log(m)).sum() + 0.5 * (precision * (theta - centre) ** 2).sum()

        best = minimize(loss, centre, method="BFGS", options={"gtol": 1e-5, "maxiter": 2000})
        # BFGS with numerical derivatives stops about 1e-4 from the optimum; its loss cannot be better than ours.
        ours = theta_of(model)[0, :, unit]
        assert loss(ours) <= best.fun + 1e-9 * abs(best.fun)
        np.testing.assert_allclose(ours, best.x, atol=2e-4)


def test_standard_errors_equal_the_inverse_curvature_by_loops():
    counts = switching_counts(900, 3, np.random.default_rng(3))
    model = nd.models.HMMGLM(prior=None, n_states=1, ridge=3.0, history=HISTORY, n_basis=2).fit(
        make_counts(counts, BIN)
    )
    design, _ = loop_design(counts, model.basis_shape_.values)
    precision = np.full(design.shape[1], 3.0 * design[:, 1:].var(axis=0).sum())
    precision[0] = 0.03
    for post in range(3):
        mean = np.exp(design @ theta_of(model)[0, :, post])
        covariance = np.linalg.inv(design.T @ (design * mean[:, None]) + np.diag(precision))
        for pre in range(3):
            block = covariance[1 + 2 * pre : 3 + 2 * pre, 1 + 2 * pre : 3 + 2 * pre]
            np.testing.assert_allclose(model.weight_se_[0, post, pre], np.sqrt(block.sum()), rtol=1e-6)
    assert model.weight_se_method_ == "exact"


def test_log_likelihood_with_missing_counts_equals_a_pass_by_loops(fitted):
    model, counts, data = fitted
    expected = loop_log_likelihood(counts, model)
    np.testing.assert_allclose(model.log_likelihood(data), expected, rtol=1e-10)
    np.testing.assert_allclose(model.log_likelihood_[-1], expected, rtol=1e-10)


def test_em_ends_where_the_loop_objective_is_flat(fitted):
    # A stationary point of EM is one of the log-likelihood plus log-prior: differences of a log-likelihood written
    # as loops, not of the model's own pass.
    _, counts, data = fitted
    model = nd.models.HMMGLM(prior=None, n_states=2, history=HISTORY, n_basis=2, rng=0, tol=1e-13, max_iter=3000).fit(
        data
    )
    design, _ = loop_design(counts, model.basis_shape_.values)
    precision = model.ridge * design[:, 1:].var(axis=0).sum()
    for index in ((0, 0, 1, 0), (1, 2, 3, 1), (1, 3, 0, 0)):
        values = []
        for step in (1e-3, -1e-3):
            changed = nd.models.HMMGLM(**model.get_params())
            for name in (*model._results, *model._facts):
                if name in vars(model):
                    setattr(changed, name, vars(model)[name])
            changed.coefficient_ = model.coefficient_.copy(deep=True)
            changed.coefficient_[index] += step
            values.append(
                loop_log_likelihood(counts, changed) - 0.5 * precision * float(changed.coefficient_[index]) ** 2
            )
        slope = (values[0] - values[1]) / 2e-3
        curvature = precision + 20.0
        # The Newton step left to go, slope / curvature, against weights of about 0.1.
        assert abs(slope / curvature) < 1e-3


def test_masked_ends_equal_the_fit_on_the_rest():
    counts = switching_counts(600, 3, np.random.default_rng(4))
    masked = counts.copy()
    masked[:100] = masked[500:] = np.nan
    settings = {"prior": None, "n_states": 2, "history": HISTORY, "n_basis": 2, "rng": 0}
    a = nd.models.HMMGLM(**settings).fit(make_counts(masked, BIN))
    b = nd.models.HMMGLM(**settings).fit(make_counts(counts[100:500], BIN))
    np.testing.assert_allclose(a.weight_, b.weight_, rtol=1e-10)
    np.testing.assert_allclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-10)
    proba = a.predict_proba(make_counts(masked, BIN))
    assert np.isnan(proba[:100]).all()
    np.testing.assert_allclose(proba[100:500], b.predict_proba(make_counts(counts[100:500], BIN)), atol=1e-10)
    assert (a.predict(make_counts(masked, BIN)).values[500:] == -1).all()


def test_a_hole_equals_two_pieces_without_states():
    counts = switching_counts(600, 3, np.random.default_rng(5))
    masked = counts.copy()
    masked[250:270] = np.nan
    settings = {"prior": None, "n_states": 1, "history": HISTORY, "n_basis": 2}
    a = nd.models.HMMGLM(**settings).fit(make_counts(masked, BIN))
    b = nd.models.HMMGLM(**settings).fit([make_counts(counts[:250], BIN), make_counts(counts[270:], BIN)])
    np.testing.assert_allclose(a.weight_, b.weight_, rtol=1e-8)
    np.testing.assert_allclose(a.log_likelihood_[-1], b.log_likelihood_[-1], rtol=1e-12)


def test_a_jump_in_time_equals_a_list():
    counts = switching_counts(600, 3, np.random.default_rng(6))
    time = (np.arange(600) + 0.5) * BIN
    time[300:] += 4.0
    settings = {"prior": None, "n_states": 2, "history": HISTORY, "n_basis": 2, "rng": 0}
    a = nd.models.HMMGLM(**settings).fit(make_counts(counts, BIN, time=time))
    b = nd.models.HMMGLM(**settings).fit([make_counts(counts[:300], BIN), make_counts(counts[300:], BIN)])
    np.testing.assert_array_equal(a.weight_, b.weight_)


def test_an_unobserved_unit_equals_its_absence():
    counts = switching_counts(600, 4, np.random.default_rng(7))
    masked = counts.copy()
    masked[:, 2] = np.nan
    settings = {
        "prior": None,
        "n_states": 2,
        "history": HISTORY,
        "n_basis": 2,
        "rng": 0,
        "tol": 1e-12,
        "max_iter": 2000,
    }
    a = nd.models.HMMGLM(**settings).fit(make_counts(masked, BIN))
    b = nd.models.HMMGLM(**settings).fit(make_counts(counts[:, [0, 1, 3]], BIN, unit=[0, 1, 3]))
    assert np.isnan(a.weight_.sel(post=2)).all()
    assert np.isnan(a.weight_.sel(pre=2)).all()
    assert np.isnan(a.intercept_.sel(unit=2)).all()
    kept = a.weight_.sel(post=[0, 1, 3], pre=[0, 1, 3])
    # Starts draw one number per unit, so the two fits begin apart and meet at the optimum.
    np.testing.assert_allclose(kept, b.weight_, atol=1e-3)
    np.testing.assert_allclose(a.log_likelihood_[-1], b.log_likelihood_[-1], rtol=1e-7)
    np.testing.assert_allclose(
        a.score(make_counts(masked, BIN)), b.score(make_counts(counts[:, [0, 1, 3]], BIN, unit=[0, 1, 3])), atol=1e-5
    )


def test_the_order_of_units_does_not_matter():
    counts = make_counts(switching_counts(800, 4, np.random.default_rng(8)), BIN, unit=["a", "b", "c", "d"])
    settings = {
        "prior": None,
        "n_states": 2,
        "history": HISTORY,
        "n_basis": 2,
        "rng": 0,
        "tol": 1e-12,
        "max_iter": 2000,
    }
    a = nd.models.HMMGLM(**settings).fit(counts)
    b = nd.models.HMMGLM(**settings).fit(counts.isel(unit=[2, 0, 3, 1]))
    same = b.weight_.sel(post=a.weight_.post, pre=a.weight_.pre)
    np.testing.assert_allclose(a.weight_, same, atol=1e-3)
    # The fitted model accepts the units in any order and gives the same answer.
    np.testing.assert_allclose(a.predict_proba(counts), a.predict_proba(counts.isel(unit=[2, 0, 3, 1])), atol=1e-12)
