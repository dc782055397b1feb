"""Acquisition systems: files built to the published layouts (Blackrock 2.3, NeuroScope, Neuralynx), and from_neo.

No real file of Blackrock or NeuroScope is at hand, so these are written here, byte by byte, from the
specifications; what went in is what must come out.
"""

from __future__ import annotations

import pickle
import struct

import numpy as np
import pytest

import neurodata as nd
from neurodata._core.provenance import metadata
from neurodata.errors import FormatError, OptionError, RecordingError, UnknownFormatError
from neurodata.io.neo import detect
from neurodata.io.neuralynx import sample_times
from neurodata.io.registry import BY_CONTENT, NO

neo = pytest.importorskip("neo")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# Neuralynx ------------------------------------------------------------------------------------------------------


def write_neuralynx(path, lines, records):
    header = "######## Neuralynx Data File Header\r\n" + "".join(f"-{line}\r\n" for line in lines)
    path.write_bytes(header.encode("latin-1").ljust(16384, b"\0") + b"".join(records))
    return path


def write_ncs(path, timestamps, valid, name="CSC1", rate=1000, inverted=False, channel=4, seed=0):
    rng = np.random.default_rng(seed)
    samples = rng.integers(-30000, 30000, (len(timestamps), 512)).astype("<i2")
    records = [
        struct.pack("<QIII", t, channel, rate, n) + row.tobytes()
        for t, n, row in zip(timestamps, valid, samples, strict=True)
    ]
    lines = [
        f"AcqEntName {name}",
        f"SamplingFrequency {rate}",
        "ADBitVolts 0.00000006",
        f"InputInverted {inverted}",
        'ReferenceChannel "Source 01"',
    ]
    write_neuralynx(path, lines, records)
    return np.concatenate([row[:n] for row, n in zip(samples, valid, strict=True)])


