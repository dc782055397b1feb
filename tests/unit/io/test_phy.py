"""phy and Kilosort folders: what is kept, what is refused, and that params.py never runs."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata._core.provenance import metadata, operations
from neurodata.errors import (
    FormatError,
    MissingOptionError,
    NeurodataWarning,
    OptionError,
    RecordingError,
    UntrustedDataError,
)
from neurodata.io.phy import detect, parse_params
from neurodata.io.registry import BY_CONTENT, NO

RATE = 20000.0
SAMPLES = [100, 250, 400, 900, 1500]
CLUSTERS = [7, 3, 7, 3, 12]


def write_phy(folder, samples=SAMPLES, clusters=CLUSTERS, params=f"sample_rate = {RATE}\n", **arrays):
    """A phy folder as Kilosort writes it: unsigned times in a column."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "spike_times.npy", np.asarray(samples, dtype=arrays.pop("dtype", np.uint64))[:, None])
    if clusters is not None:
        np.save(folder / "spike_clusters.npy", np.asarray(clusters, dtype=np.int32))
    if params is not None:
        (folder / "params.py").write_text(params)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(values))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_phy(tmp_path / "phy")


def times_of(recording, unit):
    node = recording["spikes"]
    return node["spike_time"].values[node["spike_unit"].values == node["unit"].values.tolist().index(unit)].tolist()


def test_times_ids_and_samples(folder):
    recording = nd.load(folder)
    node = recording["spikes"]
    assert node["unit"].values.tolist() == [3, 7, 12]
    assert node["spike_count"].values.tolist() == [2, 2, 1]
    assert node["spike_sample"].values.tolist() == [250, 900, 100, 400, 1500]
    assert times_of(recording, 7) == [100 / RATE, 400 / RATE]
    assert node.attrs["sampling_rate"] == RATE
    assert recording.attrs["reader"] == "phy"


def test_detect_needs_both_files(tmp_path):
    folder = write_phy(tmp_path / "phy", clusters=None)
    assert detect(folder) == NO
    np.save(folder / "spike_templates.npy", np.array(CLUSTERS))
    assert detect(folder) == BY_CONTENT
    assert detect(folder / "params.py") == NO
    assert detect(tmp_path / "nothing") == NO


def test_templates_stand_in_for_clusters(tmp_path):
    folder = write_phy(tmp_path / "phy", clusters=None, spike_templates=CLUSTERS)
    assert nd.load(folder)["spikes"]["unit"].values.tolist() == [3, 7, 12]


def test_unlabelled_empty_and_noise_clusters_are_kept(folder):
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tnoise\n99\tgood\n")
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n3\tgood\n12\tmua\n")
    node = nd.load(folder)["spikes"]
    assert node["unit"].values.tolist() == [3, 7, 12, 99]
    assert node["spike_count"].values.tolist() == [2, 2, 1, 0]
    assert node["quality"].values.tolist() == ["noise", "", "mua", "good"]
    assert node["group"].values.tolist() == ["noise", "", "", "good"]
    assert node["KSLabel"].values.tolist() == ["good", "", "mua", ""]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cluster_info.tsv", "id\tamp\tgroup\tn/a\n3\t10.5\tgood\t007\n7\t\tmua\t1\n12\t3\t\t2\n"),
        ("cluster_info.csv", "cluster_id,amp,group,n/a\n3,10.5,good,007\n7,,mua,1\n12,3,,2\n"),
        ("cluster_groups.csv", "cluster_id\tamp\tgroup\tn/a\n3\t10.5\tgood\t007\n7\t\tmua\t1\n12\t3\t\t2\n"),
    ],
)
def test_variants_of_the_cluster_table(folder, name, text):
    (folder / name).write_text(text)
    node = nd.load(folder)["spikes"]
    np.testing.assert_array_equal(node["amp"].values, [10.5, np.nan, 3.0])
    assert node["quality"].values.tolist() == ["good", "mua", ""]
    assert node["n_a"].values.tolist() == ["007", "1", "2"]
    assert node["n_a"].attrs["source_name"] == "n/a"


def test_separate_tables_win_over_cluster_info(folder):
    (folder / "cluster_info.tsv").write_text("cluster_id\tgroup\tn_spikes\n3\tmua\t2\n7\tmua\t2\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n")
    node = nd.load(folder)["spikes"]
    assert node["quality"].values.tolist() == ["good", "mua", ""]
    np.testing.assert_array_equal(node["n_spikes"].values, [2, 2, np.nan])


