"""Reports are put in place whole: a failure leaves what was there, and nothing else."""

from __future__ import annotations

import errno

import numpy as np
import pytest

import neurodata as nd
from neurodata.cli import main
from neurodata.cli.output import write_files
from neurodata.errors import StoreError


def _full(path):
    path.write_text("half of")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_report(tmp_path):
    write_files(tmp_path, {"a.txt": lambda p: p.write_text("old a"), "b.txt": lambda p: p.write_text("old b")})
    with pytest.raises(StoreError, match="No space left"):
        write_files(tmp_path, {"a.txt": lambda p: p.write_text("new a"), "b.txt": _full})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old a", "b.txt": "old b"}


def test_a_failure_in_a_new_folder_takes_the_folder_away(tmp_path):
    with pytest.raises(StoreError):
        write_files(tmp_path / "x" / "y", {"a.txt": _full})
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    write_files(tmp_path, {"a.txt": lambda p: p.write_text("a")})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "mine.txt"]


def test_an_error_that_is_not_of_the_disk_takes_the_folder_away_too(tmp_path):
    def broken(path):
        raise KeyError("x")

    with pytest.raises(KeyError):
        write_files(tmp_path / "x", {"a.txt": broken})
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path, capsys):
    nd.save(nd.make_recording(eeg=nd.make_eeg(np.zeros((1000, 1)), sampling_rate=100.0)), tmp_path / "e.nc")
    (tmp_path / "out").write_text("a file")
    assert main(["analyze", str(tmp_path / "e.nc"), "--out", str(tmp_path / "out")]) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "a file"


def test_analyze_on_a_full_disk_ends_with_2_and_leaves_the_old_report(tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    nd.save(nd.make_recording(eeg=nd.make_eeg(rng.normal(size=(2000, 2)), sampling_rate=100.0)), tmp_path / "e.nc")
    arguments = ["analyze", str(tmp_path / "e.nc"), "--out", str(tmp_path / "out"), "--quiet"]
    assert main(arguments) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(tree, path):
        _full(path)

    monkeypatch.setattr("neurodata.cli.analyze.write_tree", full)
    assert main(arguments) == 2
    assert "No space left" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
