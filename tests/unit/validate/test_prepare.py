"""Default preparation: from spikes or calcium to what each class takes; and the truth that goes with it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.validate import Prepare, prepare_for
from neurodata.validate.baselines import CrossCorrelation, LaggedRegression, Shuffle
from neurodata.validate.metrics import ALL, truth_for
from neurodata.validate.prepare import FORMS


@pytest.fixture(scope="module")
def spikes() -> xr.DataTree:
    """Unit "on" fires every 10 ms in condition 1 (0-1 s, 2-3 s) alone, "always" every 20 ms, "never" not at all."""
    fast = np.concatenate([np.arange(0.005, 1.0, 0.01), np.arange(2.005, 3.0, 0.01)])
    node = nd.make_spikes({"on": fast, "always": np.arange(0.011, 4.0, 0.02), "never": []}, support=[[0.0, 4.0]])
    trials = nd.make_trials({"start": [0.0, 1.0, 2.0, 3.0], "stop": [1.0, 2.0, 3.0, 4.0], "condition": [1, 0, 1, 0]})
    return nd.make_recording(spikes=node, trials=trials)


@pytest.fixture(scope="module")
def calcium() -> xr.DataTree:
    """30 Hz for 4 s; the jump of ROI 7 at frame 40 decays with 0.7 s."""
    time = np.arange(120)
    dff = np.where(time >= 40, np.exp(-(time - 40) / 30 / 0.7), 0.0)[:, None] + np.zeros((120, 2))
    dff[:, 1] = np.random.default_rng(0).normal(0.0, 0.01, 120)
    return nd.make_recording(calcium=nd.make_calcium(dff=dff, sampling_rate=30.0, roi=[7, 9]))


def test_counts_of_spikes(spikes):
    counts = Prepare(0.5)(spikes)
    assert counts["unit"].values.tolist() == ["on", "always", "never"]
    assert counts.sel(unit="on").values.tolist() == [50, 50, 0, 0, 50, 50, 0, 0]
    assert counts.attrs["bin_width"] == 0.5


def test_rates_conditions_and_trials_of_spikes(spikes):
    rates = Prepare(1.0, "traces")(spikes)
    assert rates.sel(unit="on").values.tolist() == [100, 0, 100, 0]
    means = Prepare(1.0, "conditions")(spikes)
    assert means.dims == ("condition", "unit")
    assert means.sel(unit="on").values.tolist() == [0.0, 100.0]
    assert means.sel(unit="always").values.tolist() == [50.0, 50.0]
    trials = Prepare(0.25, "trials")(spikes)["spikes"]
    assert trials.sizes == {"trial": 4, "time": 4, "unit": 3}
    assert trials.sel(unit="on").values.tolist() == [[25] * 4, [0] * 4, [25] * 4, [0] * 4]


def test_calcium_gets_whole_frames(calcium):
    for width, frames in ((0.002, 1), (0.04, 1), (0.1, 3), (0.5, 15)):
        counts = Prepare(width, decay=0.7)(calcium)
        assert counts.attrs["bin_width"] == pytest.approx(frames / 30)
        assert counts.sizes["time"] == 120 // frames
        assert counts["unit"].values.tolist() == [7, 9]
        (at,) = np.flatnonzero(counts.sel(unit=7))
        assert at == 40 // frames
    assert Prepare(1.0, "traces")(calcium).identical(calcium["calcium"].to_dataset()["dff"])
    with pytest.raises(MissingOptionError):
        Prepare(0.02)(calcium)  # neither decay nor indicator is known


def test_events_that_are_there_are_taken(calcium):
    amplitude = np.zeros((120, 2))
    amplitude[[10, 50], 0] = 2.0
    rec = nd.make_recording(calcium=nd.make_calcium(deconvolved=amplitude, sampling_rate=30.0, roi=[7, 9]))
    assert Prepare(0.02)(rec).sum("time").values.tolist() == [2, 0]


def test_defaults_by_class():
    class Mine(LaggedRegression):
        pass

    assert prepare_for(nd.models.HMMGLM()) == Prepare(0.005)
    assert prepare_for(LaggedRegression) == prepare_for(Shuffle(rng=0)) == prepare_for(Mine()) == Prepare(0.002)
    assert prepare_for(CrossCorrelation()) == Prepare(0.005)
    with pytest.raises(MissingOptionError, match=r"dict\n.*prepare="):
        prepare_for({})


def test_a_preparation_says_what_it_is_and_travels():
    for form in FORMS:
        prepare = Prepare(0.1, form, decay=0.5)
        assert pickle.loads(pickle.dumps(prepare)) == prepare
        assert eval(repr(prepare)) == prepare
        assert prepare.to_dict() == {"bin_width": 0.1, "form": form, "decay": 0.5}
    for wrong in ({"bin_width": 0.0}, {"bin_width": np.nan}, {"bin_width": 0.1, "form": "spikes"}):
        with pytest.raises(OptionError):
            Prepare(**wrong)


def test_recordings_it_cannot_use(spikes):
    behaviour = nd.make_recording(trials=spikes["trials"].to_dataset())
    with pytest.raises(RecordingError, match="spikes or calcium"):
        Prepare(0.1)(behaviour)
    with pytest.raises(RecordingError, match="with trials"):
        Prepare(0.1, "trials")(nd.make_recording(spikes=spikes["spikes"].to_dataset()))


@pytest.fixture(scope="module")
def simulated() -> xr.DataTree:
    return nd.simulate.run(nd.simulate.zoo.tuned(20, rng=0), 20.0, rng=0)


def test_truth_has_correlations_and_dissimilarities(simulated):
    truth = truth_for(simulated)
    counts = nd.bin_spikes(simulated, 0.05).values
    np.testing.assert_allclose(truth["correlation"], np.corrcoef(counts.T), atol=1e-12)
    node, trials = simulated["truth"].to_dataset(), simulated["trials"].to_dataset()
    drive = node["drive"].values.astype(float)
    means = []
    for condition in truth["condition"].values:
        frames = np.zeros(drive.shape[0], dtype=bool)
        for start, stop, shown in zip(trials["start"], trials["stop"], trials["condition"], strict=True):
            if shown == condition:
                frames |= (node["time"].values > start.item()) & (node["time"].values < stop.item())
        means.append(drive[frames].mean(axis=0))
    expected = [[np.mean((a - b) ** 2) for b in means] for a in means]
    np.testing.assert_allclose(truth["rdm"], expected, rtol=1e-9, atol=1e-12)
    same = xr.Dataset({"rdm": truth["rdm"] * 2})
    assert ALL["rdm_spearman"](same, truth) == pytest.approx(1.0)


def test_correlations_are_those_of_the_neurons_behind_each_unit(simulated):
    seen = nd.simulate.observe(simulated, [nd.simulate.Sorting(miss=0.3, merge=2, split=1)], rng=1)
    truth = truth_for(seen, simulated)
    counts = nd.bin_spikes(simulated, 0.05).values.astype(float)
    member = seen["truth"].to_dataset()["unit_neuron"].values
    trains = [sum(counts[:, n] for n in row[row >= 0]) for row in member]
    np.testing.assert_allclose(truth["correlation"], np.corrcoef(trains), atol=1e-12)
    assert (member >= 0).sum(axis=1).max() == 2
    assert not np.allclose(truth["correlation"], truth_for(seen)["correlation"], equal_nan=True)


def test_latents_survive_on_the_way_to_the_metrics():
    circuit = nd.simulate.zoo.null(10, rng=0)
    recording = nd.simulate.run(circuit, 10.0, rng=0)
    truth = truth_for(recording)
    assert "latent" in truth
    said = xr.Dataset({"latent": -3.0 * truth["latent"]})
    assert ALL["latent_r2"](said, truth) == pytest.approx(1.0)