def test_columns_with_names_that_mean_something_else(folder):
    (folder / "cluster_odd.tsv").write_text("cluster_id\tattrs\tspike_count\tunit\n3\ta\t5\tb\n")
    node = nd.load(folder)["spikes"]
    assert node["attrs_"].values.tolist() == ["a", "", ""]
    assert node["unit_"].attrs["source_name"] == "unit"
    assert node["spike_count"].values.tolist() == [2, 2, 1]


def test_amplitudes_follow_their_spikes(tmp_path):
    folder = write_phy(tmp_path / "phy", amplitudes=np.arange(5.0)[:, None])
    assert nd.load(folder)["spikes"]["spike_amplitude"].values.tolist() == [1, 3, 0, 2, 4]


class TestBestChannel:
    """Two templates on three channels; cluster 12 has none of its own and cluster 50 no spikes."""

    def arrays(self, **more):
        templates = np.zeros((13, 4, 3), dtype=np.float32)
        templates[3, 1, 2] = -5.0
        templates[7, :, 0] = [0, 3, -3, 0]
        templates[7, 1, 1] = -5.5  # larger than any one sample of channel 0, smaller peak to peak
        return {
            "spike_templates": CLUSTERS,
            "templates": templates,
            "channel_map": [[10], [11], [12]],
            "channel_positions": [[0.0, 20.0], [16.0, 40.0], [0.0, 60.0]],
            "channel_shanks": [0, 0, 1],
        } | more

    def node(self, tmp_path, clusters=CLUSTERS, **more):
        folder = write_phy(tmp_path / "phy", clusters=clusters, **self.arrays(**more))
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n50\tgood\n")
        return nd.load(folder)["spikes"]

    def test_from_whitened_templates(self, tmp_path):
        node = self.node(tmp_path)
        assert node["channel"].values.tolist() == [12, 10, -1, -1]
        np.testing.assert_array_equal(node["x"], [0, 0, np.nan, np.nan])
        np.testing.assert_array_equal(node["y"], [60, 20, np.nan, np.nan])
        np.testing.assert_array_equal(node["depth"], [60, 20, np.nan, np.nan])
        assert node["shank"].values.tolist() == [1, 0, -1, -1]
        assert node.attrs["best_channel_from"] == "whitened templates"

    def test_unwhitened_where_the_matrix_is_there(self, tmp_path):
        # What is on channel 2 in whitened space lies on channel 1 in the data.
        node = self.node(tmp_path, whitening_mat_inv=[[1.0, 0, 0], [0, 1.0, 0], [0, 2.0, 1.0]])
        assert node["channel"].values.tolist() == [11, 10, -1, -1]
        assert node.attrs["best_channel_from"] == "unwhitened templates"

    def test_merged_cluster_weighs_its_templates(self, tmp_path):
        # One spike of template 3 (5 on channel 12), two of template 7 (12 on channel 10 in all).
        node = self.node(tmp_path, clusters=[20, 20, 20, 3, 12])
        assert node["channel"].values.tolist() == [12, -1, 10, -1]

    @pytest.mark.parametrize("name", ["template_ind", "templates_ind"])
    @pytest.mark.parametrize("padding", [-1, 3])
    def test_sparse_templates(self, tmp_path, name, padding):
        templates = np.zeros((13, 4, 2), dtype=np.float32)
        templates[3, 1] = [1.0, 9.0]  # the second place is padding
        templates[7, 1] = [1.0, 2.0]
        index = np.full((13, 2), padding)
        index[3, 0] = 2
        index[7] = [0, 1]
        node = self.node(tmp_path, templates=templates, **{name: index})
        assert node["channel"].values.tolist() == [12, 11, -1, -1]

    def test_cluster_info_knows_the_depth(self, tmp_path):
        folder = write_phy(tmp_path / "phy", **self.arrays())
        (folder / "cluster_info.tsv").write_text("cluster_id\tdepth\tch\n3\t1000\t5\n7\t1010\t6\n12\t1020\t7\n")
        node = nd.load(folder)["spikes"]
        assert node["depth"].values.tolist() == [1000, 1010, 1020]
        assert node["ch"].values.tolist() == [5, 6, 7]
        np.testing.assert_array_equal(node["y"], [60, 20, np.nan])

    @pytest.mark.parametrize(
        "more",
        [
            {"channel_map": [1, 2]},
            {"channel_positions": [1.0, 2.0, 3.0]},
            {"spike_templates": [0, 0, 0, 0, 13]},
            {"templates": np.zeros((13, 4, 2))},
            {"templates": np.zeros((13, 4))},
            {"template_ind": np.zeros((12, 3))},
        ],
        ids=str,
    )
    def test_files_that_do_not_belong_together(self, tmp_path, more):
        with pytest.raises(FormatError):
            self.node(tmp_path, **more)


