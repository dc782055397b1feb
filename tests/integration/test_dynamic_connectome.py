"""DynamicConnectome on real calcium, binned rates and envelopes, and on spiking circuits whose blocks are known."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

import neurodata as nd
from neurodata.cli.analyses import connectome
from neurodata.cli.analyses.base import Settings
from neurodata.simulate import Latent, zoo

WORMS = "calcium/celegans_neuropal"
MAPPING = {"calcium/fluorescence": "gcamp/trace_array", "calcium/time": "timing/timestamp_confocal"}
FEW = {"n_restarts": 2, "communities": {"n_chains": 2}, "n_surrogates": 20, "rng": 0}
# Graphs of noise may have no links, and short fits need not settle; the tests look at what matters here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:no pair follows"),
    pytest.mark.filterwarnings("ignore:motifs did not settle"),
]


@pytest.mark.real
def test_calcium_of_a_worm_that_meets_food(real_load):
    data = real_load(f"{WORMS}/2022-01-16-01-data.h5", reader="hdf5", mapping=MAPPING)["calcium"]["fluorescence"]
    time = data["time"].values
    model = nd.models.DynamicConnectome(4, **FEW).fit(data, {"after": [(time[324], np.inf)]})
    # Frame 325 of 799 is the encounter. Worms without one have such p values at that frame too: they drift.
    assert float(model.atlas_["stage_p_value"][0]) < 0.01
    assert 0.0 < float(model.atlas_["detrended_p_value"][0]) <= 1.0
    np.testing.assert_array_equal(model.time_factor_["time"], time)
    np.testing.assert_array_equal(model.community_["roi"], data["roi"])
    linked = model.graph_.values > 0
    assert 0.001 < linked.mean() < 0.5
    # Communities are of units with links, and only of those.
    np.testing.assert_array_equal(linked.any(axis=2), model.community_.values >= 0)


@pytest.mark.real
def test_binned_rates_predict_stretches_that_were_not_fitted(real_load):
    rec = real_load(
        "spikes/allen_719161530/Y.csv",
        reader="table",
        node="counts",
        bin_width=0.5,
        dims=("unit", "time"),
        start=2822.16,
    )
    counts = rec["spikes"]["counts"]
    rate = np.sqrt(counts.isel(unit=np.flatnonzero(counts.sum("time").values >= 100)).astype(float))
    # A gap of the reach of the smoothing (five time constants of ten samples) is left between.
    train, test = rate.isel(time=slice(0, 520)), rate.isel(time=slice(570, None))
    three = nd.models.DynamicConnectome(3, **FEW).fit(train)
    assert three.graph_["unit"].values.tolist() == rate["unit"].values.tolist()
    # Nothing predicted is 0; patterns with the pairs shuffled are worse than those that were found.
    found = three.score(test)
    shuffled = pickle.loads(pickle.dumps(three))
    order = np.random.default_rng(0).permutation(rate.sizes["unit"])
    shuffled.pair_factor_ = three.pair_factor_.copy(data=three.pair_factor_.values[:, order][:, :, order])
    assert found > 0.0
    assert found > shuffled.score(test) + 0.01


@pytest.mark.real
def test_envelopes_of_eeg_group_neighbours(real_load):
    """Volume conduction and one reference make neighbours alike: linked channels are close to each other."""
    rec = real_load("eeg/physionet_eegmmi/S001R04.edf")
    traces, remarks = connectome.traces_of(rec, Settings())
    assert traces.dims == ("time", "channel")
    assert any("Envelopes" in line for line in remarks)
    assert traces.sizes["time"] == pytest.approx(10 * float(rec["eeg"]["time"][-1]), abs=30)
    model = nd.models.DynamicConnectome(3, **FEW).fit(traces)
    strength = model.graph_.sum("motif")
    name = {str(channel).strip(".").upper(): channel for channel in traces["channel"].values}
    near = [("C3", "C1"), ("CP3", "CP1"), ("P3", "P1"), ("F3", "F1"), ("C4", "C2"), ("P4", "P2")]
    far = [("F3", "P4"), ("C3", "O2"), ("F7", "P8"), ("T7", "C4"), ("AF3", "PO4"), ("F4", "P3")]

    def mean(pairs):
        return np.mean([float(strength.sel(channel=name[a], channel_2=name[b])) for a, b in pairs])

    assert mean(near) > 2.0 * mean(far)


def grouped(seed: int, strength: float):
    """Unconnected neurons in three groups, each with a slow drive of its own of `strength` mV."""
    circuit = zoo.null(n=18, rng=seed)
    group = np.arange(18) % 3
    latents = tuple(Latent(3.0, strength * np.equal(group, k)) for k in range(3))
    populations, begin = [], 0
    for population in circuit.populations:
        populations.append(dataclasses.replace(population, cluster=group[begin : begin + population.n]))
        begin += population.n
    return circuit.replace(latents=latents, populations=tuple(populations))


def asked(strength: float):
    circuits = [grouped(seed, strength) for seed in range(2)]
    rec = nd.simulate.run(circuits[0], 300.0, rng=0)
    return nd.validate.trust(nd.models.DynamicConnectome(3, **FEW), rec, circuits=circuits, rng=0, quiet=True)


def test_trust_finds_groups_with_a_drive_of_their_own():
    found = asked(2.0)
    assert found["error"].values.tolist() == ["", ""]
    assert "cluster" in found.attrs["claims"]
    assert (found["score"].sel(metric="cluster_ari") > 0.8).all()
    assert "Groups of units that share a slow drive are found" in found.attrs["verdict"]


def test_trust_does_not_make_up_groups():
    # Adjusted Rand index 0 is guessing; labels of nothing that agree to a quarter would be a leak of the truth.
    assert (abs(asked(0.0)["score"].sel(metric="cluster_ari")) < 0.25).all()
