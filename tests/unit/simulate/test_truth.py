"""`/truth`: what it holds, what it says of recorded units after merges and splits, and that it survives a file."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import RecordingError
from neurodata.simulate import (
    OU,
    STDP,
    Bernoulli,
    Circuit,
    Connection,
    Explicit,
    Latent,
    Modulator,
    Population,
    States,
    Stimulus,
    run,
    unit_truth,
    without_truth,
    zoo,
)
from neurodata.simulate.truth import circuit_of, truth_of


@pytest.fixture(scope="module")
def full():
    """A recording whose truth has every variable there is."""
    n = 8
    rng = np.random.default_rng(0)
    circuit = Circuit(
        populations=(Population("E", 6, bias=20.0, noise=OU(3.5)), Population("I", 2, sign=-1, bias=20.0, cluster=1)),
        connections=(
            Connection("E", "E", Bernoulli(0.4), 0.5, 0.0012, plastic=True),
            Connection("I", "E", Bernoulli(0.4), 1.0, 0.002),
        ),
        stimuli=(Stimulus((0.2, 0.6), 0.1, rng.normal(size=(2, n)), (1, 0)),),
        states=States(2, 0.3, drive=rng.normal(size=(2, n)), coupling=rng.random((2, 2, 2))),
        latents=(Latent(0.2, rng.normal(size=n)), Latent(1.0, rng.normal(size=n))),
        plasticity=STDP(snapshot=0.5),
        modulator=Modulator(),
        name="full",
    )
    return run(circuit, 1.0, rng=1)


def test_truth_holds_the_drawn_graph(full):
    truth, network = truth_of(full), circuit_of(full).network()
    weight, delay = np.zeros((8, 8)), np.full((8, 8), np.nan)
    for pre in range(8):
        for e in range(network.first[pre], network.first[pre + 1]):
            weight[network.post[e], pre] = network.psp[e]
            delay[network.post[e], pre] = network.delay[e] * 1e-4
    np.testing.assert_array_equal(truth["weight"].values, weight)
    np.testing.assert_array_equal(truth["delay"].values, delay)
    np.testing.assert_array_equal(truth["exists"].values, weight != 0)
    assert truth["weight"].dims == ("post", "pre")
    assert truth["weight"].attrs["units"] == "mV"
    assert truth["sign"].values.tolist() == [1] * 6 + [-1] * 2
    assert truth["cell_type"].values.tolist() == ["excitatory"] * 6 + ["inhibitory"] * 2
    assert truth["population"].values.tolist() == ["E"] * 6 + ["I"] * 2
    assert truth["cluster"].values.tolist() == [-1] * 6 + [1] * 2
    assert truth["observed"].values.tolist() == [1] * 8
    assert truth["unit_neuron"].values.tolist() == [[i] for i in range(8)]


def test_truth_of_a_full_circuit_has_all_variables(full):
    truth = truth_of(full)
    sizes = {
        "state": ("time",),
        "block": ("neuron",),
        "state_drive": ("state_index", "neuron"),
        "state_gain": ("state_index", "neuron"),
        "coupling_gain": ("state_index", "post_block", "pre_block"),
        "latent": ("time", "latent"),
        "latent_loading": ("neuron", "latent"),
        "stimulus": ("time", "channel"),
        "tuning": ("channel", "neuron"),
        "modulator": ("time",),
        "drive": ("time", "neuron"),
        "weight_t": ("snapshot", "post", "pre"),
        "current_e": ("current_time", "current_population"),
        "current_i": ("current_time", "current_population"),
    }
    assert {name: truth[name].dims for name in sizes} == sizes
    np.testing.assert_allclose(truth["time"].values, (np.arange(200) + 0.5) * 0.005)
    assert truth["snapshot"].values.tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(truth["current_time"].values, np.arange(1, 1001) * 0.001)
    assert truth.attrs["duration"] == 1.0
    assert truth.attrs["circuit_hash"] == circuit_of(full).content_hash
    assert truth.attrs["engine"] == "numba"
    nd.check(full)


def test_currents_are_zero_where_nobody_projects(full):
    truth = truth_of(full)
    assert (truth["current_e"].sel(current_population="I") == 0).all()
    assert (truth["current_e"].sel(current_population="E") >= 0).all()
    assert (truth["current_i"].sel(current_population="E") <= 0).all()
    assert (truth["current_e"].sel(current_population="E") > 0).any()


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_recording_with_truth_survives_a_file(full, tmp_path, suffix):
    path = nd.save(full, tmp_path / f"rec{suffix}")
    again = nd.load(path)
    xr.testing.assert_identical(again["truth"].to_dataset(), full["truth"].to_dataset())
    xr.testing.assert_equal(again["spikes"].to_dataset(), full["spikes"].to_dataset())
    assert circuit_of(again).content_hash == circuit_of(full).content_hash
    xr.testing.assert_identical(unit_truth(again), unit_truth(full))


def test_without_truth_keeps_all_else_and_hides_truth(full):
    seen = without_truth(full)
    assert sorted(seen.children) == ["spikes", "trials"]
    xr.testing.assert_identical(seen["spikes"].to_dataset(), full["spikes"].to_dataset())
    assert "truth" in full.children
    text = repr(seen.to_dict()) + str({k: v.attrs for k, v in seen.to_dict().items()})
    assert "circuit" not in text.replace("Circuit", "circuit")


def test_unit_truth_without_stages_is_the_truth(full):
    truth, units = truth_of(full), unit_truth(full)
    np.testing.assert_array_equal(units["weight"].values, truth["weight"].values)
    np.testing.assert_allclose(units["delay"].values, truth["delay"].values)
    exists = truth["exists"].values.copy()
    np.fill_diagonal(exists, np.nan)
    np.testing.assert_array_equal(units["exists"].values, exists)
    for name in ("state", "latent", "stimulus", "modulator", "coupling_gain", "current_e"):
        xr.testing.assert_equal(units[name].variable, truth[name].variable)
    np.testing.assert_allclose(units["drive"].values, truth["drive"].values, rtol=1e-6)
    np.testing.assert_allclose(units["weight_t"].values, truth["weight_t"].values)


def seen(rec, unit_neuron, unit):
    """The recording as a sorter would have left it: other units, and the truth's map to neurons."""
    truth = truth_of(rec).drop_vars(["unit_neuron", "unit"])
    truth = truth.assign_coords(unit=unit).assign(unit_neuron=(("unit", "source"), np.asarray(unit_neuron)))
    out = without_truth(rec)
    return xr.DataTree.from_dict({"/": out.to_dataset(), "/spikes": out["spikes"].to_dataset(), "/truth": truth})


