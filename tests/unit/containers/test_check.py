"""`nd.check`: every problem in one message."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import RecordingError


def a_recording() -> xr.DataTree:
    return nd.make_recording(
        spikes=nd.make_spikes({"a": [0.1, 0.2], "b": [0.3]}),
        eeg=nd.make_eeg(np.zeros((4, 2)), channel=["x", "y"], sampling_rate=2.0),
    )


def test_all_problems_come_at_once():
    rec = a_recording()
    broken = rec.copy(deep=True)
    spikes = broken["spikes"].to_dataset()
    spikes["spike_time"][:] = np.nan
    spikes["spike_time"].attrs["units"] = "ms"
    eeg = broken["eeg"].to_dataset().assign_coords(channel=["x", "x"])
    eeg.attrs["bads"] = ["x"]
    broken["spikes"] = xr.DataTree(spikes)
    broken["eeg"] = xr.DataTree(eeg)
    with pytest.raises(RecordingError) as caught:
        nd.check(broken)
    text = str(caught.value)
    for words in ("3 spike times are NaN", "units 's'", "channel ids must be unique", "'bads'", "4 problems"):
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ds: ds.assign(spike_unit=("spike", np.array([0, 1, 0]))), "not sorted by unit"),
        (lambda ds: ds.assign(spike_unit=("spike", np.array([0, 0, 7]))), "rows of unit"),
        (lambda ds: ds.assign(spike_count=("unit", np.array([1, 2]))), "does not count"),
        (lambda ds: ds.assign(spike_time=ds["spike_time"].astype("f4").astype(int)), "dtype"),
        (lambda ds: ds.drop_vars("spike_unit"), "missing"),
        (lambda ds: ds.rename(spike="event"), "dims"),
        (lambda ds: ds.assign(note=("unit", np.array([None, 1], dtype=object))), "Python objects"),
        (lambda ds: ds.assign(note=("unit", [1, 2], {"scale_factor": 2.0})), "scale_factor"),
    ],
)
def test_each_broken_spikes_node_is_named(change, words):
    rec = a_recording()
    rec["spikes"] = xr.DataTree(change(rec["spikes"].to_dataset()))
    with pytest.raises(RecordingError, match=words):
        nd.check(rec)


def test_a_dataset_is_not_a_recording():
    with pytest.raises(RecordingError, match="DataTree"):
        nd.check(a_recording()["eeg"].to_dataset())


def test_a_tree_of_other_things_is_not_a_recording():
    with pytest.raises(RecordingError, match="no node is named"):
        nd.check(xr.DataTree.from_dict({"/x": xr.Dataset({"y": 1})}))


def test_problems_of_sessions_carry_their_path():
    broken = a_recording()
    broken.attrs["flag"] = True
    tree = nd.containers.make_sessions({"monday": a_recording(), "tuesday": broken})
    with pytest.raises(RecordingError, match="tuesday: the attr 'flag'"):
        nd.check(tree)
