"""Counts in, sequences out: where they are cut, what is refused, and results put back in place."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodata.containers import make_counts
from neurodata.errors import MissingOptionError, RecordingError
from neurodata.models.sequences import read_counts

NAN = np.nan


def test_trials_lists_and_gaps_begin_new_sequences():
    trials = xr.DataArray(np.ones((2, 3, 2)), dims=("trial", "time", "unit"), attrs={"bin_width": 0.1})
    assert read_counts(trials).starts.tolist() == [0, 3, 6]
    a, b = make_counts(np.ones((2, 2)), 0.1), make_counts(np.ones((5, 2)), 0.1)
    assert read_counts([a, b]).starts.tolist() == [0, 2, 7]
    gap = make_counts(np.ones((4, 2)), 0.1, time=[0.05, 0.15, 0.95, 1.05])
    assert read_counts(gap).starts.tolist() == [0, 2, 4]


def test_unobserved_ends_are_left_out_and_holes_kept():
    counts = make_counts([[NAN, NAN], [1, NAN], [NAN, NAN], [2, 0], [NAN, NAN]], 0.1)
    sequences = read_counts(counts)
    assert sequences.counts.tolist() == [[1, -1], [-1, -1], [2, 0]]
    restored = sequences.restore(np.array([7, 8, 9]), -1)
    assert restored.values.tolist() == [-1, 7, 8, 9, -1]
    assert restored["time"].identical(counts["time"])


def test_restore_keeps_the_shape_of_trials_and_lists():
    trials = xr.DataArray(
        [[[1.0], [1.0]], [[NAN], [2.0]]],
        dims=("trial", "time", "unit"),
        coords={"trial": [5, 9], "time": [0.05, 0.15]},
    )
    restored = read_counts(trials).restore(np.arange(3), -1)
    assert restored.dims == ("trial", "time")
    assert restored.values.tolist() == [[0, 1], [-1, 2]]
    assert restored["trial"].values.tolist() == [5, 9]
    assert isinstance(read_counts([trials[0], trials[1]]).restore(np.arange(3), -1), list)


def test_units_are_aligned_by_id():
    a = make_counts([[1, 2]], 0.1, unit=["x", "y"])
    b = make_counts([[4, 3]], 0.1, unit=["y", "x"])
    assert read_counts([a, b]).counts.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(RecordingError, match="'y'"):
        read_counts([a, make_counts([[4, 3]], 0.1, unit=["x", "z"])])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[1, -2]], "negative"),
        ([[0.5, 1]], "fractions"),
        ([[np.inf, 1]], "infinite"),
        ([[0, 0]], "all zero"),
        ([[NAN, NAN]], "NaN"),
        (np.zeros((0, 2)), "no bins"),
        ([["a", "b"]], "dtype"),
    ],
)
def test_what_is_no_count_is_refused(values, words):
    data = xr.DataArray(values, dims=("time", "unit"), attrs={"bin_width": 0.1})
    with pytest.raises(RecordingError, match=words):
        read_counts(data)


@pytest.mark.parametrize("data", [np.ones((3, 2)), [], [np.ones((3, 2))], xr.DataArray(np.ones(3), dims="time")])
def test_what_is_no_labelled_array_is_refused(data):
    with pytest.raises(RecordingError):
        read_counts(data)


def test_bin_width_comes_from_attrs_or_a_regular_clock():
    regular = xr.DataArray(np.ones((3, 1)), dims=("time", "unit"), coords={"time": [1.0, 1.25, 1.5]})
    assert read_counts(regular).bin_width == 0.25
    irregular = regular.assign_coords(time=[1.0, 1.25, 1.75])
    with pytest.raises(MissingOptionError, match="bin_width"):
        read_counts(irregular)
    with pytest.raises(MissingOptionError, match="bin_width"):
        read_counts(regular.drop_vars("time"))
    with pytest.raises(RecordingError, match="order of time"):
        read_counts(regular.assign_attrs(bin_width=0.5))
    with pytest.raises(RecordingError, match="one bin width"):
        read_counts([make_counts([[1]], 0.1), make_counts([[1]], 0.2)])


def test_repeated_unit_ids_are_refused():
    data = xr.DataArray(np.ones((2, 2)), dims=("time", "unit"), coords={"unit": ["a", "a"]}, attrs={"bin_width": 1.0})
    with pytest.raises(RecordingError, match="distinct"):
        read_counts(data)