def small() -> xr.DataTree:
    """0 -> 1 (0.5 mV, 1 ms), 0 -> 2 (0.3 mV, 3 ms), 1 -> 3 (0.2 mV, 2 ms), 3 -> 0 (0.4 mV, 1 ms); 4 inhibits 2."""
    edges = Explicit([0, 0, 1, 3], [1, 2, 3, 0], [0.5, 0.3, 0.2, 0.4], [0.001, 0.003, 0.002, 0.001])
    circuit = Circuit(
        (Population("E", 4, cluster=[0, 0, 1, 1]), Population("I", 1, sign=-1, cluster=2)),
        (Connection("E", "E", edges), Connection("I", "E", Explicit([0], [2], [-1.0], [0.001]))),
    )
    return run(circuit, 0.1, rng=0)


def test_a_merge_sums_weights_and_has_an_edge_where_any_has():
    units = unit_truth(seen(small(), [[0, -1], [1, 2], [3, -1]], [10, 20, 30]))
    assert units["post"].values.tolist() == [10, 20, 30]
    weight = units["weight"]
    assert float(weight.sel(post=20, pre=10)) == pytest.approx(0.8)
    assert float(weight.sel(post=30, pre=20)) == pytest.approx(0.2)
    assert float(weight.sel(post=10, pre=30)) == pytest.approx(0.4)
    assert float(units["delay"].sel(post=20, pre=10)) == pytest.approx(0.002)  # mean of 1 and 3 ms
    assert float(units["exists"].sel(post=20, pre=10)) == 1.0
    assert float(units["exists"].sel(post=10, pre=20)) == 0.0
    assert np.isnan(np.diag(units["exists"].values)).all()
    assert units["cluster"].values.tolist() == [0, -1, 1]
    assert units["sign"].values.tolist() == [1, 1, 1]


def test_a_merge_of_excitatory_and_inhibitory_has_no_sign():
    units = unit_truth(seen(small(), [[0, -1], [1, 4]], [0, 1]))
    assert units["sign"].values.tolist() == [1, 0]
    assert units["cell_type"].values.tolist() == ["excitatory", ""]


