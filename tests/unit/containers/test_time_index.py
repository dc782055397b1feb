"""The lazy regular time axis behaves as the same times in memory do. Expected values come from pandas indexes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from neurodata.containers.store import read_tree, write_tree
from neurodata.containers.time_index import RegularTimeIndex, regular_time
from neurodata.errors import RecordingError

N = 400
# A rate that is no binary fraction, a negative start, a clock with a large offset: where rounding bites.
AXES = [(512.0, 0.0), (100 / 3, 0.1), (0.7, -5.3), (1000.0, 1e9)]


def both(rate: float, start: float) -> tuple[xr.Dataset, xr.Dataset]:
    data = xr.Dataset({"signal": (("time", "channel"), np.random.default_rng(0).normal(size=(N, 2)))})
    return data.assign_coords(regular_time(N, rate, start, lazy_from=1)), data.assign_coords(
        regular_time(N, rate, start)
    )


@pytest.mark.parametrize(("rate", "start"), AXES)
def test_is_lazy_and_equal_to_times_in_memory(rate, start):
    lazy, plain = both(rate, start)
    assert isinstance(lazy.xindexes["time"], RegularTimeIndex)
    assert isinstance(plain.xindexes["time"], xr.indexes.PandasIndex)
    assert lazy.equals(plain)
    assert lazy["time"].attrs == plain["time"].attrs == {"units": "s", "long_name": "time"}
    np.testing.assert_array_equal(lazy["time"].values, start + np.arange(N) / rate)


@pytest.mark.parametrize(("rate", "start"), AXES)
def test_slices_of_time_take_both_ends_in(rate, start):
    lazy, plain = both(rate, start)
    time, rng = plain["time"].values, np.random.default_rng(1)
    for _ in range(100):
        low, high = sorted(rng.integers(0, N, 2))
        edges = [
            (time[low], time[high]),
            (np.nextafter(time[low], np.inf), np.nextafter(time[high], -np.inf)),
            (time[low] + rng.normal() / rate, time[high] + rng.normal() / rate),
            (None, time[high]),
            (time[low] - 1e6, None),
        ]
        for edge in edges:
            chosen = lazy.sel(time=slice(*edge))
            assert chosen.equals(plain.sel(time=slice(*edge)))
            assert isinstance(chosen.xindexes["time"], RegularTimeIndex)


@pytest.mark.parametrize(("rate", "start"), AXES)
@pytest.mark.parametrize("method", ["nearest", "pad", "backfill"])
def test_labels_by_method(rate, start, method):
    lazy, plain = both(rate, start)
    time, rng = plain["time"].values, np.random.default_rng(2)
    for label in rng.uniform(time[1], time[-2], 50):
        assert lazy.sel(time=label, method=method).equals(plain.sel(time=label, method=method))
    labels = rng.uniform(time[1], time[-2], 7)
    assert lazy.sel(time=labels, method=method).equals(plain.sel(time=labels, method=method))
    wanted = xr.DataArray(labels, dims="event")
    assert lazy.sel(time=wanted, method=method).equals(plain.sel(time=wanted, method=method))


def test_exact_labels_and_misses():
    lazy, plain = both(100 / 3, 0.1)
    time = plain["time"].values
    assert lazy.sel(time=time[7]).equals(plain.sel(time=time[7]))
    for label, options in [
        (time[7] + 1e-6, {}),
        (time[0] - 1.0, {"method": "pad"}),
        (time[-1] + 1.0, {"method": "backfill"}),
        (time[-1] + 1.0, {"method": "nearest", "tolerance": 0.5}),
        (np.nan, {"method": "nearest"}),
    ]:
        with pytest.raises(KeyError):
            lazy.sel(time=label, **options)
    with pytest.raises(ValueError, match="method"):
        lazy.sel(time=1.0, method="closest")


def test_positions():
    lazy, plain = both(100 / 3, 0.1)
    for which in [slice(3, 90, 7), slice(None, None, -2), [5, 1, -1], 4, slice(10, 10), np.arange(N) > 380]:
        assert lazy.isel(time=which).equals(plain.isel(time=which)), which
    strided = lazy.isel(time=slice(3, None, 7))
    assert isinstance(strided.xindexes["time"], RegularTimeIndex)
    assert strided.sel(time=slice(1.0, 5.0)).equals(plain.isel(time=slice(3, None, 7)).sel(time=slice(1.0, 5.0)))


def test_pickle_arithmetic_and_chunks():
    lazy, plain = both(512.0, 0.0)
    assert pickle.loads(pickle.dumps(lazy)).identical(lazy)
    assert (lazy + lazy).equals(plain + plain)
    chunked = lazy.chunk(time=50)
    assert chunked.sel(time=slice(0.1, 0.2)).equals(plain.sel(time=slice(0.1, 0.2)))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_store_keeps_the_axis_lazy_and_identical(tmp_path, suffix):
    if suffix == ".zarr":
        pytest.importorskip("zarr")
    lazy, plain = both(100 / 3, 0.1)
    for dataset in (lazy, lazy.isel(time=slice(3, 300, 7)), plain):
        tree = xr.DataTree.from_dict({"/eeg": dataset})
        path = write_tree(tree, tmp_path / f"axis{suffix}")
        again = read_tree(path)
        assert again.identical(tree)
        assert type(again["eeg"].xindexes["time"]) is type(dataset.xindexes["time"])
    # Other programs find plain times in the file.
    write_tree(xr.DataTree.from_dict({"/eeg": lazy}), tmp_path / f"other{suffix}")
    engine = "h5netcdf" if suffix == ".nc" else "zarr"
    other = xr.open_dataset(tmp_path / f"other{suffix}", group="eeg", engine=engine, decode_timedelta=False)
    np.testing.assert_array_equal(other["time"].values, plain["time"].values)


def test_short_axes_stay_in_memory():
    assert isinstance(regular_time(999_999, 1.0).xindexes["time"], xr.indexes.PandasIndex)
    assert isinstance(regular_time(1_000_000, 1.0).xindexes["time"], RegularTimeIndex)
    with pytest.raises(RecordingError, match="sampling rate"):
        regular_time(5, 0.0)
