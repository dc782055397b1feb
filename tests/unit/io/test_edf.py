"""EDF and BDF files written here byte by byte, so that every value, time and event is known."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import neurodata as nd
from neurodata.containers.time_index import RegularTimeIndex
from neurodata.errors import FormatError, MissingOptionError, NeurodataWarning, OptionError


def field(text: str | bytes, width: int) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode("utf-8")
    assert len(raw) <= width, text
    return raw.ljust(width)


def edf_bytes(signals, *, notes=None, record_s="1", reserved="", n_records=None, bdf=False, **main) -> bytes:
    """signals: dicts with label, digital (record, sample), and fields; notes: one byte string per record."""
    signals = list(signals)
    if notes is not None:
        width = max(map(len, notes)) + 2
        width += -width % (3 if bdf else 2)
        raw = np.array([list(note.ljust(width, b"\0")) for note in notes], np.uint8)
        signals.append(
            {"label": "BDF Annotations" if bdf else "EDF Annotations", "raw": raw, "pmin": "-1", "pmax": "1"}
        )
    for signal in signals:
        if "raw" not in signal:
            digital = np.asarray(signal["digital"])
            wide = digital.astype("<i4")[..., None].view(np.uint8)[..., : 3 if bdf else 2]
            signal["raw"] = wide.reshape(digital.shape[0], -1)
    item = 3 if bdf else 2
    top = 2**23 if bdf else 2**15
    out = b"\xffBIOSEMI" if bdf else field("0", 8)
    out += field(main.get("patient", "X X X X"), 80) + field(main.get("recording", "Startdate X X X X"), 80)
    out += field(main.get("date", "02.03.21"), 8) + field("04.05.06", 8) + field(str(256 * (len(signals) + 1)), 8)
    out += field(reserved, 44) + field(str(len(signals[0]["raw"]) if n_records is None else n_records), 8)
    out += field(record_s, 8) + field(str(len(signals)), 4)
    columns = [("label", "x", 16), ("transducer", "", 80), ("unit", "uV", 8), ("pmin", f"{-top // 10}", 8)]
    columns += [("pmax", f"{top // 10}", 8), ("dmin", str(-top), 8), ("dmax", str(top - 1), 8), ("prefilter", "", 80)]
    for key, default, width in columns:
        out += b"".join(field(signal.get(key, default), width) for signal in signals)
    out += b"".join(field(str(signal["raw"].shape[1] // item), 8) for signal in signals) + b" " * 32 * len(signals)
    return out + np.concatenate([signal["raw"] for signal in signals], axis=1).tobytes()


def integers(n_records, n_samples, top=3000, seed=0):
    return np.random.default_rng(seed).integers(-top, top, (n_records, n_samples))


def physical(digital, pmin, pmax, dmin, dmax):
    """The calibration of the format, in the form of its specification."""
    return (digital - dmin) * (pmax - pmin) / (dmax - dmin) + pmin


def load(tmp_path, data, name="a.edf", **options):
    (tmp_path / name).write_bytes(data)
    return nd.load(tmp_path / name, **options)


SIGNAL = {"pmin": "-200", "pmax": "100", "dmin": "-4096", "dmax": "4095"}


def test_values_in_volts_from_each_unit(tmp_path):
    digital = integers(4, 50)
    units = ["uV", "mV", "V", b"\xb5V", b"\xc2\xb5V", "nV"]
    signals = [{**SIGNAL, "label": f"c{i}", "unit": unit, "digital": digital} for i, unit in enumerate(units)]
    for signal in signals[2:3]:
        signal.update(pmin="-.0002", pmax=".0001")
    signals[1].update(pmin="-.2", pmax=".1")
    node = load(tmp_path, edf_bytes(signals))["eeg"]
    expected = physical(digital.reshape(-1), -200, 100, -4096, 4095) * 1e-6
    for i, factor in enumerate([1, 1, 1, 1, 1, 1e-3]):
        np.testing.assert_allclose(node["signal"].values[:, i], expected * factor, rtol=1e-12)
    assert set(node["ch_unit"].values) == {"V"}
    assert node["ch_unit_original"].values.tolist() == ["uV", "mV", "V", "\u00b5V", "\u00b5V", "nV"]
    np.testing.assert_array_equal(node["time"].values, np.arange(200) / 50)
    assert node.attrs["sampling_rate"] == 50.0


def test_other_units_and_triggers_keep_their_values(tmp_path):
    digital = integers(2, 10)
    signals = [
        {**SIGNAL, "label": "Temp rectal", "unit": "degC", "digital": digital},
        {**SIGNAL, "label": "STATUS", "unit": "uV", "digital": digital},
        {**SIGNAL, "label": "ECG II", "digital": digital},
        {**SIGNAL, "label": "aux", "unit": "", "digital": digital},
        {**SIGNAL, "label": "norange", "pmin": "0", "pmax": "0", "digital": digital},
    ]
    node = load(tmp_path, edf_bytes(signals))["eeg"]
    expected = physical(digital.reshape(-1), -200, 100, -4096, 4095)
    for i in (0, 1, 3):
        np.testing.assert_allclose(node["signal"].values[:, i], expected, rtol=1e-12)
    np.testing.assert_array_equal(node["signal"].values[:, 4], digital.reshape(-1))
    assert node["ch_unit"].values.tolist() == ["degC", "uV", "V", "", "digital"]
    assert node["ch_type"].values.tolist() == ["misc", "stim", "ecg", "misc", "misc"]
    told = load(tmp_path, edf_bytes(signals), unit="uV")["eeg"].isel(channel=3)
    np.testing.assert_allclose(told["signal"].values, expected * 1e-6, rtol=1e-12)
    assert (str(told["ch_unit"].values), str(told["ch_unit_original"].values)) == ("V", "uV")


def test_24_bit_samples(tmp_path):
    digital = integers(3, 20, top=2**23 - 1)
    digital[0, :3] = [-(2**23), 2**23 - 1, -1]
    signals = [{"label": "A1", "digital": digital, "pmin": "-262144", "pmax": "262143"}]
    signals.append({"label": "Status", "unit": "Boolean", "pmin": "-8388608", "pmax": "8388607", "digital": digital})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NeurodataWarning)  # noise over the whole range is no EEG
        rec = load(tmp_path, edf_bytes(signals, bdf=True), "a.bdf")
    node = rec["eeg"]
    flat = digital.reshape(-1)
    np.testing.assert_allclose(
        node["signal"].values[:, 0], physical(flat, -262144, 262143, -(2**23), 2**23 - 1) * 1e-6, rtol=1e-9
    )
    np.testing.assert_allclose(node["signal"].values[:, 1], flat, rtol=0, atol=1e-6)
    assert node["ch_type"].values.tolist() == ["eeg", "stim"]
    assert rec.attrs["source_format"] == "BDF"


def test_several_rates_are_nodes_of_native_samples(tmp_path):
    fast, slow = integers(5, 64), integers(5, 3, seed=1)
    signals = [
        {"label": "fast", "digital": fast},
        {"label": "slow", "digital": slow},
        {"label": "fast", "digital": fast + 1},
    ]
    rec = load(tmp_path, edf_bytes(signals, record_s="2"))
    assert list(rec.children) == ["eeg", "eeg_2"]
    assert rec["eeg"]["channel"].values.tolist() == ["fast-0", "fast-1"]
    assert rec["eeg"]["label"].values.tolist() == ["fast", "fast"]
    assert rec["eeg_2"]["channel"].values.tolist() == ["slow"]
    assert (rec["eeg"].attrs["sampling_rate"], rec["eeg_2"].attrs["sampling_rate"]) == (32.0, 1.5)
    np.testing.assert_allclose(rec["eeg_2"]["time"].values, np.arange(15) / 1.5)
    for name, column, digital in (("eeg", 0, fast), ("eeg", 1, fast + 1), ("eeg_2", 0, slow)):
        expected = physical(digital.reshape(-1), -3277, 3276, -(2**15), 2**15 - 1) * 1e-6
        np.testing.assert_allclose(rec[name]["signal"].values[:, column], expected, rtol=1e-10, atol=1e-18)
    assert nd.load(nd.save(rec, tmp_path / "a.nc")).identical(rec)


def test_annotations_and_the_start_of_the_samples(tmp_path):
    notes = [
        b"+0.25\x14\x14\0+0.5\x14start\x14\0",
        "+1.25\x14\x14\0+1.5\x150.75\x14\u00e9pisode/1\x14second\x14\0".encode(),
        b"+2.25\x14\x14\0+0.75\x14spike@@Fz\x14\0",
    ]
    rec = load(tmp_path, edf_bytes([{"label": "Fz", "digital": integers(3, 8)}], notes=notes, reserved="EDF+C"))
    assert rec["eeg"]["time"].values[[0, -1]].tolist() == [0.25, 0.25 + 23 / 8]
    events = rec["events"]
    assert events["onset"].values.tolist() == [0.5, 1.5, 1.5, 0.75]
    assert events["duration"].values.tolist() == [0.0, 0.75, 0.75, 0.0]
    assert events["description"].values.tolist() == ["start", "\u00e9pisode/1", "second", "spike"]
    assert events["channel"].values.tolist() == ["", "", "", "Fz"]
    assert rec.attrs["time_origin"] == "2021-03-02T04:05:06"


def test_gaps_of_discontinuous_files_are_kept(tmp_path):
    notes = [b"+0\x14\x14\0", b"+1\x14\x14\0", b"+100.5\x14\x14\0+100.6\x14after\x14\0"]
    digital = integers(3, 10)
    rec = load(tmp_path, edf_bytes([{"label": "Fz", "digital": digital}], notes=notes, reserved="EDF+D"))
    expected = np.concatenate([np.arange(20) / 10, 100.5 + np.arange(10) / 10])
    np.testing.assert_allclose(rec["eeg"]["time"].values, expected, rtol=1e-14)
    assert rec["eeg"].attrs["sampling_rate"] == 10.0
    assert rec["events"]["onset"].values.tolist() == [100.6]
    assert rec["eeg"]["signal"].sel(time=slice(50, 200)).shape == (10, 1)


def test_unreadable_annotations_are_said(tmp_path):
    notes = [b"+0\x14\x14\0nonsense\x14\0"]
    (tmp_path / "a.edf").write_bytes(edf_bytes([{"label": "Fz", "digital": integers(1, 8)}], notes=notes))
    with pytest.warns(NeurodataWarning, match="1 annotations could not be read"):
        nd.load(tmp_path / "a.edf")


def test_reads_only_what_is_asked_and_every_selection_agrees(tmp_path, monkeypatch):
    digital = [integers(40, 16, seed=i) for i in range(5)]
    signals = [{**SIGNAL, "label": f"c{i}", "digital": item} for i, item in enumerate(digital)]
    node = load(tmp_path, edf_bytes(signals))["eeg"]
    whole = np.stack([physical(item.reshape(-1), -200, 100, -4096, 4095) * 1e-6 for item in digital], axis=1)
    signal = node["signal"]
    assert not signal.variable._in_memory
    monkeypatch.setattr("neurodata.io._lazy._BLOCK_VALUES", 64)
    monkeypatch.setattr("neurodata.io._edf_format._BLOCK_BYTES", 500)
    close = {"rtol": 1e-12, "atol": 1e-18}
    np.testing.assert_allclose(signal.isel(time=slice(30, 300)).values, whole[30:300], **close)
    np.testing.assert_allclose(
        signal.isel(time=slice(600, 5, -7), channel=[3, 0, 3]).values, whole[600:5:-7, [3, 0, 3]], **close
    )
    np.testing.assert_allclose(signal.isel(time=[5, 600, 5, -1], channel=2).values, whole[[5, 600, 5, -1], 2], **close)
    np.testing.assert_allclose(signal.isel(time=17).values, whole[17], **close)
    np.testing.assert_allclose(signal.isel(time=17, channel=-1).values, whole[17, -1], **close)
    assert signal.isel(time=slice(9, 9)).values.shape == (0, 5)
    np.testing.assert_allclose(signal.sel(time=slice(1.0, 2.0), channel="c4").values, whole[16:33, 4], **close)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(signal)).values, whole, **close)
    # One record larger than a block: each channel is sought by itself.
    monkeypatch.setattr("neurodata.io._edf_format._BLOCK_BYTES", 100)
    np.testing.assert_allclose(
        signal.isel(time=slice(30, 300), channel=[1, 4]).values, whole[30:300][:, [1, 4]], **close
    )


def test_dask_blocks(tmp_path):
    pytest.importorskip("dask")
    digital = integers(40, 16)
    rec = load(tmp_path, edf_bytes([{**SIGNAL, "label": "Fz", "digital": digital}]), chunks={"time": 100})
    assert rec["eeg"]["signal"].chunks is not None
    expected = physical(digital.reshape(-1), -200, 100, -4096, 4095) * 1e-6
    np.testing.assert_allclose(rec["eeg"]["signal"].values[:, 0], expected, rtol=1e-12)


def test_long_recordings_have_a_lazy_time(tmp_path):
    digital = np.zeros((40, 30000), dtype=int)
    digital[39, 123] = 1000
    rec = load(tmp_path, edf_bytes([{**SIGNAL, "label": "Fz", "digital": digital}]))
    node = rec["eeg"]
    assert isinstance(node.xindexes["time"], RegularTimeIndex)
    at = 39 + 123 / 30000
    signal = node["signal"].sel(time=slice(at, at + 1e-4), channel="Fz")
    assert signal.values[0] > signal.values[1]
    assert nd.load(nd.save(rec, tmp_path / "a.nc")).identical(rec)


def test_truncated_files(tmp_path):
    data = edf_bytes([{"label": "Fz", "digital": integers(5, 10)}, {"label": "Cz", "digital": integers(5, 10)}])
    header = 256 * 3
    for keep in (0, 3, 100, 255, 256, header - 1, header, header + 40 * 3 + 7, len(data) - 1):
        (tmp_path / "a.edf").write_bytes(data[:keep])
        with pytest.raises(FormatError) as caught:
            nd.load(tmp_path / "a.edf")
        assert caught.value.fix
    rec = load(tmp_path, data[: header + 40 * 3 + 7], allow_truncated=True)
    assert rec["eeg"].sizes["time"] == 30


def test_unfinished_and_overlong_files(tmp_path):
    signals = [{"label": "Fz", "digital": integers(5, 10)}]
    assert load(tmp_path, edf_bytes(signals, n_records=-1))["eeg"].sizes["time"] == 50
    (tmp_path / "a.edf").write_bytes(edf_bytes(signals, n_records=3))
    with pytest.warns(NeurodataWarning, match="40 bytes after the last of 3 data records"):
        rec = nd.load(tmp_path / "a.edf")
    assert rec["eeg"].sizes["time"] == 30


@pytest.mark.parametrize("at", [184, 236, 244, 252, 256 + 16 + 80 + 8])
def test_damaged_header_fields(tmp_path, at):
    data = bytearray(edf_bytes([{"label": "Fz", "digital": integers(2, 10)}]))
    data[at : at + 4] = b"????"
    (tmp_path / "a.edf").write_bytes(data)
    with pytest.raises(FormatError, match="header"):
        nd.load(tmp_path / "a.edf")


def test_names_with_slashes_and_other_letters_survive(tmp_path):
    labels = ["EEG Fp1/A2", "\u00d6hr", "\u8033"]
    signals = [{"label": label, "digital": integers(2, 10)} for label in labels]
    rec = load(tmp_path, edf_bytes(signals))
    assert rec["eeg"]["channel"].values.tolist() == labels
    again = nd.load(nd.save(rec, tmp_path / "a.nc"))
    assert again.identical(rec)
    assert again["eeg"]["channel"].values.tolist() == labels


def test_an_encoding_is_asked_for_not_guessed(tmp_path):
    (tmp_path / "a.edf").write_bytes(edf_bytes([{"label": b"\xd6hr", "digital": integers(2, 10)}]))
    with pytest.raises(MissingOptionError, match="encoding"):
        nd.load(tmp_path / "a.edf")
    assert nd.load(tmp_path / "a.edf", encoding="latin-1")["eeg"]["channel"].values.tolist() == ["\u00d6hr"]


def test_a_rate_is_asked_for_not_guessed(tmp_path):
    (tmp_path / "a.edf").write_bytes(edf_bytes([{"label": "Fz", "digital": integers(2, 10)}], record_s="0"))
    with pytest.raises(MissingOptionError, match="sampling_rate"):
        nd.load(tmp_path / "a.edf")
    assert nd.load(tmp_path / "a.edf", sampling_rate=20.0)["eeg"]["time"].values[-1] == 19 / 20
    (tmp_path / "a.edf").write_bytes(edf_bytes([{"label": "Fz", "digital": integers(2, 10)}]))
    with pytest.raises(OptionError, match="sampling_rate"):
        nd.load(tmp_path / "a.edf", sampling_rate=20.0)
    assert nd.load(tmp_path / "a.edf", sampling_rate=10.0)["eeg"].attrs["sampling_rate"] == 10.0


def test_filters_are_kept(tmp_path):
    signals = [{"label": f"c{i}", "prefilter": "HP:0.5Hz LP:70Hz", "digital": integers(2, 10)} for i in range(2)]
    node = load(tmp_path, edf_bytes(signals))["eeg"]
    assert (node.attrs["highpass"], node.attrs["lowpass"]) == (0.5, 70.0)
    signals[1]["prefilter"] = "HP:0.1Hz LP:0Hz"
    node = load(tmp_path, edf_bytes(signals))["eeg"]
    assert "highpass" not in node.attrs
    assert "lowpass" not in node.attrs
    assert node["prefilter"].values.tolist() == ["HP:0.5Hz LP:70Hz", "HP:0.1Hz LP:0Hz"]


def test_implausible_voltages_are_said_and_kept(tmp_path):
    signals = [{"label": "Fz", "unit": "mV", "pmin": "-500", "pmax": "500", "digital": integers(2, 100, top=30000)}]
    (tmp_path / "a.edf").write_bytes(edf_bytes(signals))
    with pytest.warns(NeurodataWarning, match="'Fz' \\(0.2"):
        rec = nd.load(tmp_path / "a.edf")
    assert rec["eeg"]["signal"].values.std() > 0.1


def test_annotations_alone(tmp_path):
    rec = load(tmp_path, edf_bytes([], notes=[b"+0\x14\x14\0+3\x151\x14sleep\x14\0"], record_s="0", reserved="EDF+C"))
    assert list(rec.children) == ["events"]
    assert rec["events"]["description"].values.tolist() == ["sleep"]


def test_a_file_that_shrinks_after_loading_is_a_typed_error(tmp_path):
    data = edf_bytes([{"label": "Fz", "digital": integers(5, 10)}])
    rec = load(tmp_path, data)
    (tmp_path / "a.edf").write_bytes(data[:-10])
    with pytest.raises(FormatError, match="cut short"):
        rec["eeg"]["signal"].values  # noqa: B018
