"""minian results built to the layout of its writer (`save_minian`): no real folder was at hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import FormatError, MissingOptionError, RecordingError

UNITS, FRAMES = [4, 9], np.array([0, 1, 2, 3, 4, 5])


def arrays(frames=FRAMES):
    rng = np.random.default_rng(5)
    coords = {"unit_id": UNITS, "frame": frames}
    found = {
        name: xr.DataArray(rng.random((2, len(frames))), coords, ["unit_id", "frame"], name=name)
        for name in ("C", "S", "YrA")
    }
    image = np.zeros((2, 3, 4))
    image[0, 1, 2], image[1, 0, 0], image[1, 2, 3] = 0.5, 1.0, 2.0
    space = {"unit_id": UNITS, "height": [10, 11, 12], "width": [20, 21, 22, 23]}
    found["A"] = xr.DataArray(image, space, ["unit_id", "height", "width"], name="A")
    return found


def write(folder, found):
    pytest.importorskip("zarr")
    folder.mkdir()
    for name, array in found.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(consolidated|Zarr V3|zarr_format).*")
            array.to_dataset().to_zarr(folder / f"{name}.zarr", zarr_format=2)
    return folder


def test_a_folder_of_zarr_arrays(tmp_path):
    found = arrays()
    rec = nd.load(write(tmp_path / "minian", found), sampling_rate=20.0)
    node = rec["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], found["YrA"].values.T)
    np.testing.assert_array_equal(node["denoised"], found["C"].values.T)
    np.testing.assert_array_equal(node["deconvolved"], found["S"].values.T)
    assert node["roi"].values.tolist() == UNITS
    np.testing.assert_array_equal(node["time"], FRAMES / 20.0)
    assert node["mask_count"].values.tolist() == [1, 2]
    assert node["mask_row"].values.tolist() == [11, 10, 12]
    assert node["mask_col"].values.tolist() == [22, 20, 23]
    assert node["mask_weight"].values.tolist() == [0.5, 1.0, 2.0]
    nd.save(rec, tmp_path / "copy.nc")
    assert nd.load(tmp_path / "copy.nc").identical(rec)


def test_frames_left_out_stay_gaps(tmp_path):
    frames = np.array([100, 102, 104, 110])
    node = nd.load(write(tmp_path / "minian", arrays(frames)), sampling_rate=20.0)["calcium"]
    np.testing.assert_array_equal(node["time"], frames / 20.0)
    assert node["frame"].values.tolist() == frames.tolist()
    assert "sampling_rate" not in node.attrs


def test_times_of_the_miniscope(tmp_path):
    folder = write(tmp_path / "minian", arrays())
    with pytest.raises(MissingOptionError, match="sampling_rate="):
        nd.load(folder)
    stamps = np.array([0.0, 51.0, 99.0, 150.5, 201.0, 249.0])
    lines = ["Frame Number,Time Stamp (ms),Buffer Index", *(f"{i},{t},0" for i, t in enumerate(stamps))]
    (tmp_path / "timeStamps.csv").write_text("\n".join(lines))
    np.testing.assert_allclose(nd.load(folder)["calcium"]["time"], stamps / 1000.0, rtol=0, atol=1e-12)


def test_netcdf_and_c_alone(tmp_path):
    c = arrays()["C"]
    c.to_dataset().to_netcdf(tmp_path / "minian.nc", engine="h5netcdf")
    node = nd.load(tmp_path / "minian.nc", reader="minian", sampling_rate=10.0)["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], c.values.T)


def test_units_that_disagree_and_foreign_content(tmp_path):
    found = arrays()
    found["S"] = found["S"].assign_coords(unit_id=[4, 8])
    with pytest.raises(RecordingError, match="S with the units"):
        nd.load(write(tmp_path / "minian", found), sampling_rate=20.0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"C\.zarr"):
        nd.load(tmp_path / "empty", reader="minian", sampling_rate=20.0)
    (tmp_path / "cut.nc").write_bytes(b"\x89HDF\r\n\x1a\n cut")
    with pytest.raises(FormatError, match="copy them again"):
        nd.load(tmp_path / "cut.nc", reader="minian", sampling_rate=20.0)
