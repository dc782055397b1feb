"""CaImAn files built to the layout of its writer (`save_dict_to_hdf5`): no real file was at hand."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.sparse import csc_matrix

import neurodata as nd
from neurodata.errors import FormatError, MissingOptionError, RecordingError

N_ROIS, N_FRAMES, HEIGHT, WIDTH = 3, 12, 4, 5


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return {name: rng.random((N_ROIS, N_FRAMES)) for name in ("C", "S", "F_dff", "YrA")}


@pytest.fixture
def write(tmp_path, arrays):
    def make(leave_out=(), rate=15.0, **replace):
        path = tmp_path / "results.hdf5"
        footprint = np.zeros((HEIGHT * WIDTH, N_ROIS))
        footprint[[0, 1], 0] = 1.0, 2.0
        footprint[HEIGHT * 2 + 3, 1] = 3.0
        sparse = csc_matrix(footprint)
        with h5py.File(path, "w") as file:
            for name, values in {**arrays, **replace}.items():
                if name not in leave_out:
                    file[f"estimates/{name}"] = values
            for name in ("data", "indices", "indptr", "shape"):
                file[f"estimates/A/{name}"] = getattr(sparse, name)
            file["estimates/idx_components"] = np.array([0, 2])
            file["estimates/SNR_comp"] = np.array([3.0, 1.0, 5.0])
            file["estimates/r_values"] = np.array([0.9, 0.1, 0.8])
            file["estimates/cnn_preds"] = "NoneType"
            file["dims"] = np.array([HEIGHT, WIDTH])
            if rate is not None:
                file["params/data/fr"] = rate
        return path

    return make


def test_traces_quality_and_acceptance(write, arrays):
    node = nd.load(write())["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], (arrays["C"] + arrays["YrA"]).T)
    np.testing.assert_array_equal(node["denoised"], arrays["C"].T)
    np.testing.assert_array_equal(node["dff"], arrays["F_dff"].T)
    np.testing.assert_array_equal(node["deconvolved"], arrays["S"].T)
    assert node["is_cell"].values.tolist() == [True, False, True]
    assert node["snr"].values.tolist() == [3.0, 1.0, 5.0]
    assert "cnn_probability" not in node
    np.testing.assert_array_equal(node["time"], np.arange(N_FRAMES) / 15.0)


def test_masks_follow_the_columns_of_the_image(write):
    node = nd.load(write())["calcium"]
    assert node["mask_count"].values.tolist() == [2, 1, 0]
    assert node["mask_row"].values.tolist() == [0, 1, 3]
    assert node["mask_col"].values.tolist() == [0, 0, 2]
    assert node["mask_weight"].values.tolist() == [1.0, 2.0, 3.0]


def test_what_caiman_did_not_compute_is_absent(write, arrays):
    path = write(leave_out=("YrA",), F_dff="NoneType")
    node = nd.load(path)["calcium"]
    np.testing.assert_array_equal(node["fluorescence"], arrays["C"].T)
    assert "dff" not in node


def test_lazy_traces_select_like_arrays_and_round_trip(write, arrays, tmp_path):
    rec = nd.load(write())
    assert not rec["calcium"]["deconvolved"].variable._in_memory
    picked = rec["calcium"]["deconvolved"].isel(time=slice(2, 9, 3), roi=[2, 0])
    np.testing.assert_array_equal(picked, arrays["S"].T[2:9:3][:, [2, 0]])
    nd.save(rec, tmp_path / "copy.nc")
    assert nd.load(tmp_path / "copy.nc").identical(rec)


def test_rate_must_be_known(write):
    with pytest.raises(MissingOptionError, match="sampling_rate="):
        nd.load(write(rate=None))
    assert nd.load(write(rate=None), sampling_rate=3.0)["calcium"].attrs["sampling_rate"] == 3.0


def test_frames_that_disagree(write):
    with pytest.raises(RecordingError, match=r"S \(3, 11\)"):
        nd.load(write(S=np.zeros((N_ROIS, N_FRAMES - 1))))


def test_truncated_and_foreign_files(write, tmp_path):
    content = write().read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="cut short"):
        nd.load(tmp_path / "cut.hdf5", reader="caiman")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(FormatError, match="estimates/C"):
        nd.load(tmp_path / "other.hdf5", reader="caiman")
