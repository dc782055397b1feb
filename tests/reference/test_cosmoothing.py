"""Co-smoothing by enumerating all paths of states, and the number of states it chooses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import poisson

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import OptionError


def switching_counts(n_bins, n_units, n_states, seed):
    """Counts whose rates, not couplings, switch: about 60 bins per state."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(-1.0, 0.8, (n_states, n_units)))
    state = np.empty(n_bins, dtype=int)
    now = 0
    for t in range(n_bins):
        if rng.random() < 1 / 60:
            now = (now + 1 + rng.integers(n_states - 1)) % n_states
        state[t] = now
    return make_counts(rng.poisson(rate[state]), 0.02)


def test_cosmoothing_against_all_paths():
    counts = switching_counts(400, 4, 2, 0)
    model = nd.models.HMMGLM(n_states=2, history=0.02, n_basis=1, n_restarts=1, rng=0).fit(counts)
    test = counts.isel(time=slice(0, 8))
    x = test.values
    weight, intercept = model.weight_.values, model.intercept_.values
    start, move = model.initial_.values, model.transition_.values
    held = [1, 3]
    rest = [0, 2]
    # The first bin has no history, so it says nothing.
    mean = np.ones((8, 2, 4))
    for t in range(1, 8):
        mean[t] = np.exp(intercept + weight @ x[t - 1])
    gamma = np.zeros((8, 2))
    for path in itertools.product(range(2), repeat=8):
        p = start[path[0]] * np.prod([move[a, b] for a, b in itertools.pairwise(path)])
        for t in range(1, 8):
            p *= poisson.pmf(x[t, rest], mean[t, path[t]][rest]).prod()
        for t, s in enumerate(path):
            gamma[t, s] += p
    gamma /= gamma.sum(axis=1, keepdims=True)
    total = base = 0.0
    for t in range(1, 8):
        total += np.log(sum(gamma[t, s] * poisson.pmf(x[t, held], mean[t, s][held]).prod() for s in range(2)))
        base += poisson.logpmf(x[t, held], model.rate_.values[held]).sum()
    spikes = x[1:, held].sum()
    assert model.cosmoothing(test, held) == pytest.approx((total - base) / spikes / np.log(2), rel=1e-9)


def test_units_that_are_not_there_are_refused():
    counts = switching_counts(200, 3, 2, 1)
    model = nd.models.HMMGLM(n_states=1, history=0.02, n_basis=1, rng=0).fit(counts)
    for wrong in ([], [0, 1, 2], [7]):
        with pytest.raises(OptionError, match="held_out_units"):
            model.cosmoothing(counts, wrong)


@pytest.mark.statistical
def test_the_number_of_states_is_found():
    # Rates differ by a factor of about two between states and dwell times are long: every criterion must see three.
    counts = switching_counts(3000, 10, 3, 4)
    model = nd.models.HMMGLM(history=0.02, n_basis=1, n_restarts=3, rng=0)
    table = nd.models.select_n_states(model, counts, [1, 2, 3, 4], n_folds=3)
    assert int(table["best_by_cosmoothing"]) == 3
    assert int(table["best_by_bic"]) == 3
    assert float(table["mean_cosmoothing"][2]) > float(table["mean_cosmoothing"][1])
