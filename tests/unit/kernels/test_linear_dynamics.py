"""Switching linear dynamics against one dense Gaussian of all bins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from neurodata.kernels import linear_dynamics_nb as ld

# Three sequences, of which one is a single bin.
STARTS = np.array([0, 5, 6, 9])
N_BINS, N_STATES, M = 9, 2, 3


@pytest.fixture
def problem():
    """Dynamics of two states, information of some bins, and how the filter was left."""
    rng = np.random.default_rng(0)
    transition = 0.6 * np.eye(M) + 0.3 * rng.standard_normal((N_STATES, M, M))
    offset = rng.standard_normal((N_STATES, M))
    root = rng.standard_normal((N_STATES, M, M))
    noise = 0.3 * np.eye(M) + 0.2 * root @ root.transpose(0, 2, 1)
    state = rng.integers(N_STATES, size=N_BINS)
    j, h = np.zeros((N_BINS, M, M)), np.zeros((N_BINS, M))
    for t in range(N_BINS):
        # Bins 2 and 6 saw nothing; the others one to three numbers, so that J is often singular.
        rows = rng.standard_normal((0 if t in (2, 6) else 1 + t % 3, M))
        j[t] = rows.T @ rows
        h[t] = rows.T @ rng.standard_normal(len(rows))
    return Problem(rng, transition, offset, noise, state, j, h)


class Problem:
    def __init__(self, rng, transition, offset, noise, state, j, h):
        self.rng, self.transition, self.offset, self.noise = rng, transition, offset, noise
        self.state, self.j, self.h = state, j, h
        self.derived = np.empty((N_STATES, M, M)), *np.empty((2, N_STATES, M, M)), np.empty(N_STATES)
        ld.precisions(noise, transition, *self.derived)
        self.factor, self.eta = np.empty((N_BINS, M, M)), np.empty((N_BINS, M))
        self.log_evidence = ld.filter_forward(j, h, STARTS, state, offset, *self.derived, self.factor, self.eta)

    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of all bins, flat, by walking through time."""
        mean, covariance = np.zeros((N_BINS, M)), np.zeros((N_BINS, M, N_BINS, M))
        for a, b in zip(STARTS[:-1], STARTS[1:], strict=True):
            covariance[a, :, a] = np.eye(M)
            for t in range(a + 1, b):
                s = self.state[t]
                step = self.transition[s]
                mean[t] = self.offset[s] + step @ mean[t - 1]
                for u in range(a, t):
                    covariance[t, :, u] = step @ covariance[t - 1, :, u]
                    covariance[u, :, t] = covariance[t, :, u].T
                covariance[t, :, t] = step @ covariance[t - 1, :, t - 1] @ step.T + self.noise[s]
        return mean.ravel(), covariance.reshape(N_BINS * M, -1)

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        mean, covariance = self.prior()
        information = np.zeros((N_BINS, M, N_BINS, M))
        for t in range(N_BINS):
            information[t, :, t] = self.j[t]
        precision = np.linalg.inv(covariance)
        after = np.linalg.inv(precision + information.reshape(N_BINS * M, -1))
        return after @ (precision @ mean + self.h.ravel()), after


