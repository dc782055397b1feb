"""SpikeInterface objects to recordings and back."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.io import from_spikeinterface, to_spikeinterface

si = pytest.importorskip("spikeinterface.core", reason="needs the extra ephys")

RATE = 1000.0
TRAINS = {"a": [10, 250, 900], "b": [], "c": [5, 5, 700]}


def sorting_of(*trains, rate=RATE):
    return si.NumpySorting.from_unit_dict(
        [{unit: np.array(train, dtype=np.int64) for unit, train in part.items()} for part in trains], rate
    )


def recording_of(*lengths, rate=RATE, starts=None, seed=0):
    rng = np.random.default_rng(seed)
    traces = [rng.integers(-500, 500, (n, 3)).astype(np.int16) for n in lengths]
    return si.NumpyRecording(traces, rate, t_starts=starts, channel_ids=["x", "y", "z"])


class TestFromSorting:
    def test_times_ids_and_properties(self):
        sorting = sorting_of(TRAINS)
        sorting.set_property("quality", np.array(["good", "mua", ""]))
        recording = from_spikeinterface(sorting)
        node = recording["spikes"]
        assert node["unit"].values.tolist() == ["a", "b", "c"]
        assert node["spike_count"].values.tolist() == [3, 0, 3]
        assert node["spike_time"].values.tolist() == [0.01, 0.25, 0.9, 0.005, 0.005, 0.7]
        assert node["quality"].values.tolist() == ["good", "mua", ""]
        assert "support_start" not in node
        nd.check(recording)

    def test_start_of_the_segment(self):
        sorting = sorting_of(TRAINS)
        sorting.shift_times(5.0)
        node = from_spikeinterface(sorting)["spikes"]
        np.testing.assert_array_equal(node["spike_time"], np.array([10, 250, 900, 5, 5, 700]) / RATE + 5.0)
        assert node["spike_sample"].values.tolist() == [10, 250, 900, 5, 5, 700]

    def test_recording_gives_times_and_support(self):
        sorting = sorting_of(TRAINS)
        sorting.register_recording(recording_of(1000, starts=[7.0]))
        node = from_spikeinterface(sorting)["spikes"]
        np.testing.assert_array_equal(node["spike_time"][:3], 7.0 + np.array([10, 250, 900]) / RATE)
        assert (node["support_start"].item(), node["support_stop"].item()) == (7.0, 8.0)

    def test_vector_of_times_with_a_gap(self):
        times = np.arange(1000) / RATE * 1.01 + 3.0
        times[500:] += 20.0
        recording = recording_of(1000)
        recording.set_times(times, segment_index=0)
        sorting = sorting_of(TRAINS)
        sorting.register_recording(recording)
        node = from_spikeinterface(sorting)["spikes"]
        np.testing.assert_array_equal(node["spike_time"][:3], times[[10, 250, 900]])
        assert node["support_start"].values.tolist() == [times[0], times[500]]
        np.testing.assert_allclose(node["support_stop"], [times[499] + 0.001, times[999] + 0.001], rtol=0, atol=1e-12)

    def test_segments_with_known_times(self):
        sorting = sorting_of({1: [10, 20], 2: []}, {1: [5], 2: [400]})
        sorting.register_recording(recording_of(500, 500, starts=[100.0, 50.0]))
        node = from_spikeinterface(sorting)["spikes"]
        assert node["spike_time"].values.tolist() == [50.005, 100.01, 100.02, 50.4]
        assert node["spike_segment"].values.tolist() == [1, 0, 0, 1]
        assert node["support_start"].values.tolist() == [50.0, 100.0]
        assert node["support_stop"].values.tolist() == [50.5, 100.5]

    def test_segments_without_times_are_ambiguous(self):
        sorting = sorting_of({1: [10, 20], 2: []}, {1: [5], 2: [400]})
        with pytest.raises(MissingOptionError, match="segment_start="):
            from_spikeinterface(sorting)
        assert from_spikeinterface(sorting, segment=1)["spikes"]["spike_time"].values.tolist() == [0.005, 0.4]
        node = from_spikeinterface(sorting, segment_start=[0.0, 60.0])["spikes"]
        assert node["spike_time"].values.tolist() == [0.01, 0.02, 60.005, 60.4]

    def test_recorded_segments_that_overlap(self):
        sorting = sorting_of({1: [10, 20]}, {1: [5]})
        sorting.register_recording(recording_of(500, 500))
        with pytest.raises(RecordingError, match="before another ends at 0.5 s"):
            from_spikeinterface(sorting)

    def test_native_times(self):
        """A format that keeps seconds is asked for them: they need not lie on samples."""

        sorting = sorting_of(TRAINS)
        native = {"a": [0.0102, 0.2503, 0.9001], "b": [], "c": [0.005, 0.0051, 0.7]}
        segment = sorting.segments[0]
        segment.get_unit_spike_train_in_seconds = lambda unit_id, start_time, end_time: np.array(native[unit_id])
        node = from_spikeinterface(sorting)["spikes"]
        assert node["spike_time"].values.tolist() == [0.0102, 0.2503, 0.9001, 0.005, 0.0051, 0.7]

    def test_no_units(self):
        with pytest.raises(RecordingError, match="there are no units"):
            from_spikeinterface(sorting_of({}))

    def test_other_objects(self):
        with pytest.raises(OptionError, match="Sorting, SortingAnalyzer or Recording"):
            from_spikeinterface({"a": [1]})


def test_analyzer_with_locations_and_metrics():
    recording, sorting = si.generate_ground_truth_recording(num_channels=4, num_units=3, durations=[3.0], seed=0)
    recording.shift_times(11.0)
    analyzer = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=False)
    analyzer.compute(["random_spikes", "templates"])
    analyzer.compute("unit_locations", method="center_of_mass")
    place = analyzer.get_extension("unit_locations").get_data()
    node = from_spikeinterface(analyzer)["spikes"]
    np.testing.assert_array_equal(node["x"], place[:, 0])
    train = sorting.get_unit_spike_train(sorting.unit_ids[0], segment_index=0)
    # 25 kHz: times are compared to far less than a sample.
    np.testing.assert_allclose(node["spike_time"][: train.size], 11.0 + train / 25000.0, rtol=0, atol=1e-9)
    np.testing.assert_allclose([node["support_start"].item(), node["support_stop"].item()], [11.0, 14.0], atol=1e-9)


class TestFromRecording:
    def test_volts_by_gain_and_offset(self):
        recording = recording_of(40, starts=[2.0])
        recording.set_channel_gains(0.5)
        recording.set_channel_offsets(10.0)
        node = from_spikeinterface(recording)["eeg"]
        raw = recording.get_traces(segment_index=0)
        np.testing.assert_allclose(node["signal"], (raw * 0.5 + 10.0) * 1e-6, rtol=1e-6)
        assert node["channel"].values.tolist() == ["x", "y", "z"]
        np.testing.assert_array_equal(node["time"], 2.0 + np.arange(40) / RATE)
        assert set(node["ch_unit"].values) == {"V"}
        assert node["signal"][5:9, 1].shape == (4,)

    def test_without_gains_the_values_stay(self):
        recording = recording_of(40)
        node = from_spikeinterface(recording)["eeg"]
        np.testing.assert_array_equal(node["signal"], recording.get_traces(segment_index=0))
        assert set(node["ch_unit"].values) == {"unknown"}

    def test_read_when_used_and_saved(self, tmp_path):
        recording = from_spikeinterface(recording_of(40))
        assert not recording["eeg"]["signal"].variable._in_memory
        nd.save(recording, tmp_path / "x.nc")
        assert nd.load(tmp_path / "x.nc").identical(recording)

    def test_segments(self):
        recording = recording_of(40, 30)
        with pytest.raises(MissingOptionError, match="segment="):
            from_spikeinterface(recording)
        assert from_spikeinterface(recording, segment=1)["eeg"].sizes["time"] == 30
        with pytest.raises(OptionError, match="from 0 to 1"):
            from_spikeinterface(recording, segment=2)

    def test_times_and_places(self):
        recording = recording_of(4)
        recording.set_times(np.array([1.0, 1.001, 5.0, 5.001]), segment_index=0)
        recording.set_dummy_probe_from_locations(np.array([[0.0, 10.0], [0.0, 20.0], [5.0, 30.0]]))
        node = from_spikeinterface(recording)["eeg"]
        assert node["time"].values.tolist() == [1.0, 1.001, 5.0, 5.001]
        np.testing.assert_allclose(node["y"], [1e-5, 2e-5, 3e-5])


class TestTo:
    def test_round_trip_of_one_segment(self):
        sorting = sorting_of(TRAINS)
        sorting.set_property("quality", np.array(["good", "mua", ""]))
        sorting.shift_times(5.0)
        recording = from_spikeinterface(sorting)
        assert from_spikeinterface(to_spikeinterface(recording)).identical(recording)

    def test_round_trip_of_two_segments(self):
        sorting = sorting_of({1: [10, 20], 2: []}, {1: [5], 2: [400]})
        recording = from_spikeinterface(sorting, segment_start=[100.0, 50.0])
        back = to_spikeinterface(recording)
        assert back.get_num_segments() == 2
        assert back.get_unit_spike_train(1, segment_index=0).tolist() == [10, 20]
        assert from_spikeinterface(back).identical(recording)

    def test_samples_are_exact(self):
        # 30 kHz: sample / rate is not representable, so only stored samples are exact.
        samples = np.array([1, 7, 12345678901])
        node = nd.make_spikes(
            samples / 30000.0, np.zeros(3, int), spike_sample=samples, attrs={"sampling_rate": 30000.0}, time_unit="s"
        )
        back = to_spikeinterface(nd.make_recording(spikes=node))
        assert back.get_unit_spike_train(0).tolist() == samples.tolist()

    def test_rounding_without_samples(self):
        times = np.array([0.0004, 0.0006, 0.9])
        back = to_spikeinterface(nd.make_spikes({"a": times, "b": []}), 1000.0)
        assert back.get_unit_spike_train("a").tolist() == [0, 1, 900]
        assert back.unit_ids.tolist() == ["a", "b"]

    def test_another_rate_rounds_times(self):
        recording = from_spikeinterface(sorting_of(TRAINS))
        assert to_spikeinterface(recording, 100.0).get_unit_spike_train("a").tolist() == [1, 25, 90]

    def test_clock_before_zero(self):
        node = nd.make_spikes({"a": [-0.5, 0.25]}, support=[[-1.0, 1.0]])
        back = to_spikeinterface(node, 1000.0)
        assert back.get_unit_spike_train("a").tolist() == [500, 1250]
        np.testing.assert_allclose(back.get_unit_spike_train_in_seconds("a"), [-0.5, 0.25], rtol=0, atol=1e-12)

    def test_times_of_a_drifting_clock_are_said(self):
        recording = recording_of(1000)
        recording.set_times(np.arange(1000) / RATE * 1.01 + 3.0, segment_index=0)
        sorting = sorting_of(TRAINS)
        sorting.register_recording(recording)
        ours = from_spikeinterface(sorting)
        with pytest.warns(NeurodataWarning, match="register the"):
            back = to_spikeinterface(ours)
        back.register_recording(recording)
        assert from_spikeinterface(back).identical(ours)

    def test_missing_rate_and_spikes(self):
        with pytest.raises(MissingOptionError, match="sampling_frequency="):
            to_spikeinterface(nd.make_spikes({"a": [0.1]}))
        with pytest.raises(OptionError, match="positive"):
            to_spikeinterface(nd.make_spikes({"a": [0.1]}), 0.0)
        with pytest.raises(RecordingError, match="with spikes"):
            to_spikeinterface(nd.make_recording(events=nd.make_events([1.0])), 1000.0)


def test_lazy_recordings_pickle():
    """The array behind `signal` travels to worker processes."""
    recording = from_spikeinterface(recording_of(40))
    assert pickle.loads(pickle.dumps(recording)).identical(recording)
