"""Affinities and motifs of real whole-brain calcium."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd

pytestmark = pytest.mark.real

WORMS = "calcium/celegans_neuropal"
MAPPING = {"calcium/fluorescence": "gcamp/trace_array", "calcium/time": "timing/timestamp_confocal"}
PAIRS = ("roi", "roi_2")


def traces(real_load, name):
    rec = real_load(f"{WORMS}/{name}", reader="hdf5", mapping=MAPPING)
    return rec["calcium"]["fluorescence"]


def test_motifs_of_a_worm_streamed_and_made(real_load):
    data = traces(real_load, "2022-07-27-31-data.h5")
    stream = nd.models.differential_affinity(data, smoothing=3.0)
    tensor = stream.to_dataarray()
    assert tensor.shape == (800, 145 * 144 // 2)
    assert np.isfinite(tensor).all()
    assert float(tensor.min()) >= 0.0
    assert float(tensor.max()) <= 1.0
    # Ungated affinities of derivatives of such recordings have a mean of two thirds: silence would look like coupling.
    assert float(tensor.mean()) < 0.3
    model = nd.models.NonnegativeCP(5, symmetric=PAIRS, n_restarts=3, rng=0).fit(tensor)
    assert model.converged_
    assert model.stability_ > 0.9
    np.testing.assert_array_equal(model.factor_["time"]["time"], data["time"])
    np.testing.assert_array_equal(model.factor_["roi"]["roi"], data["roi"])
    streamed = nd.models.NonnegativeCP(5, symmetric=PAIRS, n_restarts=1, max_iter=10, rng=0).fit(stream)
    made = nd.models.NonnegativeCP(5, symmetric=PAIRS, n_restarts=1, max_iter=10, rng=0).fit(tensor)
    assert streamed.relative_error_ == pytest.approx(made.relative_error_, rel=1e-5)


def test_motifs_are_in_data_that_were_not_fitted_and_not_in_shifted_traces(real_load):
    """The first 9/10 predict the rest better than motifs of traces each turned by its own time do."""
    data = traces(real_load, "2022-07-26-38-data.h5")
    rng = np.random.default_rng(0)
    turned = data.copy(data=np.stack([np.roll(x, rng.integers(100, 700)) for x in data.values.T], axis=1))
    scores = []
    for one in (data, turned):
        tensor = nd.models.differential_affinity(one, smoothing=3.0, scale="rms").to_dataarray()
        # The scale of each trace is over the whole recording; a gap of the smoothing's reach is left between.
        train, test = tensor.isel(time=slice(0, 700)), tensor.isel(time=slice(730, None))
        scores.append(nd.models.NonnegativeCP(5, symmetric=PAIRS, n_restarts=2, rng=0).fit(train).score(test))
    assert scores[0] > scores[1] + 0.005


def test_worms_with_other_neurons_share_what_they_have(real_load):
    """Two worms one after the other, neurons aligned by label; a third of each worm's are its own."""
    worms = []
    for k, name in enumerate(("2022-07-26-31-data.h5", "2022-07-27-38-data.h5")):
        data = traces(real_load, name).isel(roi=slice(0, 60))
        worms.append(data.assign_coords(roi=[f"n{i}" if i < 40 else f"worm {k} n{i}" for i in range(60)]))
    streams = [nd.models.differential_affinity(data) for data in worms]
    model = nd.models.NonnegativeCP(3, symmetric=PAIRS, n_restarts=1, max_iter=100, rng=0).fit(streams)
    assert model.factor_["roi"].sizes["roi"] == 80
    assert model.factor_["time"].sizes["time"] == 1600
    assert np.isfinite(model.factor_["roi"]).all()