class TestNeuralynx:
    START = 5_000_000

    def contiguous(self, n):
        return [self.START + i * 512_000 for i in range(n)]

    def test_samples_times_and_gaps(self, tmp_path):
        timestamps = [self.START, self.START + 512_000, self.START + 3_000_000]
        raw = write_ncs(tmp_path / "CSC1.ncs", timestamps, [512, 100, 512])
        node = nd.load(tmp_path / "CSC1.ncs")["eeg"]
        expected = np.concatenate([t + np.arange(n) * 1000.0 for t, n in zip(timestamps, [512, 100, 512], strict=True)])
        np.testing.assert_array_equal(node["time"], expected / 1e6)
        np.testing.assert_allclose(node["signal"][:, 0], raw * 6e-8, rtol=1e-15)
        assert node["channel"].values.tolist() == ["CSC1"]
        assert node.attrs["sampling_rate"] == 1000.0
        assert node.attrs["reference"] == "Source 01"

    def test_an_inverted_input_is_turned_back(self, tmp_path):
        raw = write_ncs(tmp_path / "CSC1.ncs", [0], [512], inverted=True)
        np.testing.assert_allclose(nd.load(tmp_path / "CSC1.ncs")["eeg"]["signal"][:, 0], raw * -6e-8, rtol=1e-15)

    def test_the_signal_is_read_when_used_and_pickles(self, tmp_path):
        raw = write_ncs(tmp_path / "CSC1.ncs", self.contiguous(3), [512, 30, 512]) * 6e-8
        signal = pickle.loads(pickle.dumps(nd.load(tmp_path / "CSC1.ncs")))["eeg"]["signal"]
        assert not signal.variable._in_memory
        np.testing.assert_allclose(signal[500:600:3, 0], raw[500:600:3], rtol=1e-15)
        np.testing.assert_allclose(signal.isel(time=[1000, 3, 541], channel=0), raw[[1000, 3, 541]], rtol=1e-15)

    def test_channels_share_a_node_only_when_they_share_times(self, tmp_path):
        write_ncs(tmp_path / "a.ncs", self.contiguous(2), [512, 512], name="A", seed=1)
        write_ncs(tmp_path / "b.ncs", self.contiguous(2), [512, 512], name="B", seed=2)
        write_ncs(tmp_path / "c.ncs", self.contiguous(2), [512, 511], name="C", seed=3)
        recording = nd.load(tmp_path)
        assert recording["eeg"]["channel"].values.tolist() == ["A", "B"]
        assert recording["eeg_2"]["channel"].values.tolist() == ["C"]

    def test_two_files_of_one_name_stay_apart(self, tmp_path):
        write_ncs(tmp_path / "a.ncs", [0], [512], name="X", seed=1)
        write_ncs(tmp_path / "b.ncs", [0], [512], name="X", seed=2)
        assert nd.load(tmp_path)["eeg"]["channel"].values.tolist() == ["a", "b"]

    def test_records_that_overlap_are_refused_or_dropped_on_request(self, tmp_path):
        timestamps = [self.START, self.START + 500_000]  # 12 ms, 12 samples, too early
        raw = write_ncs(tmp_path / "a.ncs", timestamps, [512, 512])
        with pytest.raises(FormatError, match=r"a.ncs[\s\S]*overlap='drop'"):
            nd.load(tmp_path / "a.ncs")
        node = nd.load(tmp_path / "a.ncs", overlap="drop")["eeg"]
        assert node.attrs["dropped_samples"] == 12
        keep = np.r_[0:512, 524:1024]
        np.testing.assert_allclose(node["signal"][:, 0], raw[keep] * 6e-8, rtol=1e-15)
        assert (np.diff(node["time"].values) > 0).all()
        with pytest.raises(OptionError, match="overlap"):
            nd.load(tmp_path / "a.ncs", overlap="keep")

    def test_a_cut_file_is_a_format_error(self, tmp_path):
        write_ncs(tmp_path / "a.ncs", self.contiguous(2), [512, 512])
        whole = (tmp_path / "a.ncs").read_bytes()
        (tmp_path / "a.ncs").write_bytes(whole[:-7])
        with pytest.raises(FormatError, match="cut short"):
            nd.load(tmp_path / "a.ncs")

    def test_a_header_without_gain_is_a_format_error(self, tmp_path):
        write_neuralynx(tmp_path / "a.ncs", ["AcqEntName A"], [bytes(1044)])
        with pytest.raises(FormatError, match="ADBitVolts"):
            nd.load(tmp_path / "a.ncs")

    def test_sorted_spikes_by_cluster(self, tmp_path):
        rows = [(1_000_000, 2), (1_500_000, 0), (2_000_000, 2), (4_000_000, 1)]
        records = [struct.pack("<QII", t, 0, c) + bytes(4 * 8 + 2 * 32 * 4) for t, c in rows]
        write_neuralynx(tmp_path / "TT1.ntt", ["AcqEntName TT1"], records)
        node = nd.load(tmp_path / "TT1.ntt")["spikes"]
        assert node["unit"].values.tolist() == ["TT1_0", "TT1_1", "TT1_2"]
        assert node["quality"].values.tolist() == ["unsorted", "", ""]
        assert node["spike_time"].values.tolist() == [1.5, 4.0, 1.0, 2.0]

    def test_events(self, tmp_path):
        record = (
            struct.pack("<hhhQhHhhh", 0, 1, 2, 7_250_000, 11, 0x8001, 0, 0, 0) + bytes(32) + b"go".ljust(128, b"\0")
        )
        assert len(record) == 184
        write_neuralynx(tmp_path / "Events.nev", ["FileType Event"], [record])
        node = nd.load(tmp_path / "Events.nev")["events"]
        assert node["onset"].values.tolist() == [7.25]
        assert node["description"].values.tolist() == ["go"]
        assert node["ttl"].values.tolist() == [0x8001]
        assert node["event_id"].values.tolist() == [11]

    def test_times_of_any_rate_keep_the_timestamps_of_their_records(self):
        timestamp, valid = np.array([1_698_932_395_972_475, 1_698_932_395_988_475]), np.array([512, 512])
        times = sample_times(timestamp, valid, 32000.0)
        assert times[0] == 1698932395.972475
        assert times[512] == 1698932395.988475


# NeuroScope -----------------------------------------------------------------------------------------------------

