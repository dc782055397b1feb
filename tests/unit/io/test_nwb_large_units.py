"""Large Units tables: their spike times stay in the file until they are used, and are checked then."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import RecordingError
from neurodata.io import nwb_units

pynwb = pytest.importorskip("pynwb")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Three units, one silent, in a file that counts as large."""
    from datetime import UTC, datetime

    monkeypatch.setattr(nwb_units, "_LATER_FROM", 10)
    rng = np.random.default_rng(3)
    trains = [np.sort(rng.uniform(0, 30, 400)), np.zeros(0), np.sort(rng.uniform(0, 30, 250))]
    nwb = pynwb.NWBFile("x", "x", datetime(2020, 1, 1, tzinfo=UTC))
    for i, train in enumerate(trains):
        nwb.add_unit(spike_times=train, id=10 + i)
    path = tmp_path / "large.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path, trains


def change(path, where, value):
    with h5py.File(path, "r+") as opened:
        opened["units/spike_times"][where] = value


def test_times_are_read_when_used_and_are_those_of_the_file(file, tmp_path):
    path, trains = file
    rec = nd.load(path)
    node = rec["spikes"].to_dataset()
    assert not node.variables["spike_time"]._in_memory
    assert node["spike_time"].isel(spike=slice(3, 6)).values.tolist() == trains[0][3:6].tolist()
    assert node["spike_time"].values.tolist() == np.concatenate(trains).tolist()
    assert node["spike_unit"].values.tolist() == [0] * 400 + [2] * 250
    assert node["spike_count"].values.tolist() == [400, 0, 250]
    assert nd.load(nd.save(rec, tmp_path / "again.nc")).identical(rec)


def test_it_equals_the_recording_read_at_once(file, monkeypatch):
    path, _ = file
    later = nd.load(path)
    monkeypatch.setattr(nwb_units, "_LATER_FROM", 10**9)
    now = nd.load(path)
    assert now["spikes"].to_dataset().variables["spike_time"]._in_memory
    assert later.identical(now)
    assert nd.bin_spikes(later, 0.5).identical(nd.bin_spikes(now, 0.5))


def test_it_pickles_and_goes_through_dask(file):
    path, trains = file
    rec = pickle.loads(pickle.dumps(nd.load(path)))
    assert rec["spikes"]["spike_time"].values.tolist() == np.concatenate(trains).tolist()
    assert nd.load(path, chunks={"spike": 100})["spikes"]["spike_time"].sum().compute() == pytest.approx(
        sum(train.sum() for train in trains)
    )


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [(5, np.nan, "NaN"), (5, 1e9, "not sorted"), (0, -4.0, "negative"), (649, np.inf, "infinite")],
)
def test_bad_times_are_refused_at_the_check_at_first_use_and_at_saving(file, tmp_path, where, value, words):
    path, _ = file
    change(path, where, value)
    rec = nd.load(path)
    with pytest.raises(RecordingError, match=words):
        nd.check(rec)
    with pytest.raises(RecordingError, match=words):
        _ = nd.load(path)["spikes"]["spike_time"].values
    with pytest.raises(RecordingError, match=words):
        nd.save(nd.load(path), tmp_path / "bad.nc")
    assert not (tmp_path / "bad.nc").exists()


def test_milliseconds_are_refused_at_first_use(file):
    path, trains = file
    change(path, slice(None), np.concatenate(trains) * 1000)
    with pytest.raises(RecordingError, match="do not look like seconds"):
        nd.check(nd.load(path))
    assert nd.load(path, time_unit="ms")["spikes"]["spike_time"].values[0] == pytest.approx(trains[0][0])
