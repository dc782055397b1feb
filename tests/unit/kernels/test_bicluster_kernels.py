"""Steps over units against dense algebra, sums over grids and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.stats import kstest, multivariate_normal, nbinom

from neurodata.kernels import bicluster_nb as bn

N_UNITS, N_BINS, M = 3, 12, 3


@pytest.fixture
def problem():
    """Counts with bins not observed, weights, trajectories of two clusters."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (N_UNITS, N_BINS)).astype(np.int32)
    counts[0, 3:5] = counts[1, 0] = counts[2, -1] = -1
    return {
        "rng": rng,
        "counts": counts,
        "weight": np.where(counts >= 0, rng.gamma(2.0, 0.3, counts.shape), 0.0),
        "dispersion": rng.gamma(3.0, 1.0, N_UNITS),
        "baseline": rng.standard_normal(N_UNITS),
        "loading": rng.standard_normal((N_UNITS, M - 1)),
        "cluster": np.array([1, 0, 1]),
        "x": rng.standard_normal((2, N_BINS, M)),
    }


def augmented(counts, weight, r, eta):
    """Sum over the observed bins of kappa psi - w psi^2 / 2, by its definition."""
    psi, seen = eta - np.log(r), counts >= 0
    return (0.5 * (counts - r) * psi - 0.5 * weight * psi**2)[seen].sum()


def test_log_means(problem):
    out = np.full((N_UNITS, N_BINS), np.nan)
    bn.log_means(problem["baseline"], problem["loading"], problem["cluster"], problem["x"], out)
    for i in range(N_UNITS):
        x = problem["x"][problem["cluster"][i]]
        expected = problem["baseline"][i] + x @ np.concatenate([[1.0], problem["loading"][i]])
        np.testing.assert_allclose(out[i], expected, rtol=1e-12)


def test_count_table(problem):
    counts = problem["counts"]
    table = np.full((N_UNITS, counts.max() + 1), -5)
    bn.count_table(counts, table)
    for i in range(N_UNITS):
        np.testing.assert_array_equal(table[i], np.bincount(counts[i][counts[i] >= 0], minlength=table.shape[1]))


def test_weights_have_the_mean_of_their_means_and_counts(problem):
    """E w = (y + r) tanh(psi / 2) / (2 psi); none where nothing was observed."""
    rng, r = problem["rng"], problem["dispersion"]
    eta = rng.standard_normal((N_UNITS, N_BINS))
    total, n, square = np.zeros(eta.shape), 4000, np.zeros(eta.shape)
    weight = np.empty(eta.shape)
    for _ in range(n):
        bn.draw_weights(rng, problem["counts"], r, eta, 5, weight)
        total += weight
        square += weight**2
    psi, seen = eta - np.log(r)[:, None], problem["counts"] >= 0
    expected = (problem["counts"] + r[:, None]) * np.tanh(psi / 2) / (2 * psi)
    error = np.sqrt((square / n - (total / n) ** 2) / n)
    assert (np.abs(total / n - expected) < 4.5 * error)[seen].all()
    assert (total[~seen] == 0).all()


def test_augmentation_gives_the_negative_binomial():
    """NB(y; r, mu) is exp(kappa psi) times E exp(-w psi^2 / 2), w ~ PG(y + r, 0), and what has no psi."""
    from neurodata.kernels.polya_gamma_nb import log_laplace

    y, r = 3, 1.7
    eta = np.array([-1.0, 0.2, 2.0])
    psi = eta - np.log(r)
    by_parts = 0.5 * (y - r) * psi + np.array([log_laplace(np.array(p**2 / 2), y + r, 0.0) for p in psi])
    exact = nbinom.logpmf(y, r, r / (r + np.exp(eta)))
    np.testing.assert_allclose(by_parts - by_parts[0], exact - exact[0], atol=1e-10)