XML = """<?xml version='1.0'?>
<parameters version="1.0">
 <acquisitionSystem><nBits>16</nBits><nChannels>3</nChannels><samplingRate>20000</samplingRate>
  <voltageRange>20</voltageRange><amplification>1000</amplification><offset>0</offset></acquisitionSystem>
 <fieldPotentials><lfpSamplingRate>1250</lfpSamplingRate></fieldPotentials>
 <anatomicalDescription><channelGroups>
  <group><channel skip="0">0</channel><channel skip="1">2</channel></group><group><channel skip="0">1</channel></group>
 </channelGroups></anatomicalDescription>
</parameters>"""


@pytest.fixture
def neuroscope(tmp_path):
    rng = np.random.default_rng(3)
    raw = rng.integers(-2000, 2000, (400, 3)).astype("<i2")
    field = rng.integers(-2000, 2000, (25, 3)).astype("<i2")
    (tmp_path / "s1.xml").write_text(XML)
    (tmp_path / "s1.dat").write_bytes(raw.tobytes())
    (tmp_path / "s1.eeg").write_bytes(field.tobytes())
    (tmp_path / "s1.res.1").write_text("20\n40\n100\n2000\n")
    (tmp_path / "s1.clu.1").write_text("4\n2\n0\n1\n2\n")
    (tmp_path / "s1.res.2").write_text("60\n")
    (tmp_path / "s1.clu.2").write_text("1\n5\n")
    (tmp_path / "s1.evt").write_text("1.5 ripple start\n12.25\tripple stop\n")
    (tmp_path / "s1.fet.1").write_text("2\n1 1\n")
    return tmp_path, raw, field


class TestNeuroScope:
    @pytest.mark.parametrize("name", ["", "s1.xml", "s1.eeg", "s1.dat", "s1.res.1", "s1.clu.2", "s1.evt"])
    def test_any_of_its_files_opens_the_session(self, neuroscope, name):
        folder, raw, field = neuroscope
        recording = nd.load(folder / name)
        volt = 20 / 2**16 / 1000
        low, wide = recording["eeg"], recording["eeg_2"]
        np.testing.assert_allclose(low["signal"], field * volt, rtol=1e-15)
        np.testing.assert_array_equal(low["time"], np.arange(25) / 1250)
        np.testing.assert_allclose(wide["signal"], raw * volt, rtol=1e-15)
        np.testing.assert_array_equal(wide["time"], np.arange(400) / 20000)
        assert wide["group"].values.tolist() == [0, 1, 0]
        assert wide["bad"].values.tolist() == [False, False, True]
        node = recording["spikes"]
        assert node["unit"].values.tolist() == ["1_0", "1_1", "1_2", "2_5"]
        assert node["quality"].values.tolist() == ["artefact", "noise", "", ""]
        np.testing.assert_array_equal(node["spike_time"], np.array([40, 100, 20, 2000, 60]) / 20000)
        assert node["spike_sample"].values.tolist() == [40, 100, 20, 2000, 60]
        assert recording["events"]["onset"].values.tolist() == [0.0015, 0.01225]
        assert recording["events"]["description"].values.tolist() == ["ripple start", "ripple stop"]
        assert metadata(recording.attrs)["left_out"] == ["s1.fet.1"]

    def test_signals_agree_with_neo(self, neuroscope):
        folder, raw, _ = neuroscope
        reader = neo.rawio.NeuroScopeRawIO(str(folder / "s1.xml"), binary_file=str(folder / "s1.dat"))
        reader.parse_header()
        chunk = reader.get_analogsignal_chunk(0, 0, 0, raw.shape[0], 0)
        millivolt = reader.rescale_signal_raw_to_float(chunk, "float64", 0)
        np.testing.assert_allclose(nd.load(folder)["eeg_2"]["signal"], millivolt * 1e-3, rtol=1e-13)

    def test_spikes_without_their_clusters_are_refused(self, neuroscope):
        folder, *_ = neuroscope
        (folder / "s1.clu.2").unlink()
        with pytest.raises(FormatError, match="s1.clu.2 is missing"):
            nd.load(folder)

    def test_files_that_do_not_belong_together_are_refused(self, neuroscope):
        folder, *_ = neuroscope
        (folder / "s1.clu.2").write_text("1\n5\n5\n")
        with pytest.raises(FormatError, match="one cluster for each of the 1 spikes"):
            nd.load(folder)

    def test_a_cut_signal_is_refused(self, neuroscope):
        folder, raw, _ = neuroscope
        (folder / "s1.dat").write_bytes(raw.tobytes()[:-2])
        with pytest.raises(FormatError, match="whole samples of 3 channels"):
            nd.load(folder)


