"""XDF: streams written to the layout of the format's specification, so that every value is known."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import FormatError, NeurodataWarning
from neurodata.io.xdf import detect

RATE = 100.0


def chunk(tag: int, content: bytes) -> bytes:
    body = struct.pack("<H", tag) + content
    return b"\x04" + struct.pack("<I", len(body)) + body


def varlen(n: int) -> bytes:
    return b"\x04" + struct.pack("<I", n)


def header(name, kind, n, rate, fmt, channels=()):
    described = "".join(
        f"<channel><label>{label}</label><unit>{unit}</unit><type>{kind}</type></channel>" for label, unit in channels
    )
    desc = f"<desc><channels>{described}</channels></desc>" if channels else "<desc/>"
    return (
        f'<?xml version="1.0"?><info><name>{name}</name><type>{kind}</type><channel_count>{n}</channel_count>'
        f"<nominal_srate>{rate}</nominal_srate><channel_format>{fmt}</channel_format>{desc}</info>"
    ).encode()


def samples(times, rows, fmt) -> bytes:
    out = varlen(len(times))
    for time, row in zip(times, rows, strict=True):
        out += b"\x08" + struct.pack("<d", time)
        for item in np.atleast_1d(row):
            if fmt == "string":
                text = str(item).encode()
                out += varlen(len(text)) + text
            else:
                out += struct.pack({"float32": "<f", "double64": "<d", "int32": "<i"}[fmt], item)
    return out


def offsets(stream: int, value: float) -> bytes:
    return b"".join(chunk(4, struct.pack("<Idd", stream, t, value)) for t in (10.0, 20.0, 30.0))


def xdf(streams, footer: bool = True) -> bytes:
    """streams: (name, type, rate, format, channels, times, rows, clock offset)."""
    data = b"XDF:" + chunk(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')
    for i, (name, kind, rate, fmt, channels, times, rows, offset) in enumerate(streams, 1):
        number = struct.pack("<I", i)
        n = np.atleast_1d(rows[0]).size
        data += chunk(2, number + header(name, kind, n, rate, fmt, channels))
        data += chunk(3, number + samples(times, rows, fmt)) + offsets(i, offset)
        if footer:
            data += chunk(6, number + b"<info><sample_count>%d</sample_count></info>" % len(times))
    return data


TIMES = 10 + np.arange(300) / RATE
VALUES = np.random.default_rng(0).normal(size=(300, 2)).astype("f4").astype("f8")
EEG = ("amp", "EEG", RATE, "float32", [("Fz", "microvolts"), ("aux/1", "Ohm")], TIMES, VALUES, 0.0)
GAZE = ("eye", "Gaze", 0, "double64", [("x", "px"), ("y", "px")], [11.0, 11.5, 12.5], [[1, 2], [3, 4], [5, 6]], 2.0)
MARKS = ("task", "Markers", 0, "string", [], [11.25, 12.0], ["go", "stop"], -1.0)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.xdf"
    file.write_bytes(xdf([EEG, GAZE, MARKS]))
    return file


def test_voltages_are_in_volts_and_other_channels_say_so(path):
    node = nd.load(path)["eeg"]
    np.testing.assert_allclose(node["signal"].values, VALUES * [1e-6, 1.0], rtol=1e-12)
    np.testing.assert_allclose(node["time"].values, TIMES, atol=1e-9)
    assert node["channel"].values.tolist() == ["Fz", "aux/1"]
    assert node["ch_unit"].values.tolist() == ["V", "Ohm"]
    assert node["ch_unit_original"].values.tolist() == ["microvolts", "Ohm"]
    assert node.attrs["sampling_rate"] == RATE


def test_a_unit_that_no_channel_states_is_asked_of_the_caller(tmp_path):
    file = tmp_path / "bare.xdf"
    file.write_bytes(xdf([("amp", "EEG", RATE, "float32", [], TIMES, VALUES, 0.0)]))
    bare, told = nd.load(file)["eeg"], nd.load(file, unit="uV")["eeg"]
    np.testing.assert_array_equal(bare["signal"].values, VALUES)
    assert bare["ch_unit"].values.tolist() == ["", ""]
    np.testing.assert_allclose(told["signal"].values, VALUES * 1e-6, rtol=1e-12)
    assert told["ch_unit"].values.tolist() == ["V", "V"]
    assert told["ch_unit_original"].values.tolist() == ["uV", "uV"]


def test_streams_are_put_on_one_clock_unless_asked_not_to(path):
    rec = nd.load(path)
    np.testing.assert_allclose(rec["behaviour"]["time"].values, [13.0, 13.5, 14.5], atol=1e-6)
    np.testing.assert_allclose(rec["events"]["onset"].values, [10.25, 11.0], atol=1e-6)
    own = nd.load(path, synchronize=False)
    assert own["behaviour"]["time"].values.tolist() == [11.0, 11.5, 12.5]
    assert own["events"]["onset"].values.tolist() == [11.25, 12.0]
    assert own.attrs["clock"] != rec.attrs["clock"]


def test_other_streams_and_markers(path):
    rec = nd.load(path)
    assert rec["behaviour"]["value"].values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert rec["behaviour"]["signal_unit"].values.tolist() == ["px", "px"]
    assert rec["events"]["description"].values.tolist() == ["go", "stop"]
    assert rec["events"]["stream"].values.tolist() == ["task", "task"]


def test_a_gap_stays_and_the_rate_is_not_claimed(tmp_path):
    times = np.r_[TIMES[:150], TIMES[150:] + 60]
    file = tmp_path / "gap.xdf"
    file.write_bytes(xdf([(*EEG[:5], times, VALUES, 0.0)]))
    node = nd.load(file)["eeg"]
    np.testing.assert_allclose(node["time"].values, times, atol=1e-6)
    assert "sampling_rate" not in node.attrs
    assert node.attrs["nominal_sampling_rate"] == RATE


def test_round_trip(path, tmp_path):
    rec = nd.load(path)
    assert nd.load(nd.save(rec, tmp_path / "a.nc")).identical(rec)


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, -1])
def test_cut_files_are_refused_or_said_to_be_cut(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises((FormatError, NeurodataWarning)):
        nd.load(path, reader="xdf")


def test_a_recorder_that_crashed_is_said(tmp_path):
    file = tmp_path / "open.xdf"
    file.write_bytes(xdf([EEG], footer=False))
    with pytest.warns(NeurodataWarning, match="no closing footer"):
        rec = nd.load(file)
    assert rec["eeg"].sizes["time"] == 300


def test_detect(path, tmp_path):
    assert detect(path) == 2
    other = tmp_path / "b.xdf"
    other.write_bytes(b"nothing")
    assert detect(other) == 1
    assert detect(tmp_path) == 0
