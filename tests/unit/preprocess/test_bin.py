"""Counts per bin: edges, support, defaults, rebinning, errors."""

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata._core.provenance import operations
from neurodata.errors import MissingOptionError, OptionError, RecordingError


def counts_of(times, width, support=None, **limits):
    spikes = nd.make_spikes({"a": times}, support=support)
    return nd.bin_spikes(spikes, width, **limits)


def test_a_spike_on_an_edge_opens_the_bin():
    counts = counts_of([0.0, 0.02, 0.06], 0.02, support=[[0.0, 0.1]])
    assert counts.values.ravel().tolist() == [1, 1, 0, 1, 0]
    assert counts.dtype == np.int32


@pytest.mark.parametrize("width", [0.1, 0.02, 0.3, 0.07, 1 / 3, 1e-3])
@pytest.mark.parametrize("start", [0.0, 0.1, 1234.567, -3.3])
def test_every_float_edge_falls_into_its_own_bin(width, start):
    edge = start + np.arange(401) * width
    spikes = nd.make_spikes({"on": edge[:-1], "before": np.nextafter(edge[1:], -np.inf)}, support=[[start - 1, 2000.0]])
    counts = nd.bin_spikes(spikes, width, start=start, stop=start + 400 * width)
    assert counts.sizes["time"] == 400
    assert (counts.values == 1).all()


def test_time_is_the_centre_and_attrs_say_how():
    counts = counts_of([10.3], 0.5, support=[[10.0, 11.2]])
    np.testing.assert_allclose(counts.time, [10.25, 10.75])
    assert counts.attrs["bin_width"] == 0.5
    assert counts.attrs["closed"] == "left"
    assert counts.attrs["units"] == "1"
    assert counts.attrs["bin_start"] == 10.0
    assert counts.attrs["dropped_s"] == pytest.approx(0.2)
    assert counts.time.attrs["units"] == "s"
    assert operations(counts.attrs)[-1]["operation"] == "bin_spikes"


def test_a_support_of_a_whole_number_of_bins_loses_none_to_rounding():
    # 0.1 * 3 is above 0.3 in floating point.
    assert counts_of([0.25], 0.1, support=[[0.0, 0.3]]).values.ravel().tolist() == [0, 0, 1]


def test_bins_outside_the_support_are_nan_and_their_spikes_are_reported():
    counts = counts_of([0.05, 0.14, 0.31, 0.45], 0.1, support=[[0.0, 0.15], [0.3, 0.5]])
    np.testing.assert_array_equal(counts.values.ravel(), [1, np.nan, np.nan, 1, 1])
    assert counts.attrs["n_spikes_outside"] == 1


def test_stretches_that_touch_are_one():
    counts = counts_of([0.05], 0.1, support=[[0.0, 0.15], [0.15, 0.3]])
    assert counts.dtype == np.int32
    assert counts.values.ravel().tolist() == [1, 0, 0]


def test_start_before_the_recording_was_not_observed():
    counts = counts_of([1.05], 0.5, support=[[1.0, 2.0]], start=0.0)
    np.testing.assert_array_equal(counts.values.ravel(), [np.nan, np.nan, 1, 0])


def test_without_support_the_bins_span_the_spikes():
    counts = counts_of([0.31, 0.72], 0.1)
    assert counts.attrs["bin_start"] == pytest.approx(0.3)
    assert counts.values.ravel().tolist() == [1, 0, 0, 0, 1]
    assert counts.attrs["n_spikes_outside"] == 0


@pytest.mark.parametrize("last", [0.3, 0.6, 0.9000000000000001, 2.1])
def test_without_support_a_last_spike_on_an_edge_is_counted(last):
    counts = counts_of([0.0, last], 0.3)
    assert int(counts.sum()) == 2
    assert int(counts[-1, 0]) == 1


def test_limits_leave_spikes_outside():
    counts = counts_of([0.1, 0.5, 0.9], 0.2, start=0.4, stop=0.8)
    assert counts.values.ravel().tolist() == [1, 0]
    assert counts.attrs["n_spikes_outside"] == 2


