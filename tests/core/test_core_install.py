"""The core install alone, from a wheel: run by `make test-core`, where no extra is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import neurodata as nd

EXTRAS = ("mne", "neo", "pynwb", "spikeinterface", "movement", "zarr", "dask", "jax", "brian2", "pynapple")


def test_this_is_the_core_install():
    assert not [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert (Path(nd.__file__).parent / "_data" / "registry.toml").is_file()


def test_readers_say_what_is_installed():
    table = nd.io.readers()
    assert table.loc["phy", "installed"]
    assert table.loc["suite2p", "installed"]
    assert not table.loc["mne", "installed"]


@pytest.mark.parametrize("name", ["example_spikes", "example_calcium", "example_eeg"])
def test_examples_load_save_and_print_without_extras(tmp_path, name):
    rec = nd.datasets.load(name)
    path = nd.save(rec, tmp_path / "rec.nc")
    assert nd.load(path).identical(rec)
    assert "span" in repr(nd.summary(rec))


def test_a_missing_extra_is_named_with_the_command(tmp_path):
    header = tmp_path / "a.vhdr"
    header.write_text("Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n")
    with pytest.raises(nd.errors.MissingDependencyError, match=r'pip install "neurodata\[eeg\]"'):
        nd.load(header)


def test_zarr_is_an_extra(tmp_path):
    with pytest.raises(nd.errors.MissingDependencyError, match=r"neurodata\[zarr\]"):
        nd.save(nd.datasets.load("example_spikes"), tmp_path / "rec.zarr")


def test_the_demo_runs_without_extras(tmp_path):
    command = [Path(sys.executable).with_name("neurodata"), "demo", "--quiet", "--out", tmp_path / "report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "report").glob("*/report.html"))) == 3