# Blackrock, file specification 2.3 -------------------------------------------------------------------------------

ORIGIN = struct.pack("<8H", 2020, 5, 6, 7, 8, 9, 10, 0)


def write_nsx(path, blocks, n_channels=2, period=30):
    """Header, one CC packet per channel, and data packets (first timestamp in 1/30000 s, samples)."""
    size = 314 + 66 * n_channels
    header = struct.pack("<8sBBI16s256sII", b"NEURALCD", 2, 3, size, b"1 kS/s", b"", period, 30000) + ORIGIN
    header += struct.pack("<I", n_channels)
    for i in range(n_channels):
        # +-8191 counts are +-(8191 (i + 1) / 4) uV: 0.25 (i + 1) uV per count
        low, high = -8188 * (i + 1) // 4, 8188 * (i + 1) // 4
        header += struct.pack(
            "<2sH16sBBhhhh16s", b"CC", i + 1, f"elec{i + 1}".encode(), 1, i, -8188, 8188, low, high, b"uV"
        )
        header += struct.pack("<IIHIIH", 300, 1, 1, 250000, 3, 1)
    data = b"".join(
        struct.pack("<BII", 1, start, len(block)) + block.astype("<i2").tobytes() for start, block in blocks
    )
    assert len(header) == size
    path.write_bytes(header + data)


def write_nev(path, spikes, digital=()):
    """Spikes (sample, electrode, unit) and digital events (sample, value) in packets of 104 bytes."""
    packet, electrodes = 104, sorted({electrode for _, electrode, _ in spikes})
    extended = b"".join(
        struct.pack("<8sHBBHHhhBBH8s", b"NEUEVWAV", e, 1, e, 250, 0, 0, -100, 2, 2, 48, b"") for e in electrodes
    ) + b"".join(struct.pack("<8sH16s6s", b"NEUEVLBL", e, f"elec{e}".encode(), b"") for e in electrodes)
    n_extended = 2 * len(electrodes)
    header = struct.pack("<8sBBHIIII", b"NEURALEV", 2, 3, 1, 336 + 32 * n_extended, packet, 30000, 30000) + ORIGIN
    header += struct.pack("<32s256sI", b"test", b"", n_extended)
    assert len(header) == 336
    assert len(extended) == 32 * n_extended
    packets = [(t, struct.pack("<IHBB", t, e, u, 0) + bytes(packet - 8)) for t, e, u in spikes]
    packets += [(t, struct.pack("<IHBBH", t, 0, 1, 0, value) + bytes(packet - 10)) for t, value in digital]
    path.write_bytes(header + extended + b"".join(data for _, data in sorted(packets)))


@pytest.fixture
def blackrock(tmp_path):
    rng = np.random.default_rng(5)
    first, second = rng.integers(-8000, 8000, (100, 2)), rng.integers(-8000, 8000, (60, 2))
    # 1 kHz; the second block starts 0.5 s after the first began: a gap of 0.4 s
    write_nsx(tmp_path / "rec.ns2", [(0, first), (15000, second)])
    return tmp_path, first, second