def test_silent_units_and_unit_coordinates_stay_in_order():
    spikes = nd.make_spikes({"z": [], "a": [0.1]}, support=[[0, 1]], depth=[20.0, 10.0], attrs={"probe": "A"})
    counts = nd.bin_spikes(spikes, 0.5)
    assert counts.unit.values.tolist() == ["z", "a"]
    assert counts.sum("time").values.tolist() == [0, 1]
    assert counts.depth.values.tolist() == [20.0, 10.0]
    assert counts.attrs["probe"] == "A"


def test_only_silent_units_need_limits():
    spikes = nd.make_spikes({"a": [], "b": []})
    with pytest.raises(MissingOptionError, match="start="):
        nd.bin_spikes(spikes, 0.1)
    assert nd.bin_spikes(spikes, 0.1, start=0.0, stop=0.3).shape == (3, 2)
    known = nd.make_spikes({"a": []}, support=[[0.0, 1.0]])
    assert nd.bin_spikes(known, 0.25).values.ravel().tolist() == [0, 0, 0, 0]


def test_recording_node_and_dataset_give_the_same():
    node = nd.make_spikes({"a": [0.1, 0.2]}, support=[[0, 1]])
    rec = nd.make_recording(spikes=node)
    for data in (rec, rec["spikes"]):
        xr.testing.assert_identical(nd.bin_spikes(data, 0.1), nd.bin_spikes(node, 0.1))


def test_the_rate_of_the_voltages_is_not_that_of_the_counts():
    node = nd.make_spikes({"a": [0.1]}, attrs={"sampling_rate": 30000.0})
    counts = nd.bin_spikes(node, 0.1)
    assert "sampling_rate" not in counts.attrs
    assert counts.attrs["spike_sampling_rate"] == 30000.0


@pytest.mark.parametrize("width", [0.0, -1.0, np.nan, np.inf])
def test_width_must_be_positive(width):
    with pytest.raises(OptionError, match="bin_width"):
        counts_of([0.1], width)


def test_errors_name_the_limits():
    with pytest.raises(OptionError, match="whole bin"):
        counts_of([0.1], 0.5, start=0.0, stop=0.4)
    with pytest.raises(OptionError, match="stop"):
        counts_of([0.1], 0.5, stop=np.nan)
    with pytest.raises(RecordingError, match="spikes"):
        nd.bin_spikes(nd.make_recording(events=nd.make_events([1.0])), 0.1)


def test_unsorted_spikes_are_an_error_not_a_wrong_count():
    node = nd.make_spikes({"a": [0.1, 0.2], "b": [0.3, 0.4]}, support=[[0, 1]])
    broken = node.assign(spike_time=("spike", [0.1, 0.2, 0.4, 0.3], node.spike_time.attrs))
    with pytest.raises(RecordingError, match="'b'"):
        nd.bin_spikes(broken, 0.1)


def binned_node(values, width, start=0.0, time=None):
    from neurodata.containers import make_counts

    return make_counts(values, width, start=start, time=time).to_dataset()


def test_counts_are_rebinned_by_whole_multiples():
    node = binned_node(np.arange(7)[:, None], 0.1, start=5.0)
    counts = nd.bin_spikes(node, 0.2)
    assert counts.values.ravel().tolist() == [1, 5, 9]
    np.testing.assert_allclose(counts.time, [5.1, 5.3, 5.5])
    assert counts.attrs["dropped_s"] == pytest.approx(0.1)
    assert counts.attrs["n_spikes_outside"] == 6


def test_rebinned_counts_honour_nan_and_missing_bins():
    node = binned_node(np.array([[1, 1], [2, np.nan], [3, 1], [4, 1]]), 0.1, time=np.array([0.05, 0.15, 0.25, 0.45]))
    counts = nd.bin_spikes(node, 0.2)
    np.testing.assert_array_equal(counts.values, [[3, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize("width", [0.15, 0.05, 0.25])
def test_counts_cannot_be_split(width):
    with pytest.raises(OptionError, match="whole multiple"):
        nd.bin_spikes(binned_node(np.ones((6, 1)), 0.1), width)


def test_rebinning_stays_on_the_grid():
    with pytest.raises(OptionError, match="grid"):
        nd.bin_spikes(binned_node(np.ones((6, 1)), 0.1), 0.2, start=0.03)
    assert nd.bin_spikes(binned_node(np.ones((6, 1)), 0.1), 0.2, start=0.2).values.ravel().tolist() == [2, 2]
