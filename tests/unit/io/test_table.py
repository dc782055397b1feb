"""Tables: what is told from the columns, what must be stated, Inscopix, npz."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import (
    FormatError,
    MissingOptionError,
    OptionError,
    PathNotFoundError,
    RecordingError,
    UntrustedDataError,
)
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX
from neurodata.io.table import detect


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_start_and_stop_are_trials(tmp_path):
    path = write(tmp_path / "a.csv", "start,stop,side,score", "0.5,1.0,left,", "2,3,,4")
    node = nd.load(path)["trials"]
    assert node["start"].values.tolist() == [0.5, 2.0]
    assert node["side"].values.tolist() == ["left", ""]
    np.testing.assert_array_equal(node["score"], [np.nan, 4.0])


def test_onset_is_events_and_tabs_separate_tsv(tmp_path):
    path = write(tmp_path / "a.tsv", "onset\tduration\tdescription\tvalue", "1.5\t0\tflash\t3", "0.5\t0.1\t\t4")
    node = nd.load(path)["events"]
    assert node["onset"].values.tolist() == [1.5, 0.5]
    assert node["description"].values.tolist() == ["flash", ""]
    assert node["value"].values.tolist() == [3, 4]


def test_unit_and_time_are_spikes(tmp_path):
    path = write(tmp_path / "a.csv", "unit,time", "7,0.1", "5,0.2", "7,0.3")
    node = nd.load(path)["spikes"]
    assert node["spike_count"].to_series().to_dict() == {5: 1, 7: 2}
    text = write(tmp_path / "b.csv", "unit,spike_time,spike_amplitude", "a,100,2.0", "b,200,3.0")
    node = nd.load(text, time_unit="ms")["spikes"]
    assert node["unit"].values.tolist() == ["a", "b"]
    np.testing.assert_allclose(node["spike_time"], [0.1, 0.2])
    assert node["spike_amplitude"].values.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "header", ["unit,time,count", "time,speed", "a,b", "stimOn_times,choice", "onset,start,stop", "start,choice"]
)
def test_anything_else_must_be_stated(tmp_path, header):
    path = write(tmp_path / "a.csv", header, ",".join("1" for _ in header.split(",")))
    with pytest.raises(MissingOptionError) as caught:
        nd.load(path)
    assert header.split(",")[0] in str(caught.value)
    assert "node=" in str(caught.value)


def test_renamed_columns_keep_the_name_of_the_file(tmp_path):
    path = write(tmp_path / "a.csv", ",stimOn_times,choice", "3,1.0,left", "9,2.0,right")
    node = nd.load(path, node="trials", columns={"start": "stimOn_times"})["trials"]
    assert node["trial"].values.tolist() == [3, 9]
    assert node["start"].attrs == {"units": "s", "source_name": "stimOn_times"}
    with pytest.raises(OptionError, match="stimOf_times"):
        nd.load(path, node="trials", columns={"start": "stimOf_times"})
    with pytest.raises(OptionError, match="columns already"):
        nd.load(path, node="trials", columns={"choice": "stimOn_times"})


def test_behaviour_from_columns(tmp_path):
    path = write(tmp_path / "a.csv", "t_ms,speed,pupil", "10,1.5,", "20,2.5,7")
    node = nd.load(path, node="behaviour", columns={"time": "t_ms"}, time_unit="ms")["behaviour"]
    np.testing.assert_allclose(node["time"], [0.01, 0.02])
    np.testing.assert_array_equal(node["value"], [[1.5, np.nan], [2.5, 7.0]])
    assert node["signal"].values.tolist() == ["speed", "pupil"]
    with pytest.raises(MissingOptionError, match="sampling_rate="):
        nd.load(path, node="behaviour")
    regular = nd.load(path, node="behaviour", sampling_rate=5.0, start=1.0)["behaviour"]
    np.testing.assert_array_equal(regular["time"], [1.0, 1.2])


def test_calcium_from_columns(tmp_path):
    path = write(tmp_path / "a.csv", "time,c1,c2", "0,1.5,2", "0.5,3,4")
    node = nd.load(path, node="calcium", variable="dff", unit_coords={"region": np.array(["a", "b"])})["calcium"]
    np.testing.assert_array_equal(node["dff"], [[1.5, 2.0], [3.0, 4.0]])
    assert node["roi"].values.tolist() == ["c1", "c2"]
    assert node["region"].values.tolist() == ["a", "b"]


@pytest.fixture
def counts(tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    write(folder / "Y.csv", "1,0,2", "0,3,1")
    write(folder / "region.csv", "CA1", "V1")
    write(folder / "codes.csv", "4", "5")
    write(folder / "state.csv", "0", "1", "1")
    return folder


def test_counts_with_companions(counts):
    options = {"node": "counts", "bin_width": 0.5, "dims": ("unit", "time"), "start": 10.0}
    rec = nd.load(
        counts,
        reader="table",
        table="Y.csv",
        unit_coords={"code": "codes.csv"},
        signals={"state": "state.csv"},
        **options,
    )
    node = rec["spikes"]
    np.testing.assert_array_equal(node["counts"], [[1, 0], [0, 3], [2, 1]])
    np.testing.assert_array_equal(node["time"], [10.25, 10.75, 11.25])
    assert node["counts"].attrs["bin_width"] == 0.5
    assert node["code"].values.tolist() == [4, 5]
    np.testing.assert_array_equal(rec["behaviour"]["value"].sel(signal="state"), [0, 1, 1])
    np.testing.assert_array_equal(rec["behaviour"]["time"], node["time"])
    with pytest.raises(PathNotFoundError, match="depth"):
        nd.load(counts / "Y.csv", unit_coords={"depth": "depth.csv"}, **options)
    with pytest.raises(RecordingError, match="one per sample"):
        nd.load(counts / "Y.csv", signals={"state": "codes.csv"}, **options)
    with pytest.raises(RecordingError, match="one per unit"):
        nd.load(counts / "Y.csv", unit_coords={"code": "state.csv"}, **options)


def test_counts_need_a_bin_width_and_dims(counts):
    with pytest.raises(MissingOptionError, match="bin_width="):
        nd.load(counts / "Y.csv", node="counts")
    with pytest.raises(MissingOptionError, match=r'dims=\("time", "unit"\)'):
        nd.load(counts / "Y.csv", node="counts", bin_width=0.5)
    turned = nd.load(counts / "Y.csv", node="counts", bin_width=0.5, dims=("time", "unit"))["spikes"]
    np.testing.assert_array_equal(turned["counts"], [[1, 0, 2], [0, 3, 1]])


def test_named_columns_of_counts_are_the_units(tmp_path):
    path = write(tmp_path / "a.csv", "u7,u9", "1,0", "2,5")
    node = nd.load(path, node="counts", bin_width=1.0, dims=("time", "unit"))["spikes"]
    assert node["unit"].values.tolist() == ["u7", "u9"]


def test_rates_are_no_counts(tmp_path):
    path = write(tmp_path / "a.csv", "0.5,1.5")
    with pytest.raises(RecordingError, match="whole"):
        nd.load(path, node="counts", bin_width=1.0, dims=("time", "unit"))


def test_a_folder_of_tables_without_facts_says_what_to_state(counts):
    with pytest.raises(MissingOptionError) as caught:
        nd.load(counts)
    assert "table=" in str(caught.value)
    assert any("Y.csv" in note for note in caught.value.__notes__)
    with pytest.raises(MissingOptionError, match="table="):
        nd.load(counts, reader="table")
    with pytest.raises(PathNotFoundError, match="Z.csv"):
        nd.load(counts, reader="table", table="Z.csv")


def test_inscopix_traces(tmp_path):
    path = write(
        tmp_path / "traces.csv",
        " , C00, C01, C02",
        "Time(s)/Cell Status, accepted, rejected, undecided",
        "0.05, 1.5, -2.0, 3.0",
        "0.10, 4.0, , 6.0",
    )
    assert detect(path) == BY_CONTENT
    node = nd.load(path)["calcium"]
    assert node["roi"].values.tolist() == ["C00", "C01", "C02"]
    assert node["is_cell"].values.tolist() == [True, False, False]
    assert node["label"].values.tolist() == ["accepted", "rejected", "undecided"]
    np.testing.assert_array_equal(node["fluorescence"], [[1.5, -2.0, 3.0], [4.0, np.nan, 6.0]])
    np.testing.assert_array_equal(node["time"], [0.05, 0.10])
    broken = write(tmp_path / "b.csv", " , C00", "Time(s)/Cell Status, accepted", "0.05, x")
    with pytest.raises(FormatError, match="numbers"):
        nd.load(broken)


def test_npz_through_a_mapping(tmp_path):
    trace = np.arange(8.0).reshape(2, 4)
    np.savez(tmp_path / "a.npz", F=trace, t=np.arange(4) / 10, name=np.array(["a", "b"]))
    path = tmp_path / "a.npz"
    assert detect(path) == BY_SUFFIX
    with pytest.raises(MissingOptionError) as caught:
        nd.load(path)
    assert "F  (2, 4) float64" in str(caught.value)
    rec = nd.load(path, mapping={"calcium/fluorescence": "F", "calcium/time": "t", "calcium/roi": "name"})
    np.testing.assert_array_equal(rec["calcium"]["fluorescence"], trace.T)
    assert rec["calcium"]["roi"].values.tolist() == ["a", "b"]


def test_npz_objects_are_not_unpickled_unasked(tmp_path):
    words = np.array(["ab", "c"], dtype=object)
    np.savez(tmp_path / "a.npz", start=np.array([0.0, 1.0]), word=words)
    mapping = {"trials/start": "start", "trials/word": "word"}
    with pytest.raises(UntrustedDataError, match="allow_pickle=True"):
        nd.load(tmp_path / "a.npz", mapping=mapping)
    node = nd.load(tmp_path / "a.npz", mapping=mapping, allow_pickle=True)["trials"]
    assert node["word"].values.tolist() == ["ab", "c"]


def test_damaged_tables(tmp_path):
    ragged = write(tmp_path / "a.csv", "start,stop", "1,2", "1,2,3,4,5")
    with pytest.raises(FormatError, match="cells in every line"):
        nd.load(ragged)
    (tmp_path / "b.csv").write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        nd.load(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_bytes("caf\xe9,stop\n1,2\n".encode("latin-1"))
    with pytest.raises(FormatError, match="UTF-8"):
        nd.load(tmp_path / "c.csv")
    np.savez(tmp_path / "d.npz", x=np.arange(1000))
    content = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(content[:200])
    with pytest.raises(FormatError, match="npz"):
        nd.load(tmp_path / "d.npz", mapping={"trials/start": "x"})


def test_text_where_numbers_belong_and_options_that_do_not_fit(tmp_path):
    path = write(tmp_path / "a.csv", "start,stop", "soon,2")
    with pytest.raises(RecordingError, match="'start'"):
        nd.load(path)
    spikes = write(tmp_path / "b.csv", "unit,time", ",0.1", "2,0.3")
    with pytest.raises(RecordingError, match="unit ids"):
        nd.load(spikes)
    with pytest.raises(OptionError, match="node="):
        nd.load(path, node="trails")
    with pytest.raises(OptionError, match="npz"):
        nd.load(path, mapping={"trials/start": "start"})


def test_text_and_ids_stay_as_written_and_numbers_are_exact(tmp_path):
    path = write(tmp_path / "a.csv", "start,stop,region,x", "0.1,0.30000000000000004,NA,1e-3", "1,2,V1,NA")
    node = nd.load(path)["trials"]
    assert node["region"].values.tolist() == ["NA", "V1"]
    assert node["stop"].values.tolist() == [0.30000000000000004, 2.0]
    np.testing.assert_array_equal(node["x"], [0.001, np.nan])
    spikes = write(tmp_path / "b.csv", "unit,time", "007,0.1", "010,0.2")
    assert nd.load(spikes)["spikes"]["unit"].values.tolist() == ["007", "010"]
