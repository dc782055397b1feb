"""OASIS against solvers that know nothing of pools: non-negative least squares, and a bounded quasi-Newton method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from neurodata.kernels.oasis_nb import deconvolve_ar1, residual


def response_matrix(n: int, g: float) -> np.ndarray:
    """c = K s for c_t = g c_{t-1} + s_t."""
    return np.tril(g ** np.abs(np.subtract.outer(np.arange(n), np.arange(n))))


def oasis(y, g, penalty, call=deconvolve_ar1):
    out = np.empty(y.size)
    call(y, g, penalty, 0.0, out)
    return out


@pytest.mark.parametrize("penalty", [0.0, 0.1, 0.7])
def test_against_non_negative_least_squares(penalty):
    rng = np.random.default_rng(1)
    for _ in range(60):
        n, g = int(rng.integers(1, 45)), rng.uniform(0.2, 0.99)
        y = rng.normal(size=n) + rng.uniform(-0.5, 1.5)
        matrix = response_matrix(n, g)
        # The penalty on s moves the data: K^T (y - K s) = penalty for every positive s.
        moved = y - penalty * np.linalg.solve(matrix.T, np.ones(n))
        s, _ = nnls(matrix, moved)
        np.testing.assert_allclose(oasis(y, g, penalty), matrix @ s, atol=1e-9)


@pytest.mark.parametrize("penalty", [0.0, 0.2])
def test_missing_samples_against_a_bounded_minimiser(penalty):
    """What is not observed has no data term but decays all the same."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        n, g = 25, rng.uniform(0.5, 0.95)
        y = rng.normal(size=n) + 1.0
        y[rng.random(n) < 0.3] = np.nan
        first = int(np.flatnonzero(~np.isnan(y))[0])
        y = y[first:]
        seen, matrix = ~np.isnan(y), response_matrix(y.size, g)

        def cost(s, y=y, seen=seen, matrix=matrix):
            left = (matrix @ s - y)[seen]
            return 0.5 * left @ left + penalty * s.sum(), matrix[seen].T @ left + penalty

        # An event at a missing sample can be moved to the next observed one at no loss: both solvers reach one value.
        best = minimize(
            cost, np.zeros(y.size), jac=True, bounds=[(0, None)] * y.size, options={"maxiter": 5000, "ftol": 1e-15}
        )
        c = oasis(y, g, penalty)
        s = c - g * np.concatenate(([0.0], c[:-1]))
        assert s.min() > -1e-12
        assert cost(s)[0] <= best.fun + 1e-8
        assert (s[~seen] < 1e-12).all()


def test_compiled_and_plain_python_agree():
    rng = np.random.default_rng(3)
    y = rng.normal(size=500) + 0.5
    y[40:60] = np.nan
    # Powers are rounded differently by the two.
    np.testing.assert_allclose(oasis(y, 0.9, 0.1), oasis(y, 0.9, 0.1, deconvolve_ar1.py_func), rtol=1e-12)


def test_the_residual_grows_with_the_penalty():
    y = np.random.default_rng(4).normal(size=300) + 1.0
    found = [residual(y, 0.9, penalty) for penalty in (0.0, 0.1, 0.5, 2.0)]
    assert (np.diff(found) > 0).all()


def test_time_grows_with_the_length_only():
    """Linear: ten times the samples within thirty times the time (a quadratic method takes a hundred)."""
    from time import process_time

    rng = np.random.default_rng(5)
    short, long = rng.normal(size=200_000), rng.normal(size=2_000_000)
    oasis(short, 0.99, 0.0)
    times = []
    for y in (short, long):
        best = np.inf
        for _ in range(3):
            begin = process_time()
            oasis(y, 0.99, 0.0)
            best = min(best, process_time() - begin)
        times.append(best)
    assert times[1] < 30 * times[0]