def test_information_about_a_trajectory(problem):
    """h'x - x'Jx/2 plus the constant is the augmented log-likelihood at any trajectory."""
    i, r = 0, problem["dispersion"][0]
    j, h = np.zeros((N_BINS, M, M)), np.zeros((N_BINS, M))
    counts, weight, d, c = (problem[name][i] for name in ("counts", "weight", "baseline", "loading"))
    constant = bn.add_information(counts, weight, np.log(r), r, d, c, j, h)
    bn.mirror(j)
    np.testing.assert_array_equal(j, j.transpose(0, 2, 1))
    for x in problem["x"]:
        found = constant + (h * x).sum() - 0.5 * np.einsum("ti,tij,tj", x, j, x)
        expected = augmented(counts, weight, r, d + x @ np.concatenate([[1.0], c]))
        assert found == pytest.approx(expected, rel=1e-10)
    twice_j, twice_h = j.copy(), h.copy()
    assert bn.add_information(counts, weight, np.log(r), r, d, c, twice_j, twice_h) == pytest.approx(constant)
    bn.mirror(twice_j)
    np.testing.assert_allclose(twice_j, 2 * j, rtol=1e-12)
    np.testing.assert_allclose(twice_h, 2 * h, rtol=1e-12)


def regression(problem, i, x, mean, precision):
    """Posterior mean and covariance of (d, c), and log marginal likelihood, by dense algebra."""
    seen = problem["counts"][i] >= 0
    y, w, r = problem["counts"][i][seen], problem["weight"][i][seen], problem["dispersion"][i]
    design = np.hstack([np.ones((seen.sum(), 1)), x[seen, 1:]])
    # kappa psi - w psi^2 / 2 is a normal density of kappa / w about psi, but for its constants.
    kappa = 0.5 * (y - r)
    target, known = kappa / w, x[seen, 0] - np.log(r)
    covariance = np.diag(1 / w) + design / precision @ design.T
    marginal = multivariate_normal.logpdf(target, known + design @ mean, covariance)
    marginal += 0.5 * (kappa**2 / w).sum() - 0.5 * np.log(w / (2 * np.pi)).sum()
    after = np.linalg.inv(np.diag(precision) + design.T * w @ design)
    return after @ (precision * mean + design.T @ (w * (target - known))), after, marginal


@pytest.mark.parametrize("i", range(N_UNITS))
def test_regress(problem, i):
    mean, precision = np.array([0.4, 0.0, -0.3]), np.array([0.5, 2.0, 1.3])
    x, r = problem["x"][problem["cluster"][i]], problem["dispersion"][i]
    factor, centre = np.zeros((M, M)), np.empty(M)
    arguments = problem["counts"][i], problem["weight"][i], np.log(r), r, x, mean, precision
    marginal = bn.regress(*arguments, factor, centre)
    expected_mean, expected, expected_marginal = regression(problem, i, x, mean, precision)
    assert marginal == pytest.approx(expected_marginal, rel=1e-10)
    root = np.tril(factor)
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(expected), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.solve(root.T, centre), expected_mean, rtol=1e-9)
    values = np.array([0.3, -1.0, 0.6])
    log_density = bn.log_density_coefficients(factor, centre, values)
    assert log_density == pytest.approx(multivariate_normal.logpdf(values, expected_mean, expected), rel=1e-9)
    draws = np.empty((20_000, M))
    for draw in draws:
        bn.draw_coefficients(problem["rng"], factor, centre, draw)
    white = np.linalg.solve(np.linalg.cholesky(expected), (draws - expected_mean).T)
    assert all(kstest(w, "norm").pvalue > 1e-3 for w in white)
    np.testing.assert_allclose(white @ white.T / len(draws), np.eye(M), atol=0.05)
    twin = np.zeros((M, M)), np.empty(M)
    assert bn.regress.py_func(*arguments, *twin) == pytest.approx(marginal, rel=1e-10)


