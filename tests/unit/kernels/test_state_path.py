"""Draws of state paths against all paths, and tables of the sticky HDP against their law."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chisquare

from neurodata.kernels import state_path_nb as sp

S, T = 2, 8
STARTS = np.array([0, 5, 8])


@pytest.fixture
def chain():
    rng = np.random.default_rng(0)
    return rng, rng.standard_normal((T, S)), np.array([0.3, 0.7]), np.array([[0.8, 0.2], [0.35, 0.65]])


def log_weights(log_likelihood, initial, transition):
    """Log joint probability of each of the 256 paths."""
    paths = np.array(list(itertools.product(range(S), repeat=T)))
    total = np.zeros(len(paths))
    for t in range(T):
        total += log_likelihood[t, paths[:, t]]
        total += np.log(initial[paths[:, t]] if t in STARTS else transition[paths[:, t - 1], paths[:, t]])
    return total


def test_frequencies_of_paths(chain):
    rng, log_likelihood, initial, transition = chain
    exact = log_weights(log_likelihood, initial, transition)
    path, n = np.empty(T, dtype=np.int64), 50_000
    times = np.zeros(S**T)
    place = 2 ** np.arange(T)[::-1]
    for _ in range(n):
        marginal = sp.sample_path(rng, log_likelihood, STARTS, initial, transition, path)
        times[path @ place] += 1
    assert marginal == pytest.approx(logsumexp(exact), abs=1e-10)
    expected = n * np.exp(exact - logsumexp(exact))
    # Rare paths together.
    rare = expected < 8
    seen, due = np.append(times[~rare], times[rare].sum()), np.append(expected[~rare], expected[rare].sum())
    assert chisquare(seen, due).pvalue > 1e-3
    # The test sees the likelihood given to the bin before.
    shifted = log_weights(np.roll(log_likelihood, -1, axis=0), initial, transition)
    wrong = n * np.exp(shifted - logsumexp(shifted))
    assert np.abs(times - wrong).sum() / n > 0.2


def test_impossible_steps_are_never_drawn():
    """States 0 -> 1 -> 2 -> 0 only, and a likelihood that would rather have others; scales far from 1."""
    rng = np.random.default_rng(1)
    transition = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    log_likelihood = rng.normal(-1e4, 3.0, (T, 3))
    log_likelihood[4] = [-1e4, -np.inf, -1e4]
    path = np.empty(T, dtype=np.int64)
    for _ in range(500):
        total = sp.sample_path(rng, log_likelihood, STARTS, np.array([0.5, 0.5, 0.0]), transition, path)
        assert np.isfinite(total)
        assert (np.diff(path)[[0, 1, 2, 3, 5, 6]] % 3 == 1).all()
        assert path[0] != 2
        assert path[5] != 2
        assert path[4] != 1


def test_transitions_are_counted_within_sequences():
    path = np.array([0, 0, 1, 2, 2, 1, 1, 0])
    out = np.full((3, 3), 7.0)
    sp.count_transitions(path, STARTS, out)
    np.testing.assert_array_equal(out, [[1, 1, 0], [1, 1, 1], [0, 0, 1]])


def test_tables():
    """Customers of row j at dish k sit at a new table with probability mass / (mass + n); a table of the row's own
    dish counts unless its dish came from stickiness.
    """
    rng = np.random.default_rng(2)
    alpha, sticky, beta = 2.0, 3.0, np.array([0.5, 0.3, 0.2])
    mass = alpha * beta[None, :] + sticky * np.eye(3)
    counts = np.array([[6.0, 2.0, 0.0], [1.0, 4.0, 1.0], [0.0, 3.0, 2.0]])
    expected, variance = np.zeros(3), np.zeros(3)
    for j, k in itertools.product(range(3), repeat=2):
        n = np.arange(counts[j, k])
        p = mass[j, k] / (mass[j, k] + n) * (alpha * beta[k] / mass[j, k])
        expected[k] += p.sum()
        variance[k] += (p * (1 - p)).sum()
    n = 20_000
    draws, out = np.empty((n, 3)), np.empty(3)
    for draw in draws:
        sp.sample_tables(rng, counts, mass, sticky, out)
        draw[:] = out
    assert (np.abs(draws.mean(axis=0) - expected) < 4 * np.sqrt(variance / n)).all()
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.05)


def test_compiled_and_plain_agree(chain):
    _, log_likelihood, initial, transition = chain
    paths, tables = np.empty((2, T), dtype=np.int64), np.empty((2, 2))
    totals = []
    for k, plain in enumerate((False, True)):
        rng = np.random.default_rng(3)
        sample, count, seat = (
            f.py_func if plain else f for f in (sp.sample_path, sp.count_transitions, sp.sample_tables)
        )
        totals.append(sample(rng, log_likelihood, STARTS, initial, transition, paths[k]))
        counts = np.empty((S, S))
        count(paths[k], STARTS, counts)
        seat(rng, counts, np.array([[2.0, 0.3], [0.5, 1.7]]), 1.0, tables[k])
    np.testing.assert_array_equal(paths[0], paths[1])
    np.testing.assert_array_equal(tables[0], tables[1])
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)
