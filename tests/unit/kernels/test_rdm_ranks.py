"""Ranks, concordance and resampled rank correlations of RDMs against plain loops over copies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from neurodata.kernels.rdm_ranks_nb import concordance, dense_ranks, ranks_in_order, tied_pairs
from neurodata.kernels.rdm_resampling_nb import ranked_draws


def tied(seed: int, n_rows: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 6, (n_rows, n)).astype(float)


@pytest.mark.parametrize("compiled", [True, False])
def test_ranks_of_copies_are_those_of_the_written_out_vector(compiled):
    values, weight = tied(0, 3, 12), np.random.default_rng(1).integers(0, 4, 12)
    run = ranks_in_order if compiled else ranks_in_order.py_func
    found = run(values, np.argsort(values, axis=1), weight.astype(float))
    for row, ranks in zip(values, found, strict=True):
        expected = stats.rankdata(np.repeat(row, weight))
        np.testing.assert_allclose(np.repeat(ranks, weight), expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_concordance_counts_all_pairs_of_copies(compiled):
    a, b, weight = tied(0, 2, 10), tied(1, 3, 10), np.random.default_rng(2).integers(0, 3, 10)
    order_a, order_b = np.argsort(a, axis=1), np.argsort(b, axis=1)
    rank_a, _ = dense_ranks(a, order_a)
    rank_b, tied_b = dense_ranks(b, order_b)
    run = concordance if compiled else concordance.py_func
    found = run(order_a, rank_a, rank_b, tied_b, weight)
    for i, j in itertools.product(range(2), range(3)):
        x, y = np.repeat(a[i], weight), np.repeat(b[j], weight)
        pairs = itertools.combinations(range(x.size), 2)
        assert found[i, j] == sum(np.sign(x[p] - x[q]) * np.sign(y[p] - y[q]) for p, q in pairs)
    ties = [sum(n * (n - 1) / 2 for n in np.unique(np.repeat(row, weight), return_counts=True)[1]) for row in a]
    np.testing.assert_array_equal(tied_pairs(order_a, rank_a, weight), ties)


def test_resampled_ranks_compiled_and_not():
    rng = np.random.default_rng(3)
    stack = tied(4, 5, 15)
    counts = np.array([np.bincount(rng.integers(0, 6, 6), minlength=6) for _ in range(4)], dtype=float)
    subjects = np.array([np.bincount(rng.integers(0, 3, 3), minlength=3) for _ in range(4)], dtype=float)
    given = (stack, np.argsort(stack, axis=1), 3, counts, np.ones(15, dtype=bool), subjects, np.arange(3))
    for adjust in (True, False):
        fast, slow = (run(*given, adjust, True, 3) for run in (ranked_draws, ranked_draws.py_func))
        for one, other in zip(fast, slow, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
