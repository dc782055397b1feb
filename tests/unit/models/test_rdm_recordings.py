"""Patterns around events, and distances between spike trains."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import MissingOptionError, OptionError, RecordingError


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def spiking(rng, n_trials=12, n_units=3):
    """Trials of 1 s every 2 s; 'b' has more spikes, in the second half."""
    onset = np.arange(n_trials) * 2.0 + 1.0
    label = np.array(["a", "b"] * (n_trials // 2))
    trains = {}
    for u in range(n_units):
        times = [t + rng.uniform(0, 1, rng.poisson(8)) for t in onset]
        times += [t + rng.uniform(0.5, 1, rng.poisson(6)) for t in onset[label == "b"]]
        trains[f"u{u}"] = np.sort(np.concatenate(times))
    node = nd.make_spikes(trains, support=[[0.0, 2.0 * n_trials + 2.0]])
    return node, nd.make_events(onset, description=label), trains


def plain_victor_purpura(a, b, cost):
    table = np.zeros((len(a) + 1, len(b) + 1))
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, s in enumerate(a):
        for j, t in enumerate(b):
            table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + cost * abs(s - t))
    return table[-1, -1]


def integrated_van_rossum(a, b, tau):
    """The integral itself, on a fine grid."""
    step = tau / 400
    grid = np.arange(0, 1 + 25 * tau, step) + step / 2
    trace = np.zeros(grid.size)
    for train, sign in ((a, 1), (b, -1)):
        for t in train:
            trace += sign * np.where(grid >= t, np.exp(-np.maximum(grid - t, 0) / tau), 0)
    return (trace**2).sum() * step / tau


@pytest.mark.parametrize(("distance", "tolerance"), [("victor-purpura", 1e-9), ("van-rossum", 0.02)])
def test_spike_train_distances_against_their_definitions(rng, distance, tolerance):
    node, events, trains = spiking(rng, n_trials=6)
    got = nd.models.spike_train_rdm(node, events, (0.0, 1.0), distance, cost=7.0, tau=0.04, by=None)
    onset = events["onset"].values
    for i in range(6):
        for j in range(i):
            want = []
            for train in trains.values():
                a, b = (train[(train >= t) & (train < t + 1)] - t for t in onset[[i, j]])
                want.append(
                    plain_victor_purpura(a, b, 7.0)
                    if distance == "victor-purpura"
                    else integrated_van_rossum(a, b, 0.04)
                )
            assert float(got[i, j]) == pytest.approx(np.mean(want), rel=tolerance)


def test_a_cost_of_zero_counts_spikes(rng):
    node, events, _ = spiking(rng)
    got = nd.models.spike_train_rdm(node, events, (0.0, 1.0), cost=0.0, by=None).values
    counts = nd.preprocess.epoch(node, events, (0.0, 1.0), bin_width=1.0).isel(time=0).values
    np.testing.assert_allclose(got, np.abs(counts[:, None] - counts).mean(axis=2), rtol=0, atol=1e-12)


def test_distances_inside_conditions_are_taken_off(rng):
    node, events, _ = spiking(rng, n_trials=40)
    label = events["description"].values
    trial = nd.models.spike_train_rdm(node, events, (0.0, 1.0), "van-rossum", by=None).values
    a, b = np.flatnonzero(label == "a"), np.flatnonzero(label == "b")

    def own(rows):
        return trial[np.ix_(rows, rows)].sum() / (rows.size * (rows.size - 1))

    found = nd.models.spike_train_rdm(node, events, (0.0, 1.0), "van-rossum")
    assert float(found.sel(condition="a", condition_2="b")) == pytest.approx(
        trial[np.ix_(a, b)].mean() - (own(a) + own(b)) / 2
    )
    plain = nd.models.spike_train_rdm(node, events, (0.0, 1.0), "van-rossum", within=False)
    assert float(plain[0, 1]) == pytest.approx(trial[np.ix_(a, b)].mean())
    assert 0 < found[0, 1] < plain[0, 1]


def test_trials_outside_the_recording_are_left_out(rng):
    node, events, _ = spiking(rng)
    late = nd.make_events([*events["onset"].values, 500.0], description=[*events["description"].values, "a"])
    found = nd.models.spike_train_rdm(node, late, (0.0, 1.0))
    assert found.attrs["n_left_out"] == 1
    np.testing.assert_array_equal(found, nd.models.spike_train_rdm(node, events, (0.0, 1.0)))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"distance": "hamming"}, OptionError),
        ({"cost": -1.0}, OptionError),
        ({"tau": 0.0}, OptionError),
        ({"by": "stimulus"}, OptionError),
        ({"kind": "a"}, RecordingError),
    ],
)
def test_spike_train_options_that_make_no_sense(rng, options, error):
    node, events, _ = spiking(rng)
    with pytest.raises(error):
        nd.models.spike_train_rdm(node, events, (0.0, 1.0), **options)


def test_rates_counts_and_roots_around_events(rng):
    node, events, trains = spiking(rng)
    onset = events["onset"].values
    want = np.array([[((t >= on) & (t < on + 0.5)).sum() for t in trains.values()] for on in onset])
    for value, expected in (("count", want), ("rate", want / 0.5), ("sqrt", np.sqrt(want)), (None, want / 0.5)):
        found = nd.models.event_patterns(node, events, (0.0, 0.5), value=value)
        np.testing.assert_allclose(found, expected)
    assert found["condition"].values.tolist() == events["description"].values.tolist()
    during = nd.models.event_patterns(node, events, (0.5, 1.0), bin_width=0.25, during=(0.0, 0.5))
    np.testing.assert_allclose(during, want / 0.5)
    with pytest.raises(MissingOptionError):
        nd.models.event_patterns(node, events, (0.2, 0.5))


def test_from_a_recording_to_crossnobis_over_runs(rng):
    node, events, _ = spiking(rng, n_trials=40)
    found = nd.models.event_patterns(nd.make_recording(spikes=node), events, (0.0, 1.0), run=4)
    assert np.bincount(found["run"].values).tolist() == [10, 10, 10, 10]
    assert (np.diff(found["run"].values) >= 0).all()
    rdm = nd.models.rdm(found, "crossnobis")
    assert float(rdm.sel(condition="a", condition_2="b")) > 0
    movie = nd.models.rdm_movie(
        nd.models.event_patterns(node, events, (0.5, 1.0), bin_width=0.25, keep_time=True, run=4), "crossnobis"
    )
    assert movie.dims == ("time", "condition", "condition_2")
    # The conditions differ in the second half of the trial only.
    late, early = movie[-2:, 0, 1].mean(), movie[:2, 0, 1].mean()
    assert late > 5 * abs(early)


def test_eeg_epochs_and_calcium_traces(rng):
    signal = rng.normal(size=(200, 4))
    node = nd.make_eeg(signal, sampling_rate=10.0, bad=[False, True, False, False])
    events = nd.make_events(np.arange(1.0, 19.0, 1.0), description=["x", "y"] * 9, block=np.repeat([1, 2, 3], 6))
    found = nd.models.event_patterns(node, events, (0.0, 0.4), run="block")
    np.testing.assert_allclose(found[3], signal[40:45][:, [0, 2, 3]].mean(axis=0))
    assert found["run"].values[:7].tolist() == [1] * 6 + [2]
    assert nd.models.event_patterns(node, events, (0.0, 0.4), drop_bad=False).sizes["channel"] == 4
    calcium = nd.make_calcium(fluorescence=signal, sampling_rate=10.0)
    one = nd.models.event_patterns(calcium, events, (0.0, 0.4))
    np.testing.assert_allclose(one[3], signal[40:45].mean(axis=0))
    for options in ({"by": "stimulus"}, {"run": "session"}, {"run": 1}, {"run": [1, 2]}, {"value": "rate"}):
        with pytest.raises(OptionError):
            nd.models.event_patterns(node, events, (0.0, 0.4), **options)