def test_halves_of_a_split_are_not_scored_against_each_other():
    units = unit_truth(seen(small(), [[0], [0], [1], [4]], [5, 6, 7, 8]))
    exists = units["exists"]
    assert np.isnan(exists.sel(post=5, pre=6)).item()
    assert np.isnan(exists.sel(post=6, pre=5)).item()
    for half in (5, 6):  # both have the edges of their neuron
        assert float(exists.sel(post=7, pre=half)) == 1.0
        assert float(units["weight"].sel(post=7, pre=half)) == pytest.approx(0.5)
    assert float(exists.sel(post=8, pre=5)) == 0.0


def test_a_merge_and_a_split_that_share_a_neuron_are_not_scored():
    units = unit_truth(seen(small(), [[0, -1], [0, 1], [3, -1]], [0, 1, 2]))
    assert np.isnan(units["exists"].sel(post=1, pre=0)).item()
    assert float(units["weight"].sel(post=2, pre=1)) == pytest.approx(0.2)


def test_hidden_neurons_leave_no_row():
    units = unit_truth(seen(small(), [[2], [0]], [2, 0]))
    assert units["weight"].shape == (2, 2)
    assert float(units["weight"].sel(post=2, pre=0)) == pytest.approx(0.3)
    assert float(units["weight"].sel(post=0, pre=2)) == 0.0


def test_a_unit_without_a_neuron_has_no_edges_and_no_facts():
    """What a sorter makes of noise."""
    units = unit_truth(seen(small(), [[0], [-1]], [0, 1]))
    assert units["sign"].values.tolist() == [1, 0]
    assert units["cluster"].values.tolist() == [0, -1]
    assert units["weight"].values[1].tolist() == [0.0, 0.0]


def test_unknown_pairs_stay_unknown():
    rec = small()
    exists = rec["truth"]["exists"].values.copy()
    exists[3, 0] = np.nan
    rec["truth"] = rec["truth"].to_dataset().assign(exists=(("post", "pre"), exists))
    assert np.isnan(unit_truth(rec)["exists"].sel(post=3, pre=0)).item()
    merged = unit_truth(seen(rec, [[0, -1], [1, 3]], [0, 1]))
    assert float(merged["exists"].sel(post=1, pre=0)) == 1.0  # the known edge 0 -> 1 settles it
    merged = unit_truth(seen(rec, [[0, -1], [2, 3]], [0, 1]))
    assert float(merged["exists"].sel(post=1, pre=0)) == 1.0
    merged = unit_truth(seen(rec, [[0, 4], [3, -1]], [0, 1]))
    assert np.isnan(merged["exists"].sel(post=1, pre=0)).item()


def test_above_2000_neurons_the_truth_is_a_list_of_edges():
    n = 2001
    edges = Explicit([0, 5, 5], [2000, 7, 8], [0.5, 0.2, 0.3], [0.001, 0.002, 0.003])
    circuit = Circuit((Population("E", n),), (Connection("E", "E", edges),), frame=0.01)
    rec = run(circuit, 0.02, rng=0)
    truth = truth_of(rec)
    assert "weight" not in truth
    assert "post" not in truth.coords
    found = {
        (int(a), int(b)): (float(w), round(float(d), 6))
        for a, b, w, d in zip(
            truth["edge_pre"].values, truth["edge_post"].values, truth["edge_weight"].values,
            truth["edge_delay"].values, strict=True,
        )
    }  # fmt: skip
    assert found == {(0, 2000): (0.5, 0.001), (5, 7): (0.2, 0.002), (5, 8): (0.3, 0.003)}
    units = unit_truth(seen(rec, [[0, -1], [2000, -1], [7, 8], [5, -1]], [0, 1, 2, 3]))
    assert float(units["weight"].sel(post=1, pre=0)) == 0.5
    assert float(units["weight"].sel(post=2, pre=3)) == pytest.approx(0.5)
    assert float(units["exists"].sel(post=2, pre=0)) == 0.0


@pytest.mark.parametrize("function", [truth_of, unit_truth, circuit_of])
def test_a_recording_without_truth_is_refused(function):
    with pytest.raises(RecordingError, match="truth"):
        function(without_truth(run(zoo.null(n=3, rng=0), 0.1, rng=0)))


def test_without_truth_wants_a_recording():
    with pytest.raises(RecordingError, match="recording"):
        without_truth(xr.Dataset())
