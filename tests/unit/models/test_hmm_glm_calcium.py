"""From fluorescence to states and couplings: deconvolved events as counts of the HMM-GLM."""

from __future__ import annotations

import numpy as np
import xarray as xr

import neurodata as nd

RATE, N_FRAMES = 30.0, 6000


def recording() -> tuple[xr.DataTree, np.ndarray]:
    """Calcium of four cells in two states: cell 0 drives cell 1 in the next frame, the state sets the rates."""
    rng = np.random.default_rng(4)
    state = (np.arange(N_FRAMES) // 150) % 2
    level = np.log(np.array([[0.25, 0.08, 0.05, 0.2], [0.05, 0.08, 0.25, 0.2]]))
    spikes = np.zeros((N_FRAMES, 4))
    for t in range(1, N_FRAMES):
        eta = level[state[t]].copy()
        eta[1] += 1.5 * spikes[t - 1, 0]
        spikes[t] = rng.random(4) < 1 - np.exp(-np.exp(eta))
    trace = np.zeros_like(spikes)
    for t in range(1, N_FRAMES):
        trace[t] = np.exp(-1 / (0.5 * RATE)) * trace[t - 1] + spikes[t]
    trace += 0.1 * rng.standard_normal(trace.shape)
    node = nd.make_calcium(dff=trace, roi=["w", "x", "y", "z"], sampling_rate=RATE)
    return nd.make_recording(calcium=node), state


def test_states_and_couplings_come_back_from_fluorescence(tmp_path):
    rec, state = recording()
    events = nd.preprocess.deconvolve(rec["calcium"].to_dataset(), decay=0.5)
    counts = nd.preprocess.events_to_counts(events)
    fit = nd.models.HMMGLM(n_states=2, prior="onehot", history=2 / RATE, n_basis=1, n_restarts=2, rng=0).fit(counts)
    assert fit.intercept_["unit"].values.tolist() == ["w", "x", "y", "z"]
    path = fit.predict(counts).values
    agreement = np.mean(path[10:] == state[10:])
    assert max(agreement, 1 - agreement) > 0.8
    probability = fit.connection_prob_.sel(connection="excitatory").mean("state")
    others = probability.where(~np.eye(4, dtype=bool))
    assert float(others.sel(post="x", pre="w")) == float(others.max())
    assert float(others.max()) > 0.9
    train, test = next(nd.preprocess.train_test_blocks(counts, n_splits=3, gap=0.2))
    assert fit.fit(train).score(test) > 0.05
    again = nd.models.load(fit.save(tmp_path / "fit.nc"))
    assert again.score(test) == fit.score(test)


def test_what_the_default_preparation_gives_can_be_fitted():
    rec, _ = recording()
    counts = nd.validate.Prepare(0.005, decay=0.5)(rec)
    assert counts.attrs["bin_width"] == 1 / RATE  # a frame, the shortest there is
    fit = nd.models.HMMGLM(n_states=1, prior=None, history=2 / RATE, n_basis=1).fit(counts)
    assert np.isfinite(fit.weight_).all()
