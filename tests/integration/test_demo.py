"""The demo end to end, and whether its answers are the truth that was put into the examples."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neurodata import datasets
from neurodata.cli import main

EXAMPLES = ("example_spikes", "example_calcium", "example_eeg")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of a demo run by the installed command, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {key: value for key, value in os.environ.items() if key != datasets.MIRROR_VARIABLE}
    done = subprocess.run(
        [Path(sys.executable).with_name("neurodata"), "demo"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return folder / "demo-report", done


@pytest.fixture(scope="module")
def truth():
    return json.loads((datasets._data_folder() / "examples" / "truth.json").read_text())


def _results(demo, name: str, group: str) -> xr.Dataset:
    return xr.load_dataset(demo[0] / name / "results.nc", group=group, engine="h5netcdf", decode_timedelta=False)


def _true_states(truth, name: str, time: np.ndarray) -> np.ndarray:
    switches = truth[name]["switches"]
    return np.array(switches["state"])[np.searchsorted(switches["start"], time, side="right") - 1]


def _matched(path: np.ndarray, states: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """Share of bins that agree, for the best naming of the states, and that naming."""
    return max((float((np.array(names)[path] == states).mean()), names) for names in itertools.permutations(range(3)))


def test_the_demo_writes_its_reports_and_says_where(demo):
    folder, done = demo
    assert sorted(path.name for path in folder.iterdir()) == [
        "example_calcium",
        "example_eeg",
        "example_spikes",
        "index.html",
    ]
    for name in EXAMPLES:
        assert sorted(path.name for path in (folder / name).iterdir()) == ["report.html", "results.nc"]
        assert f'href="{name}/report.html"' in (folder / "index.html").read_text()
    assert "reports: demo-report/index.html" in done.stdout
    assert "example_spikes" in done.stderr  # the bar
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_reports_need_nothing_else(demo, name):
    text = (demo[0] / name / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert set(re.findall(r"""(?:src|href)=["']([a-z]+:|#|[^"'])""", text)) <= {"data:", "#"}
    assert not re.search(r"url\(|@import", text)
    assert str(datasets._data_folder()) not in text  # no path of this machine


@pytest.mark.parametrize("name", ["example_spikes", "example_calcium"])
def test_states_are_the_true_ones(demo, truth, name):
    states = _results(demo, name, "states")
    time = states["time"].values
    share, _ = _matched(states["path"].values, _true_states(truth, name, time))
    # 0.99 was measured for both; the bins at the switches cannot be told apart.
    assert share > 0.97
    assert (states["score"] > states["score_one_state"]).all()
    assert (states["score"] > 0.1).all()


def test_couplings_are_larger_where_they_were_put_in(demo, truth):
    states = _results(demo, "example_spikes", "states")
    facts = truth["example_spikes"]
    _, names = _matched(states["path"].values, _true_states(truth, "example_spikes", states["time"].values))
    unit = states["post"].values
    off_diagonal = ~np.eye(unit.size, dtype=bool)
    for state, true_state in enumerate(names):
        put_in = np.zeros((unit.size, unit.size))
        for pair in facts["coupling"]:
            if pair["state"] == true_state:
                put_in[unit == pair["post"], unit == pair["pre"]] = pair["weight"]
        sign = np.sign(put_in[put_in != 0][0])
        weight = sign * states["weight"].values[state]
        coupled, others = weight[put_in != 0], weight[(put_in == 0) & off_diagonal]
        # Probability that a coupled pair has the larger weight: 0.90 to 0.97 measured, 0.5 by chance.
        assert (coupled[:, None] > others).mean() > 0.8


def test_the_hand_areas_desynchronise_on_the_other_side(demo):
    spectrum = _results(demo, "example_eeg", "spectrum")
    change = spectrum["trial_change"]
    kind = spectrum["description"].values
    for cue, side, other in (("cue/left", "C4", "C3"), ("cue/right", "C3", "C4")):
        for band in ("alpha", "beta"):
            mean = change.sel(band=band).isel(trial=np.flatnonzero(kind == cue)).mean("trial")
            assert float(mean.sel(channel=side)) < -3.0
            assert float(mean.sel(channel=other)) > -1.5
            assert float(spectrum["change_p"].sel(kind=cue, band=band, channel=side)) < 0.01
    assert float(spectrum["difference_p"].sel(band="alpha", channel="C3")) < 0.01
    # The rhythms that were put in, 10.2 Hz at the back and 10.0 Hz over the hand areas; lines are 0.5 Hz apart.
    peak = spectrum["peak_frequency"]
    for channel in ("O1", "O2", "C3", "C4"):
        assert abs(float(peak.sel(channel=channel)) - 10.1) < 0.6


def test_the_evoked_wave_is_where_and_when_it_was_put(demo):
    evoked = _results(demo, "example_eeg", "spectrum")["evoked"]
    late = evoked.sel(channel="Pz").mean("kind").sel(time_evoked=slice(0.05, 0.7))
    assert abs(float(late["time_evoked"][int(late.values.argmax())]) - 0.36) < 0.08
    early = evoked.sel(channel=["O1", "O2"]).mean(["kind", "channel"]).sel(time_evoked=slice(0.05, 0.3))
    assert abs(float(early["time_evoked"][int(early.values.argmin())]) - 0.17) < 0.03


def test_the_demo_needs_no_network_and_can_be_repeated(demo, tmp_path, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise AssertionError("the demo opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv(datasets.MIRROR_VARIABLE, raising=False)
    (tmp_path / "out" / "example_eeg").mkdir(parents=True)
    (tmp_path / "out" / "example_eeg" / "report.html").write_text("an older report")
    assert main(["analyze", "example_eeg", "--out", str(tmp_path / "out" / "example_eeg"), "--quiet"]) == 0
    assert "C3" in capsys.readouterr().out
    again = xr.load_dataset(
        tmp_path / "out" / "example_eeg" / "results.nc", group="spectrum", engine="h5netcdf", decode_timedelta=False
    )
    assert again.equals(_results(demo, "example_eeg", "spectrum"))