class TestBlackrock:
    def test_signal_with_its_gap(self, blackrock):
        folder, first, second = blackrock
        node = nd.load(folder / "rec.ns2")["eeg"]
        expected = np.concatenate([first, second]) * np.array([0.25, 0.5]) * 1e-6
        np.testing.assert_allclose(node["signal"], expected, rtol=1e-12)
        np.testing.assert_allclose(node["time"], np.r_[np.arange(100) / 1e3, 0.5 + np.arange(60) / 1e3], atol=1e-12)
        assert node["channel"].values.tolist() == ["elec1", "elec2"]
        assert node["ch_unit"].values.tolist() == ["V", "V"]
        assert node["ch_unit_original"].values.tolist() == ["uV", "uV"]

    def test_the_signal_is_read_when_used_over_the_gap_and_pickles(self, blackrock):
        folder, first, second = blackrock
        signal = nd.load(folder / "rec.ns2")["eeg"]["signal"]
        assert not signal.variable._in_memory
        again = pickle.loads(pickle.dumps(signal))
        expected = np.concatenate([first, second])[90:110, 1] * 0.5e-6
        np.testing.assert_allclose(again[90:110, 1], expected, rtol=1e-12)

    def test_spikes_and_events(self, tmp_path):
        spikes = [(300, 1, 1), (600, 1, 1), (900, 2, 0), (1200, 1, 2), (4500, 1, 1)]
        write_nev(tmp_path / "rec.nev", spikes, digital=[(1500, 42)])
        recording = nd.load(tmp_path / "rec.nev")
        node = recording["spikes"]
        assert node["label"].values.tolist() == ["ch1#1", "ch1#2", "ch2#0"]
        assert node["spike_count"].values.tolist() == [3, 1, 1]
        np.testing.assert_allclose(node["spike_time"], [0.01, 0.02, 0.15, 0.04, 0.03], atol=1e-12)
        np.testing.assert_allclose(recording["events"]["onset"], [0.05], atol=1e-12)
        assert recording["events"]["description"].values.tolist() == ["42"]

    def test_a_folder_with_one_set_is_one_recording(self, tmp_path):
        write_nsx(tmp_path / "rec.ns2", [(0, np.ones((2000, 2)))])
        write_nev(tmp_path / "rec.nev", [(300, 1, 1), (600, 1, 1)])
        recording = nd.load(tmp_path)
        assert set(recording.children) >= {"eeg", "spikes"}
        np.testing.assert_allclose(recording["spikes"]["spike_time"], [0.01, 0.02], atol=1e-12)

    def test_a_folder_with_two_sets_is_two_recordings(self, tmp_path):
        for stem in ("a", "b"):
            write_nsx(tmp_path / f"{stem}.ns2", [(0, np.ones((20, 2)))])
        recordings = nd.load(tmp_path)
        assert sorted(recordings.children) == ["a", "b"]
        assert recordings["a"]["eeg"].sizes["time"] == 20

    def test_saved_and_loaded_again_it_is_identical(self, blackrock, tmp_path):
        recording = nd.load(blackrock[0] / "rec.ns2")
        assert nd.load(nd.save(recording, tmp_path / "x.nc")).identical(recording)

    def test_a_cut_header_is_a_format_error(self, blackrock):
        folder, *_ = blackrock
        (folder / "rec.ns2").write_bytes((folder / "rec.ns2").read_bytes()[:200])
        with pytest.raises(FormatError, match="BlackrockRawIO"):
            nd.load(folder / "rec.ns2")


class TestDetect:
    def test_first_bytes_decide(self, tmp_path):
        for name, head in (
            ("a.ns5", b"NEURALCD"),
            ("b.x", b"PLEX"),
            ("c.smr", b"\0\0(C) CED 87"),
            ("d.set", b"trial_date"),
        ):
            (tmp_path / name).write_bytes(head + bytes(64))
            assert detect(tmp_path / name) == BY_CONTENT, name

    def test_formats_of_other_readers_and_empty_files_are_not_claimed(self, tmp_path):
        for name in ("a.edf", "b.vhdr", "c.eeg", "d.set", "e.cnt", "f.nev", "g.dat", "h.mat", "i.h5", "j.xml"):
            (tmp_path / name).write_bytes(b"")
            assert detect(tmp_path / name) == NO, name
        with pytest.raises(UnknownFormatError, match="empty"):
            nd.load(tmp_path / "f.nev")

    def test_an_unknown_format_lists_the_known_ones(self, tmp_path):
        (tmp_path / "a.ns5").write_bytes(b"NEURALCD")
        with pytest.raises(OptionError, match="BlackrockRawIO"):
            nd.load(tmp_path / "a.ns5", format="Blackrock")


