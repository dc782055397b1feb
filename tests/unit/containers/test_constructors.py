"""The constructors: what they keep, what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import neurodata as nd
from neurodata.containers import make_counts, make_sessions, recordings, unit_slices
from neurodata.errors import MissingOptionError, NeurodataError, OptionError, RecordingError


def test_spikes_from_mapping_list_and_flat_array_are_the_same():
    trains = {3: [0.5, 1.0], 7: [], 5: [0.25]}
    from_mapping = nd.make_spikes(trains)
    from_list = nd.make_spikes(list(trains.values()), unit=list(trains))
    flat = nd.make_spikes(np.array([0.25, 0.5, 1.0]), [5, 3, 3], unit=[3, 7, 5])
    assert from_mapping.identical(from_list)
    assert from_mapping.identical(flat)
    assert from_mapping["unit"].values.tolist() == [3, 7, 5]
    assert from_mapping["spike_time"].values.tolist() == [0.5, 1.0, 0.25]
    assert [from_mapping["spike_time"].values[part].tolist() for part in unit_slices(from_mapping)] == [
        [0.5, 1.0],
        [],
        [0.25],
    ]


def test_flat_spikes_keep_samples_and_amplitudes_with_their_spike():
    node = nd.make_spikes(
        np.array([0.1, 0.2, 0.3]), [2, 1, 2], spike_sample=[10, 20, 30], spike_amplitude=[1.0, 2.0, 3.0]
    )
    assert node["spike_sample"].values.tolist() == [20, 10, 30]
    assert node["spike_amplitude"].values.tolist() == [2.0, 1.0, 3.0]


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1e-3), ("us", 1e-6), ("s", 1.0)])
def test_stated_time_unit_is_converted_once(unit, factor):
    node = nd.make_spikes({"a": [100.0, 250.0]}, time_unit=unit)
    np.testing.assert_allclose(node["spike_time"].values, np.array([100.0, 250.0]) * factor, rtol=1e-15)


def test_samples_need_the_sampling_rate():
    with pytest.raises(MissingOptionError, match="sampling_rate"):
        nd.make_spikes({"a": [100]}, time_unit="sample")
    node = nd.make_spikes({"a": [100]}, time_unit="sample", sampling_rate=25_000.0)
    assert node["spike_time"].item() == 100 / 25_000


def slow_clock(seconds_per_tick: float) -> dict[str, np.ndarray]:
    """Two units of 8 spikes/s with bursts, written in a unit of `seconds_per_tick`."""
    rng = np.random.default_rng(1)
    return {name: np.cumsum(rng.gamma(0.7, 0.18, 400) + 0.002) / seconds_per_tick for name in "ab"}


@pytest.mark.parametrize("seconds_per_tick", [1e-3, 1 / 30_000])
def test_times_in_ms_or_samples_are_refused_not_converted(seconds_per_tick):
    with pytest.raises(RecordingError, match="do not look like seconds"):
        nd.make_spikes(slow_clock(seconds_per_tick))


def test_times_in_seconds_pass_and_a_slow_unit_can_be_stated():
    nd.make_spikes(slow_clock(1.0))
    slow = {"slow": np.arange(1, 400) * 30.0}
    with pytest.raises(RecordingError, match="time_unit='s'"):
        nd.make_spikes(slow)
    assert nd.make_spikes(slow, time_unit="s").sizes["spike"] == 399


@pytest.mark.parametrize(
    ("trains", "options", "words"),
    [
        ({"a": [0.2, 0.1]}, {}, "not sorted"),
        ({"a": [-0.5, 0.1]}, {}, "negative"),
        ({"a": [np.nan, 0.1]}, {}, "NaN"),
        ({}, {}, "no units"),
        ([[0.1], [0.2]], {"unit": ["a", "a"]}, "unique"),
        ({"a": [0.1, 9.0]}, {"support": [[0, 1]]}, "outside the recorded"),
        ({"a": [0.1]}, {"support": [[0, 1], [0.5, 2]]}, "overlap"),
    ],
)
def test_bad_spikes_are_refused_with_the_reason(trains, options, words):
    with pytest.raises(RecordingError, match=words) as caught:
        nd.make_spikes(trains, **options)
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.fix


def test_unsorted_times_are_sorted_on_request_with_their_companions():
    node = nd.make_spikes(np.array([0.2, 0.1]), ["a", "a"], sort=True, spike_sample=[2, 1])
    assert node["spike_time"].values.tolist() == [0.1, 0.2]
    assert node["spike_sample"].values.tolist() == [1, 2]


def test_negative_times_inside_a_stated_support_are_fine():
    node = nd.make_spikes({"a": [-0.5, 0.1]}, support=[[-1.0, 1.0]])
    assert node["spike_time"].values[0] == -0.5


def test_spikes_of_an_unknown_unit_are_refused():
    with pytest.raises(RecordingError, match="unknown units"):
        nd.make_spikes(np.array([0.1, 0.2]), [1, 9], unit=[1, 2])


def test_mapping_and_ids_together_are_refused():
    with pytest.raises(OptionError):
        nd.make_spikes({"a": [0.1]}, unit=["a"])


def test_counts_are_integers_when_observed_and_nan_keeps_them_float():
    whole = make_counts([[1, 2], [0, 3]], 0.5, start=10.0)
    assert whole.dtype == np.int32
    assert whole["time"].values.tolist() == [10.25, 10.75]
    assert make_counts([[1, np.nan], [0, 3]], 0.5).dtype == np.float64
    with pytest.raises(RecordingError, match="whole"):
        make_counts([[0.5, 1.0]], 0.5)


def test_calcium_keeps_dtype_ids_and_masks():
    trace = np.ones((5, 2), dtype=np.float32)
    node = nd.make_calcium(
        trace,
        neuropil=trace,
        sampling_rate=10.0,
        start=3.0,
        roi=[4, 9],
        masks=[([0, 1], [2, 3], [0.5, 0.5]), ([], [], [])],
    )
    assert node["fluorescence"].dtype == np.float32
    assert node["roi"].values.tolist() == [4, 9]
    assert node["time"].values[0] == 3.0
    assert node["mask_count"].values.tolist() == [2, 0]
    assert node["mask_col"].values.tolist() == [2, 3]


def test_calcium_arrays_of_different_shape_are_refused():
    with pytest.raises(RecordingError, match=r"fluorescence \(5, 2\), deconvolved \(4, 2\)"):
        nd.make_calcium(np.ones((5, 2)), deconvolved=np.ones((4, 2)), sampling_rate=10.0)


def test_missing_sampling_rate_names_the_option():
    with pytest.raises(MissingOptionError, match="sampling_rate"):
        nd.make_calcium(np.ones((5, 2)))
    with pytest.raises(MissingOptionError, match="sampling_rate"):
        nd.make_eeg(np.ones((5, 2)))


@pytest.mark.parametrize("times", [[0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 1.0]])
def test_times_must_increase(times):
    with pytest.raises(RecordingError, match="time"):
        nd.make_eeg(np.ones((3, 1)), time=times)


def test_eeg_keeps_odd_names_gaps_and_units():
    node = nd.make_eeg(
        np.zeros((3, 2)),
        channel=["EEG A1/A2", "Ä"],
        time=[0.0, 0.1, 5.0],
        ch_type=["eeg", "misc"],
        ch_unit=["V", "uS"],
        bad=[False, True],
        position=[[0.1, 0, 0], [np.nan] * 3],
    )
    assert node["channel"].values.tolist() == ["EEG A1/A2", "Ä"]
    assert node["ch_unit"].values.tolist() == ["V", "uS"]
    assert node["time"].values.tolist() == [0.0, 0.1, 5.0]
    assert "sampling_rate" not in node.attrs


def test_trials_keep_types_and_say_what_is_missing():
    table = pd.DataFrame({"start": [0.0, None], "stop": [1.0, None], "side": ["L", None], "go/nogo": [1, 2]})
    node = nd.make_trials(table, units={"go/nogo": "1"})
    assert np.isnan(node["start"].values[1])
    assert node["side"].values.tolist() == ["L", ""]
    assert node["go_nogo"].attrs == {"source_name": "go/nogo", "units": "1"}
    assert node["start"].attrs["units"] == "s"


def test_trials_that_stop_before_they_start_are_refused():
    with pytest.raises(RecordingError, match="stop before they start"):
        nd.make_trials({"start": [1.0], "stop": [0.5]})


def test_events_take_scalars_and_columns():
    node = nd.make_events([2.0, 1.0], 0.5, "tone", frequency=[440, 880])
    assert node["onset"].values.tolist() == [2.0, 1.0]
    assert node["duration"].values.tolist() == [0.5, 0.5]
    assert node["frequency"].values.tolist() == [440, 880]


def test_recording_names_its_nodes_after_modalities():
    spikes = nd.make_spikes({"a": [0.1]})
    with pytest.raises(RecordingError, match="neurons"):
        nd.make_recording(neurons=spikes)
    with pytest.raises(RecordingError, match="at least one node"):
        nd.make_recording()


def test_recording_attrs_that_no_store_takes_become_json():
    rec = nd.make_recording(
        spikes=nd.make_spikes({"a": [0.1]}), attrs={"flag": True, "list": [1, 2], "subject_id": "m1"}
    )
    assert rec.attrs["subject_id"] == "m1"
    assert rec.attrs["metadata_json"] == '{"flag": true, "list": [1, 2]}'


def test_sessions_are_found_by_path():
    rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}))
    tree = make_sessions({"monday": rec, "tuesday": rec})
    assert [path for path, _ in recordings(tree)] == ["monday", "tuesday"]


def test_errors_survive_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(RecordingError("a", "b", "c")))
    assert isinstance(error, NeurodataError)
    assert str(error) == "expected: a\ngot: b\nwhat to do: c"
