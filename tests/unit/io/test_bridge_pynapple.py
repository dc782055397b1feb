"""Recordings to pynapple and back: what survives, and that nothing is changed without a word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import neurodata as nd
from neurodata.containers import make_counts, make_sessions
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.io import from_pynapple, to_pynapple

nap = pytest.importorskip("pynapple", reason="needs pynapple")


def recording_of(**nodes):
    return nd.make_recording(nodes)


def assert_round_trip(recording):
    assert from_pynapple(to_pynapple(recording), like=recording).identical(recording)


class TestSpikes:
    def test_ids_times_metadata_and_support(self):
        node = nd.make_spikes({3: [0.1, 0.5], 7: [], 9: [2.5]}, support=[[0, 1], [2, 3]], quality=["good", "", "mua"])
        group = to_pynapple(recording_of(spikes=node))["spikes"]
        assert group.index.tolist() == [3, 7, 9]
        assert group[3].t.tolist() == [0.1, 0.5]
        assert len(group[7]) == 0
        assert group.metadata["quality"].tolist() == ["good", "", "mua"]
        assert group.time_support.values.tolist() == [[0, 1], [2, 3]]

    def test_text_ids(self):
        group = to_pynapple(recording_of(spikes=nd.make_spikes({"b": [0.1], "a": [0.2]}, support=[[0, 1]])))["spikes"]
        assert group.index.tolist() == [0, 1]
        assert group.metadata["unit"].tolist() == ["b", "a"]

    def test_ids_that_are_not_in_order_keep_their_metadata(self):
        node = nd.make_spikes({9: [0.1, 0.5], 2: [0.2]}, support=[[0, 1]], quality=["nine", "two"])
        group = to_pynapple(recording_of(spikes=node))["spikes"]
        assert group.index.tolist() == [2, 9]
        assert group.metadata["quality"].tolist() == ["two", "nine"]
        assert group[9].t.tolist() == [0.1, 0.5]

    @pytest.mark.parametrize(
        "node",
        [
            nd.make_spikes({3: [0.1, 0.5], 7: []}, support=[[0, 1]]),
            nd.make_spikes({"b": [0.1, 0.5], "a": []}, support=[[0, 1]], depth=[1.5, np.nan]),
            nd.make_spikes({9: [0.1, 0.5], 2: [0.2]}, support=[[0, 1]], label=["x", ""], n=[1, 2], ok=[True, False]),
            nd.make_spikes({1: [-0.5, 0.2], 2: []}, support=[[-1.0, 0.0], [0.1, 1.0]]),
            nd.make_spikes({1: [], 2: []}),
            nd.make_spikes(
                np.array([0.1, 0.2, 0.3]), np.array([1, 2, 1]), spike_amplitude=[5.0, 6.0, 7.0], support=[[0, 1]]
            ),
            # More digits than the nanoseconds at which other tools cut times.
            nd.make_spikes({1: np.random.default_rng(0).uniform(0, 1, 50)}, sort=True, support=[[0.0, 1.0]]),
        ],
        ids=["plain", "text ids", "ids out of order", "before zero", "no spikes", "amplitudes", "digits"],
    )
    def test_round_trip(self, node):
        assert_round_trip(recording_of(spikes=node))

    def test_support_that_is_not_known(self):
        recording = recording_of(spikes=nd.make_spikes({1: [0.5, 2.0], 2: [1.0]}))
        group = to_pynapple(recording)["spikes"]
        assert group.time_support.values.tolist() == [[0.5, 2.0]]
        back = from_pynapple(group)
        assert back["spikes"]["spike_time"].values.tolist() == [0.5, 2.0, 1.0]
        assert back["spikes"]["support_stop"].values.tolist() == [2.0]

    def test_a_single_spike(self):
        group = to_pynapple(recording_of(spikes=nd.make_spikes({1: [0.5], 2: []})))["spikes"]
        assert len(group[1]) == 1

    def test_stretches_that_touch_lose_no_spike(self):
        # As they stand pynapple would cut the last microsecond of the first, and the spike in it.
        node = nd.make_spikes({1: [0.9999999, 1.5]}, support=[[0, 1], [1, 2]])
        group = to_pynapple(recording_of(spikes=node))["spikes"]
        assert group.time_support.values.tolist() == [[0, 2]]
        assert len(group[1]) == 2

    def test_metadata_with_names_of_pynapples_own(self):
        group = to_pynapple(recording_of(spikes=nd.make_spikes({1: [0.1]}, support=[[0, 1]], rate=[5.0])))["spikes"]
        assert group.metadata["rate_"].tolist() == [5.0]
        assert group.rates.tolist() == [1.0]

    def test_counts(self):
        counts = make_counts([[1, 0], [2, 3], [0, 0]], 0.5, unit=[4, 8]).to_dataset(name="counts")
        recording = recording_of(spikes=counts)
        frame = to_pynapple(recording)["spikes/counts"]
        assert frame.columns.tolist() == [4, 8]
        assert frame.t.tolist() == [0.25, 0.75, 1.25]
        assert_round_trip(recording)

    def test_a_group_made_in_pynapple(self):
        group = nap.TsGroup(
            {5: nap.Ts(np.array([0.1, 0.9])), 1: nap.Ts(np.array([0.2, 0.3]))},
            time_support=nap.IntervalSet(0, 1),
            metadata={"area": ["CA1", "LP"]},
        )
        node = from_pynapple(group)["spikes"]
        assert node["unit"].values.tolist() == [1, 5]
        assert node["spike_time"].values.tolist() == [0.2, 0.3, 0.1, 0.9]
        assert node["area"].values.tolist() == ["LP", "CA1"]
        assert (node["support_start"].item(), node["support_stop"].item()) == (0.0, 1.0)


class TestContinuous:
    def test_calcium(self):
        rng = np.random.default_rng(0)
        node = nd.make_calcium(
            rng.normal(size=(6, 2)).astype(np.float32),
            neuropil=rng.normal(size=(6, 2)).astype(np.float32),
            time=np.array([5.0, 5.1, 5.2, 9.0, 9.1, 9.2]),
            roi=[10, 4],
            is_cell=[True, False],
        )
        recording = recording_of(calcium=node)
        frame = to_pynapple(recording)["calcium/fluorescence"]
        np.testing.assert_array_equal(frame.d, node["fluorescence"])
        assert frame.time_support.values.tolist() == [[5.0, 5.2], [9.0, 9.2]]
        assert frame.metadata["is_cell"].tolist() == [True, False]
        assert_round_trip(recording)

    def test_eeg(self):
        node = nd.make_eeg(
            np.arange(8.0).reshape(4, 2),
            channel=["A1/A2", "Fz"],
            sampling_rate=100.0,
            start=3.0,
            position=[[0.1, 0.2, 0.3], [np.nan] * 3],
            bad=[False, True],
            attrs={"reference": "A2"},
        )
        recording = recording_of(eeg=node, eeg_2=nd.make_eeg(np.zeros((3, 1)), sampling_rate=10.0))
        assert to_pynapple(recording)["eeg/signal"].columns.tolist() == ["A1/A2", "Fz"]
        assert_round_trip(recording)

    def test_behaviour(self):
        rng = np.random.default_rng(0)
        node = nd.make_behaviour(
            [[1.0, 2.0], [3.0, np.nan]],
            signal=["speed", "pupil"],
            unit=["cm/s", "px"],
            position=rng.normal(size=(2, 2, 3, 1)),
            confidence=rng.uniform(size=(2, 3, 1)),
            keypoint=["nose", "ear", "tail"],
            individual=["one"],
            sampling_rate=30.0,
        )
        recording = recording_of(behaviour=node)
        objects = to_pynapple(recording)
        assert objects["behaviour/position"].shape == (2, 2, 3, 1)
        assert objects["behaviour/value"].metadata["signal_unit"].tolist() == ["cm/s", "px"]
        assert_round_trip(recording)

    def test_samples_alone_between_gaps_are_kept(self):
        node = nd.make_behaviour([1.0, 2.0, 3.0, 4.0], signal=["s"], time=np.array([0.0, 0.1, 0.2, 5.0]))
        assert to_pynapple(recording_of(behaviour=node))["behaviour/value"].t.tolist() == [0.0, 0.1, 0.2, 5.0]

    def test_objects_made_in_pynapple(self):
        time = np.array([1.0, 2.0, 4.0])
        node = from_pynapple(nap.Tsd(t=time, d=np.array([5, 6, 7])))["behaviour"]
        assert node["value"].values[:, 0].tolist() == [5.0, 6.0, 7.0]
        frame = nap.TsdFrame(t=time, d=np.ones((3, 2)), columns=["a", "b"])
        assert from_pynapple(frame, node="calcium/dff")["calcium"]["dff"]["roi"].values.tolist() == ["a", "b"]
        assert from_pynapple({"eeg": frame})["eeg"]["signal"].shape == (3, 2)

    def test_counts_in_uneven_bins(self):
        frame = nap.TsdFrame(t=np.array([0.0, 1.0, 1.5, 2.5]), d=np.ones((4, 1)))
        with pytest.raises(MissingOptionError, match="one width"):
            from_pynapple({"spikes/counts": frame})


class TestTrialsAndEvents:
    def test_trials(self):
        node = nd.make_trials({"start": [0.0, 2.0], "stop": [1.0, 3.5], "side": ["left", ""], "choice": [1, -1]})
        recording = recording_of(trials=node)
        intervals = to_pynapple(recording)["trials"]
        assert isinstance(intervals, nap.IntervalSet)
        assert intervals.values.tolist() == [[0.0, 1.0], [2.0, 3.5]]
        assert intervals.metadata["side"].tolist() == ["left", ""]
        assert_round_trip(recording)

    def test_ids_of_trials(self):
        recording = recording_of(trials=nd.make_trials({"start": [0.0, 2.0], "stop": [1.0, 3.5]}, trial=[12, 5]))
        assert_round_trip(recording)

    @pytest.mark.parametrize(
        "table",
        [
            {"start": [0.0, 1.0], "stop": [1.0, 2.0]},
            {"start": [0.0, 0.5], "stop": [1.0, 2.0]},
            {"start": [2.0, 0.0], "stop": [3.0, 1.0]},
            {"start": [0.0, np.nan], "stop": [1.0, 2.0]},
            {"start": [0.0, 1.0], "stop": [0.0, 2.0]},
            {"choice": [1, 2]},
        ],
        ids=["touch", "overlap", "unordered", "missing", "no length", "no times"],
    )
    def test_trials_that_pynapple_would_change(self, table):
        recording = recording_of(trials=nd.make_trials(table | {"side": ["left", "right"]}))
        with pytest.warns(NeurodataWarning, match="given as a DataFrame"):
            objects = to_pynapple(recording)
        assert isinstance(objects["trials"], pd.DataFrame)
        assert from_pynapple(objects, like=recording).identical(recording)

    def test_events(self):
        node = nd.make_events([0.5, 1.0, 2.0], [0.0, np.nan, 0.25], ["tone", "light", "tone"])
        recording = recording_of(events=node)
        group = to_pynapple(recording)["events"]
        assert group.metadata["description"].tolist() == ["tone", "light"]
        assert group[0].t.tolist() == [0.5, 2.0]
        assert_round_trip(recording)

    def test_objects_made_in_pynapple(self):
        assert from_pynapple(nap.Ts(np.array([0.5, 1.0])))["events"]["onset"].values.tolist() == [0.5, 1.0]
        intervals = nap.IntervalSet([0.0, 2.0], [1.0, 2.5])
        assert from_pynapple(intervals)["trials"]["stop"].values.tolist() == [1.0, 2.5]
        assert from_pynapple(intervals, node="events")["events"]["duration"].values.tolist() == [1.0, 0.5]

    def test_no_events(self):
        assert_round_trip(recording_of(events=nd.make_events([])))


class TestRefused:
    def test_several_recordings(self):
        recording = recording_of(spikes=nd.make_spikes({1: [0.1]}))
        with pytest.raises(RecordingError, match="one by one"):
            to_pynapple(make_sessions({"a": recording, "b": recording}))

    @pytest.mark.parametrize(
        "objects",
        [
            5,
            {"spikes": nap.IntervalSet([0.0], [1.0])},
            {"calcium/speed": nap.Tsd(t=np.arange(3.0), d=np.ones(3))},
            {"other": nap.Tsd(t=np.arange(3.0), d=np.ones(3))},
        ],
        ids=["number", "wrong kind", "unknown variable", "unknown node"],
    )
    def test_unfit_objects(self, objects):
        with pytest.raises(OptionError, match="pynapple objects|TsGroup for spikes"):
            from_pynapple(objects)

    def test_objects_that_say_too_little(self):
        with pytest.raises(MissingOptionError, match="node="):
            from_pynapple(nap.TsdTensor(t=np.arange(3.0), d=np.ones((3, 2, 2))))
        with pytest.raises(MissingOptionError, match="behaviour/position"):
            from_pynapple({"behaviour/confidence": nap.TsdTensor(t=np.arange(3.0), d=np.ones((3, 2, 2)))})

    def test_variables_at_different_times(self):
        frames = {
            f"calcium/{name}": nap.TsdFrame(t=np.arange(3.0) + shift, d=np.ones((3, 2)))
            for name, shift in (("dff", 0), ("neuropil", 1))
        }
        with pytest.raises(RecordingError, match="same times"):
            from_pynapple(frames)
