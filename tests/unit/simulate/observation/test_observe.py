"""observe(): order of stages, streams of random numbers, truth carried along, and nothing of it left in the data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import FormatError, OptionError, RecordingError
from neurodata.simulate import (
    EEG,
    LFP,
    Behaviour,
    Calcium,
    Sorting,
    Stage,
    Subsample,
    observe,
    unit_truth,
    without_truth,
)

ALL = [
    Subsample(n=3, by="rate"),
    Sorting(miss=0.2, merge=2, split=0.1, source="neighbours"),
    Calcium(indicator="GCaMP6s", kinetics="in_vivo", hill=2.0, decay=1.0),
    LFP(sources="population", snr=None),
    EEG(lead_field=np.array([[1.0, 2.0]]), channels=("Cz",), position=np.zeros((1, 3))),
    Behaviour(of="state", gain=np.array([[1.0, -1.0]]), names=("speed",)),
]


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: type(stage).__name__)
def test_settings_survive_json(stage):
    again = Stage.from_dict(json.loads(json.dumps(stage.to_dict())))
    assert type(again) is type(stage)
    assert again.to_dict() == stage.to_dict()


def test_stages_are_known_from_their_settings_alone():
    """In a fresh process no stage has been imported before its settings are read."""
    import subprocess
    import sys

    code = (
        "import json; from neurodata.simulate import Stage; "
        "print(type(Stage.from_dict({'kind': 'Subsample', 'n': 2})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Subsample"


def test_settings_of_something_else_are_refused():
    with pytest.raises(FormatError):
        Stage.from_dict({"kind": "OU", "sd": 1.0, "tau": 0.0})
    with pytest.raises(FormatError):
        Stage.from_dict({"kind": "Telepathy"})
    with pytest.raises(FormatError, match="fields of Subsample"):
        Stage.from_dict({"kind": "Subsample", "share": 0.5})


def test_a_recording_without_truth_is_refused_and_told_where_to_get_one(simulated):
    with pytest.raises(RecordingError, match=r"simulate\.run"):
        observe(without_truth(simulated), [Subsample(n=3)])


def test_what_is_no_stage_is_refused(simulated):
    with pytest.raises(OptionError, match="list of stages"):
        observe(simulated, ["Subsample"])


def test_a_stage_at_the_end_changes_nothing_before_it(simulated):
    short = observe(simulated, [Subsample(fraction=0.7), Sorting()], rng=5)
    long = observe(simulated, [Subsample(fraction=0.7), Sorting(), LFP()], rng=5)
    xr.testing.assert_identical(short["spikes"].to_dataset(), long["spikes"].to_dataset())
    other = observe(simulated, [Subsample(fraction=0.7), Sorting()], rng=6)
    assert not np.array_equal(short["spikes"]["spike_count"].values, other["spikes"]["spike_count"].values)


def test_the_input_is_left_as_it_was(simulated):
    before = simulated.copy(deep=True)
    observe(simulated, [Subsample(n=10), LFP(), Calcium()], rng=0)
    xr.testing.assert_identical(simulated, before)


def test_stages_that_do_not_go_together_are_refused(simulated):
    with pytest.raises(RecordingError, match="spikes"):
        observe(simulated, [Calcium(), Sorting()], rng=0)
    with pytest.raises(OptionError, match="once"):
        observe(simulated, [Sorting(), Sorting()], rng=0)
    with pytest.raises(OptionError, match="not both"):
        observe(simulated, [Sorting(), Calcium()], rng=0)
    with pytest.raises(RecordingError, match="before imaging"):
        observe(simulated, [Calcium(), Subsample(n=3, by="rate")], rng=0)


def test_every_other_order_works_and_makes_sound_recordings(simulated):
    field = EEG(lead_field=np.ones((2, 1)), sources="all")
    for stages in (
        [LFP(), Subsample(n=8), field, Sorting()],
        [Sorting(merge=3), Subsample(fraction=0.5, by="rate"), LFP()],
        [Calcium(), Subsample(n=5), LFP()],
        [Subsample(n=9, by="patch"), Calcium(keep_spikes=True), field],
    ):
        seen = nd.check(observe(simulated, stages, rng=1))
        nd.check(without_truth(seen))
        truth = unit_truth(seen)
        node = seen["calcium"]["roi"] if "calcium" in seen.children else seen["spikes"]["unit"]
        assert truth["unit"].values.tolist() == node.values.tolist()
        assert len(nd.simulate.observation.base.stages_of(seen)) == len(stages)


def test_observed_recordings_survive_a_file(simulated, tmp_path):
    field = EEG(lead_field=np.ones((2, 1)), sources="all")
    for k, stages in enumerate(([Sorting(merge=2, split=2), field], [Subsample(n=5), Calcium()])):
        seen = observe(simulated, stages, rng=0)
        again = nd.load(nd.save(seen, tmp_path / f"{k}.nc"))
        xr.testing.assert_identical(again, seen)


def test_second_nodes_of_a_kind_get_the_next_name(simulated):
    seen = observe(simulated, [LFP(), LFP(sources="population")], rng=0)
    assert {"eeg", "eeg_2"} <= set(seen.children)


def texts(tree: xr.DataTree) -> list[str]:
    """Every name, attribute and text value in a tree."""
    found = []
    for node in tree.subtree:
        data = node.to_dataset(inherit=False)
        found += [f"{key}={value}" for key, value in data.attrs.items()]
        for name, variable in data.variables.items():
            found.append(str(name))
            found += [f"{key}={value}" for key, value in variable.attrs.items()]
            if variable.dtype.kind in "UO":
                found += [str(value) for value in variable.values.flat]
    return found


def test_nothing_of_the_truth_reaches_a_model(simulated):
    field = EEG(lead_field=np.ones((2, 1)), sources="all")
    truth = simulated["truth"].to_dataset()
    secrets = {str(name) for name in truth.variables} - {"unit", "time"}
    secrets |= {str(value) for value in truth.attrs.values() if isinstance(value, str) and len(value) > 3}
    secrets |= {"missed", "false_positive", "noise_sd", "baseline_fluorescence", "Sorting", "Subsample"}
    secrets |= {"excitatory", "inhibitory"} | set(truth["population"].values.tolist())
    for stages in (
        [Subsample(n=20), Sorting(), LFP(), field],
        [Subsample(n=20, by="cluster"), Calcium(keep_spikes=True)],
    ):
        seen = without_truth(observe(simulated, stages, rng=0))
        assert "truth" not in seen.children
        for text in texts(seen):
            assert not {secret for secret in secrets if secret == text or (len(secret) > 5 and secret in text)}, text
        units = seen["spikes"].to_dataset()
        assert {str(c) for c in units.coords} <= {"unit", "channel"}
        if "calcium" in seen.children:
            assert {str(c) for c in seen["calcium"].to_dataset().coords} == {"time", "roi"}


def test_units_of_a_sorter_are_numbered_afresh(simulated):
    """Neurons are numbered by population: their numbers would tell excitatory from inhibitory."""
    seen = observe(simulated, [Sorting(split=0, merge=0, min_spikes=0)], rng=0)
    assert seen["spikes"]["unit"].values.tolist() == list(range(40))
    neurons = seen["truth"]["unit_neuron"].values[:, 0]
    assert sorted(neurons) == list(range(40))
    assert abs(np.corrcoef(neurons, np.arange(40))[0, 1]) < 0.9


def test_subsampling_keeps_ids_spikes_and_truth(simulated, trains):
    seen = observe(simulated, [Subsample(fraction=0.25)], rng=2)
    kept = seen["spikes"]["unit"].values
    assert kept.size == 10
    for unit, train in zip(kept, trains(seen), strict=True):
        np.testing.assert_array_equal(train, trains(simulated)[unit])
    truth = seen["truth"].to_dataset()
    assert truth["unit_neuron"].values[:, 0].tolist() == kept.tolist()
    assert np.flatnonzero(truth["observed"].values).tolist() == kept.tolist()
    full = simulated["truth"]["weight"].values
    np.testing.assert_allclose(unit_truth(seen)["weight"].values, full[np.ix_(kept, kept)])


def test_subsampling_by_cluster_takes_whole_groups(simulated):
    cluster = simulated["truth"]["cluster"].values
    size = np.bincount(cluster[cluster >= 0])
    seen = observe(simulated, [Subsample(n=int(size[0]), by="cluster")], rng=3)
    kept = cluster[seen["truth"]["unit_neuron"].values[:, 0]]
    assert np.bincount(kept)[kept[0]] == size[0]
    assert len(set(kept.tolist())) == 1


def test_subsampling_by_rate_misses_silent_units(by_hand):
    quiet, busy = [np.zeros(0)] * 10, [np.arange(1.0, 9.0)] * 5 + [np.arange(1.0, 9.0, 0.1)] * 5
    rec = by_hand(quiet + busy, 10.0)
    share = np.zeros(20)
    for seed in range(200):
        share[observe(rec, [Subsample(n=5, by="rate")], rng=seed)["spikes"]["unit"].values] += 1 / 200
    assert share[:10].max() == 0
    # 10 times as many spikes: far likelier to be found. The binomial sd of each share is below 0.036.
    assert share[15:].min() > share[10:15].max() + 0.1


def test_a_patch_is_made_of_neighbours(by_hand):
    place = np.random.default_rng(0).permutation(20) / 20
    rec = by_hand([np.array([1.0])] * 20, 10.0, position=place)
    for seed in range(10):
        kept = place[observe(rec, [Subsample(n=6, by="patch")], rng=seed)["spikes"]["unit"].values]
        gaps = np.diff(np.sort(kept), append=np.sort(kept)[0] + 1)
        assert np.sort(np.round(gaps * 20))[:-1].tolist() == [1] * 5  # six in a row on the ring


def test_subsampling_needs_what_it_chooses_by(by_hand):
    rec = by_hand([np.array([1.0])] * 4, 2.0)
    with pytest.raises(OptionError, match="positions"):
        observe(rec, [Subsample(n=2, by="patch")], rng=0)
    with pytest.raises(OptionError, match="clusters"):
        observe(rec, [Subsample(n=2, by="cluster")], rng=0)
    with pytest.raises(OptionError, match="at most the 4"):
        observe(rec, [Subsample(n=5)], rng=0)


@pytest.mark.parametrize(
    "settings",
    [{}, {"fraction": 0.0}, {"fraction": 1.5}, {"n": 0}, {"n": 2.5}, {"n": 2, "fraction": 0.5}, {"n": 2, "by": "luck"}],
)
def test_impossible_subsamples_are_refused(settings):
    with pytest.raises(OptionError):
        Subsample(**settings)
