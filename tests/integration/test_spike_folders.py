"""Real phy and ALF folders against a reading by numpy alone: ids, times and counts exactly."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import neurodata as nd
from neurodata.containers import unit_slices
from neurodata.errors import MissingOptionError

PHY = "spikes/phy_template"
ALF = "spikes/ibl_alf_derived"


def assert_trains(node, unit_of_spike, times):
    """Every unit's train, and nothing besides."""
    units = np.unique(unit_of_spike)
    np.testing.assert_array_equal(node["unit"].values, units)
    slices = unit_slices(node.to_dataset())
    for unit, part in zip(units, slices, strict=True):
        np.testing.assert_array_equal(node["spike_time"].values[part], times[unit_of_spike == unit])
    np.testing.assert_array_equal(node["spike_count"].values, [(unit_of_spike == unit).sum() for unit in units])
    assert node.sizes["spike"] == times.size


class TestPhy:
    def test_every_spike_of_every_cluster(self, real_load, real_path):
        folder = real_path(PHY)
        sample = np.load(folder / "spike_times.npy").ravel().astype(np.int64)
        cluster = np.load(folder / "spike_clusters.npy").ravel().astype(np.int64)
        node = real_load(PHY, sampling_rate=25000)["spikes"]
        assert node.sizes == {"spike": 314, "unit": 62}
        assert_trains(node, cluster, sample / 25000)
        by_unit = np.lexsort((np.arange(sample.size), cluster))
        np.testing.assert_array_equal(node["spike_sample"].values, sample[by_unit])
        amplitude = np.load(folder / "amplitudes.npy").ravel()
        np.testing.assert_array_equal(node["spike_amplitude"].values, amplitude[by_unit])

    def test_one_label_and_61_without(self, real_load):
        node = real_load(PHY, sampling_rate=25000)["spikes"]
        assert node["unit"].values[node["quality"].values == "good"].tolist() == [4]
        assert (node["quality"].values == "").sum() == 61

    def test_best_channel(self, real_load, real_path):
        folder = real_path(PHY)
        node = real_load(PHY, sampling_rate=25000)["spikes"]
        # No cluster was merged here: a cluster's template has its own number.
        assert np.array_equal(np.load(folder / "spike_clusters.npy"), np.load(folder / "spike_templates.npy"))
        templates = np.einsum(
            "uts,sc->utc", np.load(folder / "templates.npy"), np.load(folder / "whitening_mat_inv.npy")
        )
        amplitude = templates.max(axis=1) - templates.min(axis=1)
        best = amplitude[node["unit"].values].argmax(axis=1)
        np.testing.assert_array_equal(node["channel"].values, np.load(folder / "channel_map.npy").ravel()[best])
        position = np.load(folder / "channel_positions.npy")[best]
        np.testing.assert_array_equal(np.column_stack([node["x"], node["y"]]), position)
        np.testing.assert_array_equal(node["depth"].values, position[:, 1])
        np.testing.assert_array_equal(node["shank"].values, np.load(folder / "channel_shanks.npy").ravel()[best])

    def test_rate_is_not_guessed(self, real_path):
        with pytest.raises(MissingOptionError, match="sampling_rate="):
            nd.load(real_path(PHY))

    def test_rate_of_params(self, real_load, real_path, tmp_path):
        copy = shutil.copytree(real_path(PHY), tmp_path / "phy_template", copy_function=shutil.copyfile)
        copy.chmod(0o755)
        (copy / "params.py").write_text(
            "dat_path = '../sim_binary.dat'\nn_channels_dat = 34\ndtype = 'int16'\noffset = 0\n"
            "sample_rate = 25000.\nhp_filtered = False\n"
        )
        recording = nd.load(copy)
        assert recording["spikes"].identical(real_load(PHY, sampling_rate=25000)["spikes"])

    def test_round_trip(self, real_load, tmp_path):
        recording = real_load(PHY, sampling_rate=25000)
        nd.save(recording, tmp_path / "x.nc")
        assert nd.load(tmp_path / "x.nc").identical(recording)


class TestAlf:
    @pytest.mark.parametrize("part", ["", "/alf", "/alf/probe00"])
    def test_every_spike_of_every_cluster(self, real_load, real_path, part):
        folder = real_path(ALF) / "alf" / "probe00"
        node = real_load(ALF + part)["spikes"]
        assert node.sizes == {"spike": 124905, "unit": 289}
        assert_trains(
            node, np.load(folder / "spikes.clusters.npy").astype(np.int64), np.load(folder / "spikes.times.npy")
        )

    def test_trials_and_events(self, real_load, real_path):
        folder = real_path(ALF) / "alf"
        recording = real_load(ALF)
        onset = np.load(folder / "_ibl_trials.stimOn_times.npy")
        np.testing.assert_array_equal(recording["trials"]["stimOn_times"].values, onset)
        np.testing.assert_array_equal(recording["trials"]["choice"].values, np.load(folder / "_ibl_trials.choice.npy"))
        np.testing.assert_array_equal(recording["events"]["onset"].values, onset)
        assert set(recording["events"]["description"].values) == {"stimOn"}

    def test_round_trip(self, real_load, tmp_path):
        recording = real_load(ALF)
        nd.save(recording, tmp_path / "x.nc")
        assert nd.load(tmp_path / "x.nc").identical(recording)
