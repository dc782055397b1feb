"""Tests of connections: what is left to chance, what a shared slow drive does to them, and models without couplings."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.stats import kstest

import neurodata as nd
from neurodata.errors import OptionError
from neurodata.models.hmm_glm.slow_activity import slow_activity
from neurodata.models.sequences import read_counts

N_UNITS, N_BINS, BIN = 10, 20_000, 0.01
SETTINGS = {"n_states": 1, "prior": None, "history": 0.05, "n_basis": 2}


def counts_of(*, drive: float = 0.0, coupled: bool = False, seed: int = 0) -> xr.DataArray:
    """Poisson counts at 0.15 per bin, under a slow drive that all follow by measures of their own; 0 -> 1 excites."""
    rng = np.random.default_rng(seed)
    slow = gaussian_filter1d(rng.standard_normal(N_BINS), 0.4 / BIN)
    slow /= slow.std()
    base = np.log(0.15) + drive * np.outer(slow, rng.uniform(0.5, 1.5, N_UNITS) * rng.choice([-1, 1], N_UNITS))
    counts = np.zeros((N_BINS, N_UNITS))
    counts[0] = rng.poisson(np.exp(base[0]))
    for t in range(1, N_BINS):
        eta = base[t].copy()
        if coupled:
            eta[1] += 1.0 * min(counts[t - 1, 0], 2)
            eta[3] -= 1.5 * min(counts[t - 1, 2], 2)
        counts[t] = rng.poisson(np.exp(eta))
    return nd.containers.make_counts(counts, bin_width=BIN)


def fitted(counts: xr.DataArray, **settings: object) -> nd.models.HMMGLM:
    return nd.models.HMMGLM(**{**SETTINGS, **settings}, rng=0).fit(counts)


def test_uniform_p_values_without_any_connection():
    counts = counts_of()
    tests = fitted(counts).test_connections(counts, null="theoretical")
    p = tests.p.values[np.isfinite(tests.p.values)]
    assert p.size == N_UNITS * (N_UNITS - 1)
    assert kstest(p, "uniform").pvalue > 0.01
    assert not tests.connected.any()


def test_connections_are_found_with_their_signs():
    counts = counts_of(coupled=True)
    tests = fitted(counts, prior="onehot").test_connections(counts)
    assert bool(tests.connected[0, 1, 0])
    assert bool(tests.connected[0, 3, 2])
    assert float(tests.z[0, 1, 0]) > 5
    assert float(tests.z[0, 3, 2]) < -4
    assert int(tests.connected.sum()) <= 3


def test_slow_drive_makes_no_connections_but_would_if_ignored():
    counts = counts_of(drive=0.4)
    model = fitted(counts)
    tests = model.test_connections(counts, null="theoretical", control="pair")
    ignored = model.test_connections(counts, null="theoretical", control="pair", slow=None)
    pairs = N_UNITS * (N_UNITS - 1)
    assert tests.attrs["n_slow_components"] == 1
    assert ignored.attrs["n_slow_components"] == 0
    assert float(ignored.connected.sum()) / pairs > 0.2
    # 5 % of 90 pairs, and 2.5 binomial standard deviations.
    assert float(tests.connected.sum()) / pairs <= 0.107


def test_connection_is_found_under_the_drive():
    counts = counts_of(drive=0.4, coupled=True)
    tests = fitted(counts).test_connections(counts)
    assert bool(tests.connected[0, 1, 0])
    assert bool(tests.connected[0, 3, 2])
    assert int(tests.connected.sum()) <= 4


def test_control_and_level_decide():
    counts = counts_of(coupled=True)
    model = fitted(counts)
    pair, rate = (model.test_connections(counts, level=0.2, control=c) for c in ("pair", "fdr"))
    np.testing.assert_array_equal(pair.connected, pair.p.fillna(1.0) <= 0.2)
    np.testing.assert_array_equal(rate.connected, rate.q.fillna(1.0) <= 0.2)
    assert int(pair.connected.sum()) > int(rate.connected.sum())
    np.testing.assert_allclose(rate.z, rate.weight / rate.weight_se)


def test_units_with_themselves_and_silent_units_are_not_tested():
    counts = counts_of()
    counts[:, 4] = 0
    tests = fitted(counts).test_connections(counts)
    untested = np.eye(N_UNITS, dtype=bool)
    untested[4] = untested[:, 4] = True
    for name in ("z", "p", "q", "weight"):
        np.testing.assert_array_equal(np.isnan(tests[name].values[0]), untested)
    assert not tests.connected.values[0][untested].any()


def test_every_state_is_tested():
    counts = counts_of()
    tests = fitted(counts, n_states=2, n_restarts=1, max_iter=5, tol=1.0).test_connections(counts)
    assert tests.z.shape == (2, N_UNITS, N_UNITS)
    assert tests.null_width.dims == ("state",)


def test_options_that_make_no_sense_are_named_together():
    counts = counts_of()
    model = fitted(counts)
    with pytest.raises(OptionError, match="level.*control.*null.*slow"):
        model.test_connections(counts, level=2.0, control="none", null="mine", slow=-1.0)


def test_slow_components_are_as_many_as_there_are_drives():
    sequences = read_counts(counts_of(drive=0.4))
    assert slow_activity(sequences, 0.1).shape == (N_BINS, 1)
    assert slow_activity(read_counts(counts_of()), 0.1).shape == (N_BINS, 0)


def test_own_bin_is_not_in_the_slow_activity():
    counts = counts_of(drive=0.4)
    other = counts.copy()
    other[10_000, 2] = 5
    before, after = (slow_activity(read_counts(one), 0.1)[10_000, 0] for one in (counts, other))
    # One count moves the scale and the direction of the component a little, but is not in the value at its own bin.
    assert abs(before - after) < 0.02
    nearby = slow_activity(read_counts(other), 0.1)[10_005, 0] - slow_activity(read_counts(counts), 0.1)[10_005, 0]
    assert abs(nearby) > 2 * abs(before - after)


def test_model_without_couplings():
    counts = counts_of(coupled=True)
    alone = fitted(counts, couplings=False, n_states=2, n_restarts=1, max_iter=10, tol=1e-4)
    assert not alone.weight_.values.any()
    assert alone.basis_shape_.sizes["basis"] == 0
    assert np.isfinite(alone.cosmoothing(counts, [0]))
    assert alone.simulate(20, rng=0).counts.shape == (20, N_UNITS)
    with pytest.raises(OptionError, match="couplings"):
        alone.test_connections(counts)


def test_one_state_without_couplings_is_the_mean_rate():
    counts = counts_of(coupled=True)
    alone, whole = fitted(counts, couplings=False, ridge=0.0), fitted(counts)
    mean = counts.values[5:].mean(axis=0)
    np.testing.assert_allclose(np.exp(alone.intercept_.values[0]), mean, rtol=1e-6)
    assert abs(alone.score(counts)) < 1e-4 < whole.score(counts)


def test_own_history_without_couplings(tmp_path):
    counts = counts_of()
    alone = fitted(counts, couplings=False, self_history=0.03)
    off = ~np.eye(N_UNITS, dtype=bool)
    assert not alone.weight_.values[0][off].any()
    assert alone.weight_.values[0].diagonal().all()
    alone.save(tmp_path / "model.nc")
    assert nd.models.load(tmp_path / "model.nc").score(counts) == pytest.approx(alone.score(counts))
