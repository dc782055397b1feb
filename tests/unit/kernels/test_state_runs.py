"""New labels of stretches against the exact evidence of all paths, dynamics and transition matrix integrated out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import chisquare, invwishart, matrix_normal, multivariate_normal

from neurodata.kernels import state_runs_nb as sr
from neurodata.kernels.linear_dynamics_nb import cholesky, step_sums
from neurodata.kernels.state_path_nb import count_transitions

S, M = 2, 2
STARTS = np.array([0, 4, 6])
T = 6
SLOTS = np.array([2, 0])
CENTRE = np.array([[0.5, 0.1, 0.3], [-0.2, 0.4, 0.0]])
COLUMNS = np.array([[1.5, 0.2, 0.0], [0.2, 1.0, 0.3], [0.0, 0.3, 0.8]])
SCALE = np.array([[0.6, 0.1], [0.1, 0.4]])
DOF = 5.0
MASS = np.array([[2.0, 0.7], [0.5, 1.6]])


def log_evidence(before, after):
    """Density of `after` given `before` by Bayes' rule at one value of the dynamics, posterior by textbook formulae."""
    n = len(after)
    f = np.hstack([before, np.ones((n, 1))])
    columns = COLUMNS + f.T @ f
    centre = np.linalg.solve(columns, COLUMNS @ CENTRE.T + f.T @ after).T
    rest, away = after - f @ centre.T, centre - CENTRE
    scale = SCALE + rest.T @ rest + away @ COLUMNS @ away.T
    noise, coefficients = np.array([[0.5, -0.1], [-0.1, 0.3]]), CENTRE + 0.1
    value = multivariate_normal.logpdf(after - f @ coefficients.T, np.zeros(M), noise).sum() if n else 0.0
    value += invwishart.logpdf(noise, DOF, SCALE) - invwishart.logpdf(noise, DOF + n, scale)
    value += matrix_normal.logpdf(coefficients, CENTRE, noise, np.linalg.inv(COLUMNS))
    return value - matrix_normal.logpdf(coefficients, centre, noise, np.linalg.inv(columns))


def log_path(path, x, mass=MASS):
    """Log joint density of a path and of the trajectories in use, up to the first bins."""
    total, counts = 0.0, np.zeros((S, S))
    inner = np.setdiff1d(np.arange(T), STARTS)
    for t in inner:
        counts[path[t - 1], path[t]] += 1
    for k in SLOTS:
        for s in range(S):
            t = inner[path[inner] == s]
            total += log_evidence(x[k, t - 1], x[k, t])
    for row, weight in zip(counts, mass, strict=True):
        total += gammaln(weight.sum()) - gammaln(weight.sum() + row.sum())
        total += (gammaln(weight + row) - gammaln(weight)).sum()
    return total


@pytest.fixture(scope="module")
def x():
    """Three slots, of which two are in use; what moves differs between the halves of the first sequence."""
    rng = np.random.default_rng(0)
    x = 0.6 * rng.standard_normal((3, T, M))
    x[:, 2:4] += 1.0
    return x


def sums(x, path):
    n = len(SLOTS)
    cross, inputs = np.empty((n, S, M, M + 1)), np.empty((n, S, M + 1, M + 1))
    outputs, count, counts = np.empty((n, S, M, M)), np.empty(S), np.empty((S, S))
    for q, k in enumerate(SLOTS):
        step_sums(x[k], STARTS, path, cross[q], inputs[q], outputs[q], count)
    count_transitions(path, STARTS, counts)
    return cross, inputs, outputs, count, counts


def log_dets():
    return np.array([cholesky(COLUMNS, np.empty((M + 1, M + 1))), cholesky(SCALE, np.empty((M, M)))])


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_evidence_of_steps(n):
    x = np.random.default_rng(n).standard_normal((n + 1, M))
    cross, inputs = np.empty((1, M, M + 1)), np.empty((1, M + 1, M + 1))
    outputs, count = np.empty((1, M, M)), np.empty(1)
    step_sums(x, np.array([0, n + 1]), np.zeros(n + 1, dtype=np.int64), cross, inputs, outputs, count)
    for f in (sr.log_evidence, sr.log_evidence.py_func):
        found = f(cross[0], inputs[0], outputs[0], float(n), CENTRE, COLUMNS, SCALE, DOF, *log_dets())
        assert found == pytest.approx(log_evidence(x[:-1], x[1:]), abs=1e-9)


