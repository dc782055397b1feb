"""Shared fixtures: real recordings from a local mirror, and a count of how many were read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_READ: set[str] = set()


@pytest.fixture
def real_path():
    """`real_path("eeg/edf_mne/test.edf")`: a file or folder of the local mirror NEURODATA_DATA; skips without it."""
    root = os.environ.get("NEURODATA_DATA", "")

    def locate(relative: str) -> Path:
        if not root or not Path(root).is_dir():
            pytest.skip("no local mirror of real recordings: set NEURODATA_DATA to its folder")
        path = Path(root) / relative
        assert path.exists(), f"the mirror {root} lacks {relative}"
        return path

    return locate


@pytest.fixture
def real_load(real_path):
    """`real_load("eeg/edf_mne/test.edf", **options)`: `nd.load` of a real recording, counted in the closing lines."""
    import neurodata as nd

    def read(relative: str, **options):
        recording = nd.load(real_path(relative), **options)
        _READ.add(relative)
        return recording

    return read


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many real recordings were read."""
    terminalreporter.write_line(f"real recordings read: {len(_READ)}")
