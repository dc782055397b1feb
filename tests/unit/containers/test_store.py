"""The store: lossless, atomic, checksummed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.containers.store import read_tree, write_tree
from neurodata.errors import FormatError, OptionError, PathNotFoundError, RecordingError, StoreError

SUFFIXES = [".nc", ".zarr"]


def a_recording(seed: int = 0, n: int = 500) -> xr.DataTree:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, 3))
    signal[5:9, 1] = np.nan
    return nd.make_recording(
        spikes=nd.make_spikes(
            {"ä/1": np.sort(rng.uniform(0, 10, 40)), "empty": []}, quality=["good", ""], support=[[0, 4], [4, 11]]
        ),
        calcium=nd.make_calcium(
            rng.normal(size=(n, 4)).astype("f4"), sampling_rate=15.0, masks=[([1], [2], [0.5])] * 4, is_cell=[True] * 4
        ),
        eeg=nd.make_eeg(
            signal, channel=["A/B", "ü", "C"], time=np.r_[np.arange(n - 1) / 100, 99.0], position=np.eye(3)
        ),
        events=nd.make_events([], description=""),
        trials=nd.make_trials({"start": [0.0], "stop": [np.nan], "note": [""], "right": [True], "n": [3]}),
        attrs={"subject_id": "mouse é", "nested": {"a": [1, None]}},
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("lazy", [True, False])
def test_round_trip_is_identical(tmp_path, suffix, lazy):
    rec = a_recording()
    path = nd.save(rec, tmp_path / f"rec{suffix}")
    again = nd.load(path, lazy=lazy)
    xr.testing.assert_identical(again, rec)
    for node in rec.subtree:
        for name, variable in node.variables.items():
            assert again[node.path].variables[name].dtype.kind == variable.dtype.kind
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_lazy_recording_can_be_saved_over_its_own_file(tmp_path, suffix):
    rec = a_recording()
    path = nd.save(rec, tmp_path / f"rec{suffix}")
    nd.save(nd.load(path), path)
    xr.testing.assert_identical(nd.load(path), rec)


def test_dask_arrays_are_written_and_come_back(tmp_path):
    rec = a_recording()
    path = nd.save(rec.chunk({"time": 100}), tmp_path / "rec.nc")
    xr.testing.assert_identical(nd.load(path), rec)
    assert nd.load(path, chunks={"time": 50})["eeg"]["signal"].chunksizes["time"][0] == 50


def test_an_invalid_recording_is_not_written(tmp_path):
    rec = a_recording()
    rec.attrs["flag"] = True
    with pytest.raises(RecordingError, match="flag"):
        nd.save(rec, tmp_path / "rec.nc")
    assert not list(tmp_path.iterdir())


def test_other_suffixes_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"\.nc or \.zarr"):
        nd.save(a_recording(), tmp_path / "rec.mat")
    with pytest.raises(StoreError, match="folder"):
        nd.save(a_recording(), tmp_path / "no" / "rec.nc")
    path = nd.save(a_recording(), tmp_path / "rec.nc")
    with pytest.raises(StoreError, match="overwrite"):
        nd.save(a_recording(), path, overwrite=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_old_file_survives_a_failed_save(tmp_path, suffix):
    """A full disk, made by a limit on the size of files: the write fails half-way, the old recording is still there."""
    old = a_recording(1)
    path = nd.save(old, tmp_path / f"rec{suffix}")
    code = f"""
        import resource, signal, sys
        import numpy as np
        import neurodata as nd
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        noise = np.random.default_rng(0).normal(size=(40_000, 16))
        rec = nd.make_recording(eeg=nd.make_eeg(noise, sampling_rate=100.0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            nd.save(rec, {str(path)!r})
        except nd.errors.StoreError as error:
            assert "nothing was changed" in str(error)
            sys.exit(42)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 42, done.stderr
    assert list(tmp_path.iterdir()) == [path]
    xr.testing.assert_identical(nd.load(path), old)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = nd.save(a_recording(), tmp_path / "rec.nc")
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(FormatError):
        nd.load(path, lazy=False)


def test_a_damaged_chunk_is_found_when_it_is_read(tmp_path):
    """fletcher32: a flipped byte inside stored data is an error, never a wrong number."""
    rec = a_recording(n=5000)
    path = nd.save(rec, tmp_path / "rec.nc")
    with h5py.File(path) as file:
        chunk = file["eeg/signal"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FormatError, match="damaged"):
        nd.load(path, lazy=False)


def test_a_damaged_zarr_folder_is_refused(tmp_path):
    path = nd.save(a_recording(), tmp_path / "rec.zarr")
    chunk = next(file for file in (path / "eeg" / "signal").iterdir() if not file.name.startswith("."))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(FormatError, match="changed or missing"):
        nd.load(path)


def test_a_netcdf_file_of_another_program_is_refused(tmp_path):
    xr.Dataset({"x": ("y", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(FormatError, match="schema"):
        nd.load(tmp_path / "other.nc")


def test_a_missing_path_is_said(tmp_path):
    with pytest.raises(PathNotFoundError, match="does not exist"):
        nd.load(tmp_path / "no.nc")


def test_results_and_other_trees_go_through_the_same_writer(tmp_path):
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"a": 1}), "/posterior": xr.Dataset({"x": ("draw", [1.0, 2.0])})}
    )
    xr.testing.assert_identical(read_tree(write_tree(tree, tmp_path / "result.nc")), tree)
