"""The compiled chain against sums over every path, a pass in log space, and its own Python source."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp

from neurodata.kernels import hmm_nb
from neurodata.kernels.hmm_nb import forward_backward, viterbi


def chain(n_bins, n_states, rng, spread=3.0):
    log_likelihood = spread * rng.standard_normal((n_bins, n_states)) - 100.0
    return log_likelihood, rng.dirichlet(np.ones(n_states)), rng.dirichlet(np.ones(n_states), size=n_states)


def every_path(log_likelihood, initial, transition):
    """log Z, state posteriors, expected transitions and the best path, by enumeration."""
    n_bins, n_states = log_likelihood.shape
    paths = list(product(range(n_states), repeat=n_bins))
    logs = np.array(
        [
            np.log(initial[p[0]])
            + sum(np.log(transition[a, b]) for a, b in zip(p[:-1], p[1:], strict=True))
            + sum(log_likelihood[t, s] for t, s in enumerate(p))
            for p in paths
        ]
    )
    log_z = logsumexp(logs)
    weight = np.exp(logs - log_z)
    gamma, pair = np.zeros((n_bins, n_states)), np.zeros((n_states, n_states))
    for p, w in zip(paths, weight, strict=True):
        for t, s in enumerate(p):
            gamma[t, s] += w
        for a, b in zip(p[:-1], p[1:], strict=True):
            pair[a, b] += w
    return log_z, gamma, pair, paths[int(logs.argmax())], logs.max()


def log_space(log_likelihood, initial, transition):
    """Smoothing with every message kept as a logarithm."""
    n_bins, n_states = log_likelihood.shape
    log_p = np.log(transition)
    alpha, beta = np.empty((n_bins, n_states)), np.zeros((n_bins, n_states))
    alpha[0] = np.log(initial) + log_likelihood[0]
    for t in range(1, n_bins):
        alpha[t] = logsumexp(alpha[t - 1][:, None] + log_p, axis=0) + log_likelihood[t]
    for t in range(n_bins - 2, -1, -1):
        beta[t] = logsumexp(log_p + log_likelihood[t + 1] + beta[t + 1], axis=1)
    log_z = logsumexp(alpha[-1])
    return log_z, np.exp(alpha + beta - logsumexp(alpha + beta, axis=1, keepdims=True))


@pytest.mark.parametrize("n_bins", [1, 2, 5, 8])
@pytest.mark.parametrize("n_states", [1, 2, 3])
def test_smoothing_and_viterbi_equal_the_sum_over_every_path(n_bins, n_states):
    rng = np.random.default_rng(10 * n_bins + n_states)
    log_likelihood, initial, transition = chain(n_bins, n_states, rng)
    log_z, gamma, pair, best, best_log = every_path(log_likelihood, initial, transition)
    starts = np.array([0, n_bins])
    got_z, got_gamma, got_pair, got_first = forward_backward(log_likelihood, starts, initial, transition)
    np.testing.assert_allclose(got_z[0], log_z, rtol=1e-10)
    np.testing.assert_allclose(got_gamma, gamma, atol=1e-10)
    np.testing.assert_allclose(got_pair, pair, atol=1e-10)
    np.testing.assert_allclose(got_first, gamma[0], atol=1e-10)
    path, log_probability = viterbi(log_likelihood, starts, initial, transition)
    assert tuple(path) == best
    np.testing.assert_allclose(log_probability[0], best_log, rtol=1e-10)


def test_sequences_are_independent():
    rng = np.random.default_rng(0)
    log_likelihood, initial, transition = chain(9, 3, rng)
    parts = [(0, 4), (4, 5), (5, 9)]
    log_z, gamma, pair, first = forward_backward(log_likelihood, np.array([0, 4, 5, 9]), initial, transition)
    expected = [every_path(log_likelihood[a:b], initial, transition) for a, b in parts]
    np.testing.assert_allclose(log_z, [e[0] for e in expected], rtol=1e-10)
    np.testing.assert_allclose(gamma, np.concatenate([e[1] for e in expected]), atol=1e-10)
    np.testing.assert_allclose(pair, sum(e[2] for e in expected), atol=1e-10)
    np.testing.assert_allclose(first, sum(e[1][0] for e in expected), atol=1e-10)
    path, _ = viterbi(log_likelihood, np.array([0, 4, 5, 9]), initial, transition)
    assert tuple(path) == sum((e[3] for e in expected), ())


def test_long_recording_of_many_units_equals_a_pass_in_log_space():
    # 20 000 bins of 100 units at one spike per bin: log-likelihoods of about -200 that differ by tens of nats
    # between states, where unscaled float64 products underflow within 4 bins.
    rng = np.random.default_rng(1)
    n_bins, n_units, n_states = 20_000, 100, 3
    rates = rng.gamma(5.0, 0.2, (n_states, n_units))
    state = rng.integers(n_states, size=n_bins // 50).repeat(50)
    counts = rng.poisson(rates[state])
    log_likelihood = counts @ np.log(rates).T - rates.sum(axis=1) - 100.0
    transition = np.full((3, 3), 0.01) + 0.97 * np.eye(3)
    initial = np.full(3, 1 / 3)
    log_z, gamma = log_space(log_likelihood, initial, transition)
    got_z, got_gamma, pair, _ = forward_backward(log_likelihood, np.array([0, n_bins]), initial, transition)
    np.testing.assert_allclose(got_z[0], log_z, rtol=1e-10)
    np.testing.assert_allclose(got_gamma, gamma, atol=1e-10)
    np.testing.assert_allclose(pair.sum(), n_bins - 1, rtol=1e-10)


def test_evidence_of_thousands_of_nats_is_finite():
    log_likelihood = np.array([[-5000.0, 0.0], [0.0, -9000.0], [-1e5, -1e5 - 3000.0]])
    transition = np.array([[1 - 1e-10, 1e-10], [1e-10, 1 - 1e-10]])
    log_z, gamma, pair, _ = forward_backward(log_likelihood, np.array([0, 3]), np.array([0.5, 0.5]), transition)
    expected, expected_gamma = log_space(log_likelihood, np.array([0.5, 0.5]), transition)
    np.testing.assert_allclose(log_z[0], expected, rtol=1e-12)
    np.testing.assert_allclose(gamma, expected_gamma, atol=1e-10)
    assert np.isfinite(pair).all()


def test_compiled_functions_equal_their_python_source():
    rng = np.random.default_rng(2)
    log_likelihood, initial, transition = chain(30, 3, rng)
    starts = np.array([0, 10, 30])
    for name, args in (
        ("_forward_backward", (log_likelihood, starts, initial, transition)),
        ("_viterbi", (log_likelihood, starts, np.log(initial), np.log(transition))),
    ):
        function = getattr(hmm_nb, name)
        for compiled, plain in zip(function(*args), function.py_func(*args), strict=True):
            np.testing.assert_allclose(compiled, plain, rtol=1e-14, atol=1e-14)
    scaled = [np.empty((30, 3)), np.empty((30, 3))]
    totals = [
        f(log_likelihood, s)
        for f, s in zip((hmm_nb._scaled_likelihood, hmm_nb._scaled_likelihood.py_func), scaled, strict=True)
    ]
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-14)
    np.testing.assert_allclose(scaled[0], scaled[1], rtol=1e-14)
    outs = []
    for forward, backward in (
        (hmm_nb._forward, hmm_nb._backward),
        (hmm_nb._forward.py_func, hmm_nb._backward.py_func),
    ):
        alpha, scale, pair = np.empty((30, 3)), np.empty(30), np.zeros((3, 3))
        total = forward(scaled[0], initial, transition, alpha, scale)
        backward(scaled[0], scale, transition, alpha, pair)
        outs.append((total, alpha, scale, pair))
    for compiled, plain in zip(*outs, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-13)
