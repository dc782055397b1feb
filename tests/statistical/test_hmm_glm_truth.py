"""HMMGLM on data simulated from the model with known states and couplings.

The yardstick is decoding with the true parameters: no fit can be expected to find more states right than that. Over
seeds 0 to 4 the fit lost at most 0.007 of the bins to it (threshold 0.02), 0.937 to 0.973 of the errors of the weights
were within two standard errors (threshold 0.90: 0.95 less four binomial standard errors of 300 weights), and weights
correlated with the truth at 0.835 to 0.878 (threshold 0.75).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import neurodata as nd
from neurodata.containers import make_counts

N_UNITS, N_STATES, N_BINS, STAY = 10, 3, 6000, 0.98


def simulate(seed: int):
    """Counts, states, intercepts and weights by plain loops, independent of the model's own simulation."""
    rng = np.random.default_rng(seed)
    intercept = np.log(0.25) + rng.normal(0, 0.5, (N_STATES, N_UNITS))
    weight = rng.choice([0.0, 0.3, -0.5], p=[0.8, 0.1, 0.1], size=(N_STATES, N_UNITS, N_UNITS))
    state = np.zeros(N_BINS, dtype=int)
    counts = np.zeros((N_BINS, N_UNITS))
    for t in range(1, N_BINS):
        state[t] = state[t - 1] if rng.random() < STAY else rng.integers(N_STATES)
        eta = intercept[state[t]] + weight[state[t]] @ counts[t - 1]
        counts[t] = rng.poisson(np.exp(np.minimum(eta, 3.0)))
    return counts, state, intercept, weight


def decode(counts, intercept, weight) -> np.ndarray:
    """Most probable state of each bin under known parameters: forward-backward in log space, by plain loops."""
    log_stay, log_go = np.log(STAY + (1 - STAY) / N_STATES), np.log((1 - STAY) / N_STATES)
    transition = np.where(np.eye(N_STATES, dtype=bool), log_stay, log_go)
    likelihood = np.zeros((N_BINS, N_STATES))
    for s in range(N_STATES):
        eta = np.minimum(intercept[s] + counts[:-1] @ weight[s].T, 3.0)
        likelihood[1:, s] = (counts[1:] * eta - np.exp(eta)).sum(axis=1)
    forward, backward = np.zeros_like(likelihood), np.zeros_like(likelihood)
    for t in range(1, N_BINS):
        forward[t] = likelihood[t] + np.logaddexp.reduce(forward[t - 1][:, None] + transition, axis=0)
    for t in range(N_BINS - 2, -1, -1):
        backward[t] = np.logaddexp.reduce(transition + likelihood[t + 1] + backward[t + 1], axis=1)
    return (forward + backward).argmax(axis=1)


@pytest.mark.statistical
@pytest.mark.parametrize("seed", [11, 12])
def test_states_and_couplings_are_recovered(seed):
    counts, state, intercept, weight = simulate(seed)
    data = make_counts(counts, 0.02)
    model = nd.models.HMMGLM(n_states=N_STATES, basis="exponential", history=0.02, ridge=1.0, rng=0).fit(data)
    path = model.predict(data).values
    confusion = np.array([[np.sum((path == a) & (state == b)) for b in range(N_STATES)] for a in range(N_STATES)])
    found, true = linear_sum_assignment(-confusion)
    accuracy = confusion[found, true].sum() / N_BINS
    possible = np.mean(decode(counts, intercept, weight) == state)
    assert accuracy >= possible - 0.02
    estimate = model.weight_.values[found]
    error = (estimate - weight[true]) / model.weight_se_.values[found]
    assert np.mean(np.abs(error) < 2) > 0.90
    assert np.corrcoef(estimate.ravel(), weight[true].ravel())[0, 1] > 0.75


@pytest.mark.statistical
def test_states_predict_held_out_data_better_than_one_state_only_where_there_are_states():
    counts, *_ = simulate(21)
    rng = np.random.default_rng(3)
    constant = rng.poisson(np.tile(counts.mean(axis=0), (N_BINS, 1))).astype(float)
    gain = {}
    for name, values in (("states", counts), ("none", constant)):
        data = make_counts(values, 0.02)
        train, test = next(nd.preprocess.train_test_blocks(data, n_splits=4, gap=0.1))
        scores = [
            nd.models.HMMGLM(n_states=n, basis="exponential", history=0.02, rng=0).fit(train).score(test)
            for n in (1, N_STATES)
        ]
        gain[name] = scores[1] - scores[0]
    assert gain["states"] > 0.02
    assert gain["none"] < 0.005