def posterior_of_log_r(counts, eta, shape, rate):
    """Distribution function of log r on a fine grid, from SciPy's negative binomial."""
    u = np.linspace(-6, 7, 20_001)
    r = np.exp(u)[:, None]
    seen = counts >= 0
    log_p = nbinom.logpmf(counts[seen], r, r / (r + np.exp(eta[seen]))).sum(axis=1) + shape * u - rate * np.exp(u)
    p = np.exp(log_p - log_p.max())
    whole = cumulative_trapezoid(p, u, initial=0.0)
    return lambda v: np.interp(v, u, whole / whole[-1])


@pytest.mark.parametrize(("shape", "rate", "level"), [(2.0, 0.2, 1.0), (1.0, 1.0, 0.0), (4.0, 1.0, 3.0)])
def test_slices_of_dispersions(problem, shape, rate, level):
    """Chains of slice steps, thinned until independent, have the posterior on a grid; also with large counts."""
    rng = problem["rng"]
    eta = level + 0.5 * rng.standard_normal((N_UNITS, N_BINS))
    true = np.array([0.5, 2.0, 20.0])[:, None]
    counts = rng.poisson(np.exp(eta) * rng.gamma(true, size=eta.shape) / true).astype(np.int32)
    counts[0, 2] = -1
    table = np.empty((N_UNITS, counts.max() + 1), dtype=np.int64)
    bn.count_table(counts, table)
    r = np.ones(N_UNITS)
    draws = np.empty((3000, N_UNITS))
    for draw in draws:
        for _ in range(8):
            bn.slice_dispersions(rng, counts, eta, table, shape, rate, r)
        draw[:] = np.log(r)
    for i in range(N_UNITS):
        assert kstest(draws[:, i], posterior_of_log_r(counts[i], eta[i], shape, rate)).pvalue > 1e-3
    # The test sees a density of r in place of one of log r.
    wrong = [kstest(draws[:, i], posterior_of_log_r(counts[i], eta[i], shape - 1, rate)).pvalue for i in range(N_UNITS)]
    assert min(wrong) < 1e-6


def test_density_of_dispersions_where_products_would_overflow():
    """Small r, large means, thousands of empty bins: the product of ratios is taken apart before it is infinite."""
    n = 3000
    counts, eta = np.zeros(n, dtype=np.int32), np.linspace(-2, 12, n)
    counts[::7] = 4
    table = np.bincount(counts)
    for f in (bn._log_dispersion_density, bn._log_dispersion_density.py_func):
        found = []
        for u in (-3.0, 0.0, 2.0):
            r = np.exp(u)
            exact = nbinom.logpmf(counts, r, r / (r + np.exp(eta))).sum() + 1.5 * u - 0.7 * r
            found.append(f(u, counts, np.exp(eta), table, 1.5, 0.7) - exact)
        # The same up to a constant.
        np.testing.assert_allclose(found, found[0], atol=1e-7)


def test_compiled_and_plain_agree(problem):
    found = []
    for plain in (False, True):
        rng, r = np.random.default_rng(5), problem["dispersion"].copy()
        weight, eta = np.empty((N_UNITS, N_BINS)), np.empty((N_UNITS, N_BINS))
        table = np.empty((N_UNITS, problem["counts"].max() + 1), dtype=np.int64)
        j, h = np.zeros((N_BINS, M, M)), np.zeros((N_BINS, M))

        def pick(f, plain=plain):
            return f.py_func if plain else f

        arrays = [problem[name] for name in ("baseline", "loading", "cluster", "x")]
        pick(bn.log_means)(*arrays, eta)
        pick(bn.count_table)(problem["counts"], table)
        pick(bn.slice_dispersions)(rng, problem["counts"], eta, table, 2.0, 0.5, r)
        pick(bn.draw_weights)(rng, problem["counts"], r, eta, 2, weight)
        one = problem["counts"][0], weight[0], np.log(r[0]), r[0], problem["baseline"][0], problem["loading"][0]
        constant = pick(bn.add_information)(*one, j, h)
        found.append((eta, table, r, weight, constant, j, h))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
