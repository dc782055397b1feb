"""Epochs: on the sample grid, nothing invented, spikes per trial, selection and baseline."""

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import MissingOptionError, OptionError, RecordingError

epoch = nd.preprocess.epoch


def ramp(n=100, rate=10.0, start=0.0, **options):
    """A signal whose value is its own time."""
    time = start + np.arange(n) / rate
    return nd.make_eeg(time[:, None], sampling_rate=rate, start=start, **options)["signal"]


def test_samples_are_those_around_the_event():
    trials = epoch(ramp(), at=[2.0, 5.0], window=(0.2, 0.3))
    assert trials.dims == ("trial", "time", "channel")
    np.testing.assert_allclose(trials.time, [-0.2, -0.1, 0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(trials.values[..., 0], np.array([[18, 19, 20, 21, 22, 23], range(48, 54)]) / 10)
    assert trials.onset.values.tolist() == [2.0, 5.0]
    assert trials.trial.values.tolist() == [0, 1]


def test_the_nearest_sample_is_taken_and_its_distance_recorded():
    trials = epoch(ramp(), at=[2.04, 1.98], window=(0.0, 0.1))
    np.testing.assert_array_equal(trials.values[..., 0], [[2.0, 2.1], [2.0, 2.1]])
    np.testing.assert_allclose(trials.sample_offset, [-0.04, 0.02], atol=1e-12)


def test_beyond_the_ends_there_is_nan():
    trials = epoch(ramp(), at=[0.1, 9.9, -5.0, 100.0], window=(0.2, 0.2))
    np.testing.assert_array_equal(trials.values[0, :, 0], [np.nan, 0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(trials.values[1, :, 0], [9.7, 9.8, 9.9, np.nan, np.nan])
    assert np.isnan(trials.values[2:]).all()


def with_gap():
    time = np.concatenate([np.arange(20), np.arange(30, 50)]) / 10
    return nd.make_eeg(time[:, None], time=time)["signal"]


def test_over_a_gap_there_is_nan():
    trials = epoch(with_gap(), at=[1.8], window=(0.1, 1.4))
    np.testing.assert_array_equal(trials.values[0, :, 0], [1.7, 1.8, 1.9, *[np.nan] * 10, 3.0, 3.1, 3.2])


def test_an_event_in_a_gap_keeps_what_was_recorded_around_it():
    trials = epoch(with_gap(), at=[2.93], window=(0.2, 0.3))
    np.testing.assert_array_equal(trials.values[0, :, 0], [np.nan, np.nan, np.nan, 3.0, 3.1, 3.2])
    np.testing.assert_allclose(trials.sample_offset, [-0.03], atol=1e-12)


def test_one_sample_never_stands_for_two():
    # After the gap the samples lie half a step off the grid of the trial.
    time = np.concatenate([np.arange(10), np.arange(10) + 15.5])
    data = nd.make_eeg(time[:, None], time=time)["signal"]
    for at in np.arange(0.0, 25.0, 0.25):
        seen = epoch(data, at=[at], window=(5.0, 5.0)).values.ravel()
        seen = seen[~np.isnan(seen)]
        assert np.unique(seen).size == seen.size


def test_drop_leaves_out_incomplete_trials_and_keeps_ids():
    trials = epoch(ramp(), at=[0.0, 5.0, 9.9], window=(0.2, 0.2), drop=True)
    assert trials.trial.values.tolist() == [1]
    assert trials.onset.values.tolist() == [5.0]


def test_whole_numbers_stay_whole_when_nothing_is_missing():
    data = xr.DataArray(np.arange(10), dims="time", coords={"time": np.arange(10.0)})
    assert epoch(data, at=[5.0], window=(1, 1)).dtype == data.dtype
    assert epoch(data, at=[9.0], window=(1, 1)).values.tolist()[0][:2] == [8.0, 9.0]


def test_unknown_times_are_nan():
    trials = epoch(ramp(), at=[np.nan, 2.0], window=(0.1, 0.1))
    assert np.isnan(trials.values[0]).all()
    assert not np.isnan(trials.values[1]).any()


def test_long_windows_do_not_drift():
    # A Unix time: neighbouring doubles are 2e-7 s apart, so single steps are uncertain by 1 %.
    rate, start = 30_000.0, 1.7e9
    time = start + np.arange(60_000) / rate
    data = xr.DataArray(np.arange(60_000), dims="time", coords={"time": time})
    trials = epoch(data, at=[start + 0.1], window=(0.05, 1.5))
    assert np.array_equal(trials.values[0], 3000 + np.arange(-1500, 45_001))


EVENTS = {"onset": [1.0, 2.0, 3.0], "description": ["flash", "tone", "flash"], "side": ["l", "r", "r"]}


def test_events_are_selected_by_kind_and_keep_their_columns():
    events = nd.make_events(**EVENTS)
    trials = epoch(ramp(), events, (0.1, 0.1), kind="flash")
    assert trials.trial.values.tolist() == [0, 2]
    assert trials.description.values.tolist() == ["flash", "flash"]
    assert trials.side.values.tolist() == ["l", "r"]
    both = epoch(ramp(), nd.make_recording(events=events)["events"], (0.1, 0.1), kind=["flash", "tone"])
    assert both.onset.values.tolist() == [1.0, 2.0, 3.0]
    some = epoch(ramp(), events, (0.1, 0.1), kind="flash", where={"side": "r"})
    assert some.trial.values.tolist() == [2]
    masked = epoch(ramp(), events, (0.1, 0.1), where=np.array([False, True, False]))
    assert masked.trial.values.tolist() == [1]


def test_trials_are_aligned_to_any_of_their_columns():
    table = {"start": [1.0, 4.0], "stop": [2.0, 5.0], "go": [1.5, np.nan], "x": [7, 8]}
    trials = nd.make_trials(table, trial=[11, 12], units={"go": "s"})
    by_start, by_go = epoch(ramp(), trials, (0, 0.1)), epoch(ramp(), trials, (0, 0.1), column="go")
    assert by_start.values[:, 0, 0].tolist() == [1.0, 4.0]
    assert by_start.trial.values.tolist() == [11, 12]
    assert by_go.values[0, 0, 0] == 1.5
    assert np.isnan(by_go.values[1]).all()
    assert by_go.stop.values.tolist() == [2.0, 5.0]


def test_a_column_with_the_name_of_a_coordinate_is_renamed():
    data = nd.make_eeg(np.zeros((50, 1)), sampling_rate=10.0, position=[[1, 2, 3]])["signal"]
    trials = epoch(data, nd.make_trials({"start": [1.0], "stop": [2.0], "x": [9]}), (0, 0.1))
    assert trials.x.values.tolist() == [1.0]
    assert trials.trial_x.values.tolist() == [9]


def test_baseline_is_subtracted_per_trial():
    trials = epoch(ramp(), [2.0, 0.1], window=(0.2, 0.1), baseline=(-0.2, -0.1))
    np.testing.assert_allclose(trials.values[0, :, 0], [-0.05, 0.05, 0.15, 0.25])
    # Of the second trial's baseline only the sample at 0.0 s was recorded.
    np.testing.assert_allclose(trials.values[1, :, 0], [np.nan, 0.0, 0.1, 0.2])


def test_spikes_are_counted_around_each_event():
    spikes = nd.make_spikes({"b": [0.9, 1.0, 1.05, 2.1], "a": []}, support=[[0.0, 2.15]])
    trials = epoch(nd.make_recording(spikes=spikes), [1.0, 2.0], (0.1, 0.2), bin_width=0.1)
    assert trials.dims == ("trial", "time", "unit")
    np.testing.assert_allclose(trials.time, [-0.05, 0.05, 0.15])
    np.testing.assert_array_equal(trials.sel(unit="b"), [[1, 2, 0], [0, 0, np.nan]])
    np.testing.assert_array_equal(trials.sel(unit="a"), [[0, 0, 0], [0, 0, np.nan]])
    assert trials.attrs["bin_width"] == 0.1
    whole = epoch(spikes, [1.0], (0.1, 0.2), bin_width=0.1)
    assert whole.dtype == np.int32


def test_windows_of_spikes_may_overlap():
    spikes = nd.make_spikes({"a": [1.0, 1.1]})
    trials = epoch(spikes, [1.1, 1.0, 1.05], (0.5, 0.5), bin_width=0.5)
    np.testing.assert_array_equal(trials.values[..., 0], [[1, 1], [0, 2], [1, 1]])


def test_binned_counts_are_cut_like_any_signal():
    counts = nd.bin_spikes(nd.make_spikes({"a": [0.15, 0.25]}, support=[[0, 1]]), 0.1)
    trials = epoch(counts, [0.25], (0.1, 0.1))
    assert trials.values[0, :, 0].tolist() == [1, 1, 0]
    assert trials.attrs["bin_width"] == 0.1


def test_lazy_file_arrays_read_the_windows_only(tmp_path):
    rec = nd.make_recording(eeg=nd.make_eeg(np.arange(2000.0).reshape(1000, 2), sampling_rate=100.0))
    read = nd.load(nd.save(rec, tmp_path / "x.nc"))["eeg"]["signal"]
    assert not read.variable._in_memory
    trials = epoch(read, [1.0, 5.0], (0.02, 0.02))
    assert not read.variable._in_memory
    xr.testing.assert_identical(trials, epoch(rec["eeg"]["signal"], [1.0, 5.0], (0.02, 0.02)))


@pytest.mark.parametrize("window", [(-0.2, 0.5), (0.0, 0.0), (np.nan, 1.0), (0.1, -0.5)])
def test_window_is_two_positive_numbers(window):
    with pytest.raises(OptionError, match="before, after"):
        epoch(ramp(), [1.0], window)


def test_errors_say_what_to_do():
    events = nd.make_events(**EVENTS)
    with pytest.raises(MissingOptionError, match="bin_width"):
        epoch(nd.make_spikes({"a": [1.0]}), [1.0], (0.1, 0.1))
    with pytest.raises(OptionError, match="for spikes only"):
        epoch(ramp(), [1.0], (0.1, 0.1), bin_width=0.1)
    with pytest.raises(OptionError, match="'bang'"):
        epoch(ramp(), events, (0.1, 0.1), kind="bang")
    with pytest.raises(OptionError, match="side"):
        epoch(ramp(), events, (0.1, 0.1), where={"colour": "red"})
    with pytest.raises(OptionError, match="at least one event"):
        epoch(ramp(), events, (0.1, 0.1), where={"side": "up"})
    with pytest.raises(OptionError, match="column="):
        epoch(ramp(), events, (0.1, 0.1), column="description")
    with pytest.raises(OptionError, match="baseline"):
        epoch(ramp(), [1.0], (0.1, 0.1), baseline=(-5.0, -4.0))
    with pytest.raises(RecordingError, match="time"):
        epoch(xr.DataArray([1.0], dims="x"), [1.0], (0.1, 0.1))
    with pytest.raises(OptionError, match="one bin"):
        epoch(nd.make_spikes({"a": [1.0]}), [1.0], (0.1, 0.1), bin_width=1.0)