def test_precisions(problem):
    precision, pulled, curved, log_det = problem.derived
    inverse = np.linalg.inv(problem.noise)
    turned = problem.transition.transpose(0, 2, 1)
    np.testing.assert_allclose(precision, inverse, rtol=1e-10)
    np.testing.assert_allclose(pulled, turned @ inverse, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(curved, turned @ inverse @ problem.transition, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(problem.noise)[1], rtol=1e-10)


def test_evidence(problem):
    """log of the integral of N(x; m, P) exp(h'x - x'Jx/2) = log of N(m, P) exp(...) / posterior, at any x."""
    mean, covariance = problem.prior()
    after_mean, after = problem.posterior()
    x = np.random.default_rng(1).standard_normal(N_BINS * M)
    each = x.reshape(N_BINS, M)
    seen = (problem.h * each).sum() - 0.5 * np.einsum("ti,tij,tj", each, problem.j, each)
    expected = multivariate_normal.logpdf(x, mean, covariance) + seen - multivariate_normal.logpdf(x, after_mean, after)
    assert problem.log_evidence == pytest.approx(expected, abs=1e-9)


def test_no_data_costs_nothing(problem):
    nothing = Problem(
        problem.rng, problem.transition, problem.offset, problem.noise, problem.state, 0 * problem.j, 0 * problem.h
    )
    assert nothing.log_evidence == pytest.approx(0.0, abs=1e-11)


def test_smoothed_mean(problem):
    x = np.empty((N_BINS, M))
    ld.mean_backward(STARTS, problem.state, problem.offset, problem.derived[1], problem.factor, problem.eta, x)
    np.testing.assert_allclose(x.ravel(), problem.posterior()[0], atol=1e-10)


class FixedNormals:
    """Gives chosen numbers as standard normal draws."""

    def __init__(self, values):
        self.values = list(values)

    def standard_normal(self):
        return self.values.pop(0)


def test_draws_have_exactly_the_posterior(problem):
    """A draw is the mean plus a matrix times white noise; the matrix times its transpose is the covariance."""
    python = ld.sample_backward.py_func
    arrays = STARTS, problem.state, problem.offset, problem.derived[1], problem.factor, problem.eta
    n = N_BINS * M
    columns = []
    x = np.empty((N_BINS, M))
    python(FixedNormals(np.zeros(n)), *arrays, x)
    mean = x.copy()
    for k in range(n):
        python(FixedNormals(np.eye(n)[k]), *arrays, x)
        columns.append((x - mean).ravel())
    expected_mean, expected = problem.posterior()
    np.testing.assert_allclose(mean.ravel(), expected_mean, atol=1e-10)
    np.testing.assert_allclose(np.transpose(columns) @ np.array(columns), expected, atol=1e-10)
    # And the compiled one is the same function.
    twin = np.empty((N_BINS, M))
    ld.sample_backward(np.random.default_rng(3), *arrays, x)
    python(np.random.default_rng(3), *arrays, twin)
    np.testing.assert_allclose(x, twin, rtol=1e-10)


def test_log_prior_and_densities_of_steps(problem):
    x = problem.rng.standard_normal((N_BINS, M))
    mean, covariance = problem.prior()
    precision, _, _, log_det = problem.derived
    found = ld.log_prior(x, STARTS, problem.state, problem.transition, problem.offset, precision, log_det)
    assert found == pytest.approx(multivariate_normal.logpdf(x.ravel(), mean, covariance), abs=1e-9)
    each = np.full((N_BINS, N_STATES), 0.25)
    ld.add_step_log_density(x, STARTS, problem.transition, problem.offset, precision, log_det, each)
    for t in range(N_BINS):
        for s in range(N_STATES):
            step = 0.0
            if t not in STARTS:
                predicted = problem.offset[s] + problem.transition[s] @ x[t - 1]
                step = multivariate_normal.logpdf(x[t], predicted, problem.noise[s])
            assert each[t, s] == pytest.approx(0.25 + step, abs=1e-10)


def test_step_sums(problem):
    x = problem.rng.standard_normal((N_BINS, M))
    cross, inputs = np.full((N_STATES, M, M + 1), np.nan), np.full((N_STATES, M + 1, M + 1), np.nan)
    outputs, count = np.full((N_STATES, M, M), np.nan), np.full(N_STATES, np.nan)
    ld.step_sums(x, STARTS, problem.state, cross, inputs, outputs, count)
    inner = np.setdiff1d(np.arange(N_BINS), STARTS)
    for s in range(N_STATES):
        t = inner[problem.state[inner] == s]
        before = np.hstack([x[t - 1], np.ones((len(t), 1))])
        np.testing.assert_allclose(cross[s], x[t].T @ before, atol=1e-12)
        np.testing.assert_allclose(inputs[s], before.T @ before, atol=1e-12)
        np.testing.assert_allclose(outputs[s], x[t].T @ x[t], atol=1e-12)
        assert count[s] == len(t)


@pytest.mark.parametrize("name", ["filter_forward", "mean_backward", "log_prior"])
def test_compiled_and_plain_agree(problem, name):
    found = []
    for f in (getattr(ld, name), getattr(ld, name).py_func):
        precision, pulled, _, log_det = problem.derived
        factor, eta, x = np.zeros((N_BINS, M, M)), np.zeros((N_BINS, M)), np.zeros((N_BINS, M))
        if name == "filter_forward":
            arrays = problem.j, problem.h, STARTS, problem.state, problem.offset, *problem.derived, factor, eta
        elif name == "mean_backward":
            arrays = STARTS, problem.state, problem.offset, pulled, problem.factor, problem.eta, x
        else:
            arrays = problem.h, STARTS, problem.state, problem.transition, problem.offset, precision, log_det
        value = f(*arrays)
        found.append((0.0 if value is None else value, eta, x))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