class TestParams:
    def test_code_is_not_run(self, folder, tmp_path):
        marker = tmp_path / "ran"
        (folder / "params.py").write_text(
            f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
            f"x = pathlib.Path({str(marker)!r}).touch()\n"
            f"sample_rate = {RATE}\n"
            f"[pathlib.Path({str(marker)!r}).touch() for _ in range(2)]\n"
        )
        recording = nd.load(folder)
        assert not marker.exists()
        assert recording["spikes"].attrs["sampling_rate"] == RATE
        assert metadata(recording.attrs)["params_not_literal"] == ["x"]

    def test_paths_are_cut_to_their_names(self, folder):
        (folder / "params.py").write_text(
            f"dat_path = ['/home/someone/raw.bin', 'D:\\\\lab\\\\b.bin']\nsample_rate = {RATE}\n"
        )
        assert metadata(nd.load(folder).attrs)["params"] == {"dat_path": ["raw.bin", "b.bin"], "sample_rate": RATE}

    @pytest.mark.parametrize(
        "line", [r"dat_path = 'C:\Users\x'", r"dat_path = 'C:\data'", "dat_path = ", "\x00", "dat_path = ('a'"]
    )
    def test_a_broken_line_does_not_hide_the_rate(self, folder, line):
        (folder / "params.py").write_text(f"{line}\nsample_rate = {RATE}\n", newline="")
        assert nd.load(folder)["spikes"].attrs["sampling_rate"] == RATE

    def test_computed_rate_is_not_taken(self, folder):
        (folder / "params.py").write_text("sample_rate = 2 * 10000\n")
        with pytest.raises(MissingOptionError, match="not a plain number"):
            nd.load(folder)
        assert parse_params(folder / "params.py") == ({}, ["sample_rate"])

    def test_missing_rate(self, tmp_path):
        folder = write_phy(tmp_path / "phy", params=None)
        with pytest.raises(MissingOptionError, match="sampling_rate="):
            nd.load(folder)
        assert times_of(nd.load(folder, sampling_rate=10), 12) == [150.0]

    def test_stated_rate_that_differs_is_used_and_said(self, folder):
        with pytest.warns(NeurodataWarning, match="params.py says"):
            assert nd.load(folder, sampling_rate=10000)["spikes"].attrs["sampling_rate"] == 10000

    @pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf, "30000", True])
    def test_impossible_rate(self, tmp_path, rate):
        with pytest.raises(OptionError, match="positive sampling rate"):
            nd.load(write_phy(tmp_path / "phy", params=None), sampling_rate=rate)