class TestFromNeo:
    @pytest.fixture
    def block(self):
        import quantities as pq

        block = neo.Block(name="b", subject="m1")
        for k in range(2):
            segment = neo.Segment()
            block.segments.append(segment)
            start = 10.0 * k * pq.s
            values = np.arange(8.0).reshape(4, 2) + 100 * k
            segment.analogsignals.append(
                neo.AnalogSignal(values, units="mV", sampling_rate=2 * pq.Hz, t_start=start, name="lfp")
            )
            segment.analogsignals.append(
                neo.AnalogSignal(np.ones((4, 1)) * k, units="degC", sampling_rate=2 * pq.Hz, t_start=start, name="heat")
            )
            for name, times in (("u1", [500.0, 1500.0]), ("u2", [])):
                segment.spiketrains.append(
                    neo.SpikeTrain(
                        np.array(times) + 10_000.0 * k, units="ms", t_start=start, t_stop=start + 2 * pq.s, name=name
                    )
                )
            segment.events.append(neo.Event([10.0 * k + 1] * pq.s, labels=["go"], name="cue"))
            segment.epochs.append(
                neo.Epoch([10.0 * k] * pq.s, durations=[250.0] * pq.ms, labels=["base"], name="phase")
            )
        return block

    def test_a_block(self, block):
        recording = nd.io.from_neo(block)
        node = recording["spikes"]
        assert node["unit"].values.tolist() == ["u1", "u2"]
        np.testing.assert_allclose(node["spike_time"], [0.5, 1.5, 10.5, 11.5], rtol=1e-15)
        assert node["spike_count"].values.tolist() == [4, 0]
        assert node["support_start"].values.tolist() == [0.0, 10.0]
        assert node["support_stop"].values.tolist() == [2.0, 12.0]
        signal = recording["eeg"]
        np.testing.assert_array_equal(signal["time"], [0, 0.5, 1, 1.5, 10, 10.5, 11, 11.5])
        expected = np.concatenate([np.arange(8.0).reshape(4, 2), np.arange(8.0).reshape(4, 2) + 100]) * 1e-3
        np.testing.assert_allclose(signal["signal"][:, :2], expected, rtol=1e-15)
        assert signal["channel"].values.tolist() == ["lfp 0", "lfp 1", "heat"]
        assert signal["ch_unit"].values.tolist() == ["V", "V", "degC"]
        assert recording["events"]["onset"].values.tolist() == [1.0, 0.0, 11.0, 10.0]
        assert recording["events"]["duration"].values.tolist() == [0.0, 0.25, 0.0, 0.25]
        assert recording["events"]["description"].values.tolist() == ["go", "base", "go", "base"]

    def test_a_segment_keeps_the_block_untouched(self, block):
        before = block.segments[1].spiketrains[0].magnitude.copy()
        recording = nd.io.from_neo(block.segments[1])
        assert recording["spikes"]["spike_time"].values.tolist() == [10.5, 11.5]
        np.testing.assert_array_equal(block.segments[1].spiketrains[0].magnitude, before)

    def test_trains_of_unequal_extent_have_no_support_but_keep_it_in_the_metadata(self):
        segment = neo.Segment()
        for stop in (1.0, 2.0):
            segment.spiketrains.append(neo.SpikeTrain([0.5], units="s", t_stop=stop))
        node = nd.io.from_neo(segment)["spikes"]
        assert "support_start" not in node
        assert metadata(node.attrs)["extents"] == [[[0.0, 1.0], [0.0, 2.0]]]

    def test_segments_that_do_not_match_are_refused(self, block):
        block.segments[1].spiketrains = list(block.segments[1].spiketrains)[:1]
        with pytest.raises(RecordingError, match="one by one"):
            nd.io.from_neo(block)

    def test_other_objects_are_refused(self):
        with pytest.raises(OptionError, match=r"neo\.Block"):
            nd.io.from_neo([1, 2])
