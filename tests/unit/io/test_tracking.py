"""videoPositionTracking files written record by record."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import FormatError, MissingOptionError

FIELDS = "<time uint32><xloc uint16><yloc uint16><xloc2 uint16><yloc2 uint16>"
DTYPE = [("time", "<u4"), ("x", "<u2"), ("y", "<u2"), ("x2", "<u2"), ("y2", "<u2")]


def write(path, records, dtype=DTYPE, fields=FIELDS, settings="clockrate: 30000\npixel scale: 0 pix/cm\n"):
    header = f"<Start settings>\nthreshold: 199\n{settings}Fields: {fields}\n<End settings>\n"
    path.write_bytes(header.encode() + np.array(records, dtype=dtype).tobytes())
    return path


def test_points_times_and_settings(tmp_path):
    path = write(tmp_path / "run.videoPositionTracking", [(30000, 1, 2, 3, 4), (30500, 5, 6, 0, 0)])
    node = nd.load(path)["behaviour"]
    np.testing.assert_array_equal(node["time"], [1.0, 30500 / 30000])
    position = node["position"].sel(individual="individual_0")
    np.testing.assert_array_equal(position.sel(keypoint="led1", space="x"), [1, 5])
    np.testing.assert_array_equal(position.sel(keypoint="led1", space="y"), [2, 6])
    np.testing.assert_array_equal(position.sel(keypoint="led2", space="x"), [3, 0])
    np.testing.assert_array_equal(position.sel(keypoint="led2", space="y"), [4, 0])
    assert node["position"].attrs["units"] == "px"
    assert (node.attrs["threshold"], node.attrs["pixel_scale"]) == ("199", "0 pix/cm")
    assert "pixels_per_cm" not in node.attrs


def test_a_known_pixel_scale_is_a_number(tmp_path):
    path = write(
        tmp_path / "a.videoPositionTracking", [(1, 1, 2, 3, 4)], settings="clockrate: 10\npixel scale: 7.5 pix/cm\n"
    )
    assert nd.load(path)["behaviour"].attrs["pixels_per_cm"] == 7.5


def test_further_fields_become_signals(tmp_path):
    dtype = [("time", "<u4"), ("x", "<u2"), ("y", "<u2"), ("v", "<f8"), ("w", "<i2", (2,))]
    fields = "<time uint32><xloc uint16><yloc uint16><velocity double><wheel int16*2>"
    path = write(tmp_path / "a.videoPositionTracking", [(10, 1, 2, 0.5, (7, -8))], dtype, fields)
    value = nd.load(path)["behaviour"]["value"]
    assert value["signal"].values.tolist() == ["velocity", "wheel_0", "wheel_1"]
    assert value.values.tolist() == [[0.5, 7.0, -8.0]]


def test_two_frames_in_one_tick_are_kept(tmp_path):
    path = write(tmp_path / "a.videoPositionTracking", [(1, 1, 2, 0, 0), (2, 3, 4, 0, 0), (2, 5, 6, 0, 0)])
    assert nd.load(path)["behaviour"].sizes["time"] == 3


@pytest.mark.parametrize(
    ("cut", "message"),
    [(3, "cut short"), (30, "cut short")],
)
def test_a_truncated_record(tmp_path, cut, message):
    path = write(tmp_path / "a.videoPositionTracking", [(1, 1, 2, 3, 4)] * 3)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(FormatError, match=message):
        nd.load(path)


def test_headers_that_make_no_sense(tmp_path):
    path = tmp_path / "a.videoPositionTracking"
    path.write_bytes(b"<Start settings>\nclockrate: 30\n")
    with pytest.raises(FormatError, match="no end"):
        nd.load(path, reader="tracking")
    path.write_bytes(b"something else")
    with pytest.raises(FormatError, match="without it"):
        nd.load(path, reader="tracking")
    with pytest.raises(FormatError, match="of type complex"):
        nd.load(write(path, [(1, 1, 2, 3, 4)], fields="<time uint32><xloc complex>"))
    with pytest.raises(FormatError, match="field named time"):
        nd.load(write(path, [(1, 1, 2, 3, 4)], fields=FIELDS.replace("time", "tick")))
    with pytest.raises(MissingOptionError, match="sampling_rate="):
        nd.load(write(path, [(1, 1, 2, 3, 4)], settings=""))
    rec = nd.load(write(path, [(5, 1, 2, 3, 4)], settings=""), sampling_rate=10.0)
    assert rec["behaviour"]["time"].values.tolist() == [0.5]