def test_evidence_of_one_step_is_a_student():
    """A check of the formula above too: one step is a multivariate Student variable."""
    from scipy.stats import multivariate_t

    x = np.array([[0.3, -0.7], [1.1, 0.4]])
    f = np.append(x[0], 1.0)
    dof = DOF - M + 1
    shape = SCALE * (1 + f @ np.linalg.solve(COLUMNS, f)) / dof
    assert log_evidence(x[:1], x[1:]) == pytest.approx(multivariate_t.logpdf(x[1], CENTRE @ f, shape, dof), abs=1e-9)


@pytest.mark.parametrize(("first", "last", "sequence", "apart"), [(0, 1, 0, False), (1, 2, 0, True), (4, 5, 1, False)])
def test_a_label_is_drawn_from_its_conditional(x, first, last, sequence, apart):
    begin, end = STARTS[sequence], STARTS[sequence + 1]
    rng = np.random.default_rng(1)
    for rest in ((0, 1, 0, 1, 0, 1), (0, 0, 0, 0, 0, 0), (1, 1, 0, 0, 1, 0)):
        options = []
        for s in range(S):
            path = np.array(rest)
            path[first : last + 1] = s
            beside = [path[t] for t in (first - 1, last + 1) if begin <= t < end]
            options.append(-np.inf if apart and s in beside else log_path(path, x))
        if not np.isfinite(options).any():
            continue
        odds = np.exp(np.array(options) - np.logaddexp(*options))
        n, ones = 4000, 0
        for _ in range(n):
            path = np.array(rest)
            path[first : last + 1] = np.argmax(odds)
            parts = sums(x, path)
            sr.relabel(
                rng, x, SLOTS, begin, end, first, last, apart, path, MASS, *parts, CENTRE, COLUMNS, SCALE, DOF,
                log_dets(),
            )  # fmt: skip
            ones += path[first]
        assert abs(ones / n - odds[1]) <= 4 * np.sqrt(odds[0] * odds[1] / n)
        # The sums are those of the path that was drawn.
        for kept, fresh in zip(parts, sums(x, path), strict=True):
            np.testing.assert_allclose(kept, fresh, atol=1e-10)


def test_frequencies_of_paths(x):
    """Paths drawn with their probabilities keep them, though stretches of one bin are not proposed."""
    rng = np.random.default_rng(2)
    paths = np.array(list(itertools.product(range(S), repeat=T)))
    exact = np.array([log_path(path, x) for path in paths])
    probability = np.exp(exact - np.logaddexp.reduce(exact))
    n, place = 30_000, 2 ** np.arange(T)[::-1]
    all_sums = [sums(x, path) for path in paths]

    def chi_square(mass, trajectories):
        times, changed = np.zeros(len(paths)), 0
        for k in rng.choice(len(paths), n, p=probability):
            path, parts = paths[k].copy(), [part.copy() for part in all_sums[k]]
            sr.relabel_some(rng, trajectories, SLOTS, STARTS, path, mass, 2, 6, *parts, CENTRE, COLUMNS, SCALE, DOF)
            times[path @ place] += 1
            changed += path @ place != k
        assert changed > n / 10
        rare = n * probability <= max(8, n * probability.min())
        seen = np.append(times[~rare], times[rare].sum())
        return chisquare(seen, n * np.append(probability[~rare], probability[rare].sum())).pvalue

    assert chi_square(MASS, x) > 1e-3
    # Not so without stickiness, or with the trajectories of other slots.
    assert chi_square(np.full((S, S), 1.2), x) < 1e-6
    assert chi_square(MASS, x[::-1].copy()) < 1e-6


def test_log_switches():
    counts = np.array([[3.0, 0.0], [1.0, 2.0]])
    expected = 0.0
    for row, weight in zip(counts, MASS, strict=True):
        # One step after the other, by Polya's urn.
        urn = weight.copy()
        for k, n in enumerate(row.astype(int)):
            for _ in range(n):
                expected += np.log(urn[k] / urn.sum())
                urn[k] += 1
    assert sr._log_switches(counts, MASS) == pytest.approx(expected, abs=1e-12)
