"""The number of states of an HMMGLM, from networks whose couplings alone tell the states apart.

The networks are those of Li et al. 2024 (arXiv:2310.15263, section 5.1), drawn here by plain loops. Over six other
networks of each size (`benchmarks/bench_hmm_select.py`) one state too few cost 0.014 bits/spike or more, and one too
many gained at most 0.0002; all eighteen choices were right.
"""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.models.hmm_glm.selection import _fit_bic

N_UNITS, N_LAGS, N_BINS, N_SEQUENCES, STAY, BIN_WIDTH = 20, 5, 1000, 5, 0.98, 0.02


def simulate(n_states: int, seed: int):
    """Five sequences of counts; rates are the same in all states, couplings differ."""
    rng = np.random.default_rng(seed)
    weight = np.zeros((n_states, N_UNITS, N_UNITS))
    for post in range(N_UNITS):
        for pre in range(N_UNITS):
            odds = rng.dirichlet([0.2, 1.6, 0.2])
            for s in range(n_states):
                weight[s, post, pre] = rng.choice([-1.0, 0.0, 1.0], p=odds) * np.log1p(rng.uniform(0.0, 3.0))
    intercept = rng.uniform(-0.05, 0.05, N_UNITS)
    course = np.exp(-np.arange(1.0, N_LAGS + 1.0))
    course /= course.sum()
    sequences = []
    for _ in range(N_SEQUENCES):
        counts, state = np.zeros((N_BINS, N_UNITS)), int(rng.integers(n_states))
        for t in range(N_BINS):
            if rng.random() > STAY:
                state = (state + int(rng.integers(1, n_states))) % n_states
            past = sum(course[k] * counts[t - 1 - k] for k in range(N_LAGS) if t > k)
            counts[t] = rng.poisson(1.0 / (1.0 + np.exp(-intercept - weight[state] @ (past * np.ones(N_UNITS)))))
        sequences.append(make_counts(counts, BIN_WIDTH))
    return sequences


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize(("n_states", "seed"), [(2, 100), (3, 101), (5, 102)])
def test_cosmoothing_finds_the_number_of_states(n_states, seed):
    model = nd.models.HMMGLM(link="sigmoid", basis="exponential", history=N_LAGS * BIN_WIDTH, n_restarts=3, rng=0)
    around = [n_states - 1, n_states, n_states + 1]
    table = nd.models.select_n_states(model, simulate(n_states, seed), around, n_folds=3)
    assert int(table["best_by_cosmoothing"]) == n_states
    gain = table["mean_cosmoothing"].sel(n_states=n_states) - table["mean_cosmoothing"]
    # A third of the smallest cost seen; a model that cannot tell the states apart loses next to nothing.
    assert float(gain.sel(n_states=n_states - 1)) > 0.005


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize(("n_states", "seed"), [(2, 100), (3, 101)])
def test_bic_finds_the_number_of_states_when_it_counts_what_the_data_settle(n_states, seed):
    sequences = simulate(n_states, seed)
    bic, all_counted = [], []
    for n in range(1, n_states + 2):
        model = nd.models.HMMGLM(
            n_states=n, link="sigmoid", basis="exponential", history=N_LAGS * BIN_WIDTH, n_restarts=3, rng=0
        ).fit(sequences)
        free = n * n - 1
        bic.append(_fit_bic(model, sequences, None))
        coefficients = n * N_UNITS * (N_UNITS + 1) + free
        all_counted.append(-2.0 * float(model.log_likelihood_[-1]) + coefficients * np.log(N_BINS * N_SEQUENCES))
    assert 1 + int(np.argmin(bic)) == n_states
    # Couplings that the prior holds at none would otherwise cost more than the states are worth.
    assert 1 + int(np.argmin(all_counted)) == 1