class TestBadInput:
    def test_lengths_differ(self, tmp_path):
        with pytest.raises(RecordingError, match="spike_clusters.npy, 5"):
            nd.load(write_phy(tmp_path / "phy", clusters=[1, 2]))

    @pytest.mark.parametrize("name", ["amplitudes", "spike_templates"])
    def test_lengths_of_other_files_differ(self, tmp_path, name):
        with pytest.raises(RecordingError, match=name):
            nd.load(write_phy(tmp_path / "phy", **{name: [1, 2, 3]}))

    def test_unsorted(self, tmp_path):
        folder = write_phy(tmp_path / "phy", samples=[100, 250, 50, 900, 1500], amplitudes=np.arange(5.0))
        with pytest.raises(RecordingError, match="sort=True"):
            nd.load(folder)
        recording = nd.load(folder, sort=True)
        assert times_of(recording, 7) == [50 / RATE, 100 / RATE]
        assert recording["spikes"]["spike_sample"].values.tolist() == [250, 900, 50, 100, 1500]
        assert recording["spikes"]["spike_amplitude"].values.tolist() == [1, 3, 2, 0, 4]
        assert operations(recording["spikes"].attrs)[0]["operation"] == "sort"

    def test_sorted_by_cluster_instead_of_time_is_fine(self, tmp_path):
        folder = write_phy(tmp_path / "phy", samples=[100, 900, 50, 60, 10], clusters=[1, 1, 2, 2, 3])
        assert times_of(nd.load(folder), 2) == [50 / RATE, 60 / RATE]

    def test_negative(self, tmp_path):
        with pytest.raises(RecordingError, match="1 negative"):
            nd.load(write_phy(tmp_path / "phy", samples=[-1, 2, 3, 4, 5], dtype=np.int64))

    def test_nan(self, tmp_path):
        with pytest.raises(RecordingError, match="NaN"):
            nd.load(write_phy(tmp_path / "phy", samples=[np.nan, 2, 3, 4, 5], dtype=float))

    def test_whole_floats_are_samples_and_others_are_not(self, tmp_path):
        folder = write_phy(tmp_path / "a", dtype=float)
        assert nd.load(folder)["spikes"]["spike_sample"].dtype == np.int64
        folder = write_phy(tmp_path / "b", samples=[0.5, 1, 2, 3, 4], dtype=float, params=None)
        with pytest.raises(RecordingError, match="time_unit='s'"):
            nd.load(folder, sampling_rate=RATE)
        assert times_of(nd.load(folder, time_unit="s"), 7) == [0.5, 2.0]
        assert times_of(nd.load(folder, time_unit="ms"), 7) == [0.0005, 0.002]
        assert "spike_sample" not in nd.load(folder, time_unit="s")["spikes"]

    def test_unknown_time_unit(self, folder):
        with pytest.raises(OptionError, match="time_unit"):
            nd.load(folder, time_unit="hours")

    def test_rate_in_khz(self, tmp_path):
        # Poisson spikes at 5/s for 100 s at 30 kHz, read as if at 30 Hz: intervals of minutes.
        rng = np.random.default_rng(0)
        samples = np.cumsum(rng.exponential(6000, 500).astype(int))
        folder = write_phy(tmp_path / "phy", samples=samples, clusters=np.zeros(500), params=None)
        with pytest.raises(RecordingError, match="do not look like seconds"):
            nd.load(folder, sampling_rate=30)
        assert nd.load(folder, sampling_rate=30, time_unit="sample")["spikes"].sizes["spike"] == 500
        assert nd.load(folder, sampling_rate=30000)["spikes"].sizes["spike"] == 500

    def test_duplicate_ids_in_a_table(self, folder):
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n3\tmua\n")
        with pytest.raises(RecordingError, match=r"\[3\] come more than once"):
            nd.load(folder)

    @pytest.mark.parametrize(
        "text", ["", "group\tlabel\n3\tgood\n", "cluster_id\tgroup\nx\tgood\n", "cluster_id\tgroup\n3\tgood\textra\n"]
    )
    def test_damaged_table(self, folder, text):
        (folder / "cluster_group.tsv").write_text(text)
        with pytest.raises(FormatError, match="cluster_group.tsv"):
            nd.load(folder)

    def test_no_units(self, tmp_path):
        with pytest.raises(RecordingError, match="there are no units"):
            nd.load(write_phy(tmp_path / "phy", samples=[], clusters=[]))

    def test_units_without_spikes(self, tmp_path):
        folder = write_phy(tmp_path / "phy", samples=[], clusters=[])
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n5\tmua\n")
        node = nd.load(folder)["spikes"]
        assert node["unit"].values.tolist() == [3, 5]
        assert node["spike_count"].values.tolist() == [0, 0]

    def test_object_arrays_need_asking(self, folder):
        np.save(folder / "spike_clusters.npy", np.array(CLUSTERS, dtype=object), allow_pickle=True)
        with pytest.raises(UntrustedDataError, match="allow_pickle=True"):
            nd.load(folder)
        assert nd.load(folder, allow_pickle=True)["spikes"]["unit"].values.tolist() == [3, 7, 12]

    @pytest.mark.parametrize("values", [np.array(["a"] * 5), np.full(5, 1.5), np.zeros((5, 2))], ids=str)
    def test_ids_that_are_none(self, folder, values):
        np.save(folder / "spike_clusters.npy", values)
        with pytest.raises(FormatError, match="spike_clusters.npy"):
            nd.load(folder)

    def test_truncated(self, folder):
        whole = (folder / "spike_times.npy").read_bytes()
        (folder / "spike_times.npy").write_bytes(whole[:-4])
        with pytest.raises(FormatError, match="truncated"):
            nd.load(folder)

    def test_wrong_reader(self, tmp_path):
        with pytest.raises(FormatError, match="spike_times.npy"):
            nd.load(tmp_path, reader="phy")


def test_round_trip(folder, tmp_path):
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n99\tgood\n", encoding="utf-8")
    recording = nd.load(folder)
    nd.save(recording, tmp_path / "x.nc")
    assert nd.load(tmp_path / "x.nc").identical(recording)
