"""The commands: what they print, their exit codes, and that bad input leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.cli import main
from neurodata.cli.parser import key_value


@pytest.fixture
def short_spikes(tmp_path) -> Path:
    """A file of ours: 6 units, 60 s, two states of 2 s each in turn that differ in the rates of the units."""
    rng = np.random.default_rng(0)
    width, n = 0.02, 3000
    state = (np.arange(n) // 100) % 2
    rate = np.where(np.arange(6) % 2 == state[:, None], 30.0, 3.0)
    counts = rng.random((n, 6)) < rate * width
    trains = [(np.flatnonzero(counts[:, k]) + rng.random(counts[:, k].sum())) * width for k in range(6)]
    path = tmp_path / "short.nc"
    nd.save(nd.make_recording(spikes=nd.make_spikes(trains, support=[[0.0, 60.0]])), path)
    return path


@pytest.fixture
def short_eeg() -> xr.DataTree:
    rng = np.random.default_rng(1)
    t = np.arange(6000) / 100.0
    onset = 3.0 + 4.5 * np.arange(12)
    x = 1e-5 * rng.standard_normal((6000, 3))
    for at in onset[::2]:
        x[:, 0] += 4e-5 * np.sin(2 * np.pi * 10 * t) * ((t > at + 0.3) & (t < at + 2.0))
    return nd.make_recording(
        eeg=nd.make_eeg(x, channel=["C3", "a/b", "Pz"], sampling_rate=100.0),
        events=nd.make_events(onset, 0.0, ["go", "stop"] * 6),
    )


def _run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_readers_lists_them_all(capsys):
    assert _run("readers") == 0
    printed = capsys.readouterr().out
    for name in nd.io.readers().index:
        assert any(line.startswith(f"{name} ") for line in printed.splitlines())
    assert _run("readers", "phy") == 0
    assert "sampling_rate" in capsys.readouterr().out
    assert _run("readers", "nothing") == 2


def test_info_is_the_summary(short_spikes, capsys):
    assert _run("info", short_spikes) == 0
    assert capsys.readouterr().out.strip() == repr(nd.summary(nd.load(short_spikes)))


def test_info_takes_the_name_of_an_example(capsys):
    assert _run("info", "example_eeg") == 0
    assert "cue/left 20, cue/right 20" in capsys.readouterr().out


def test_info_of_a_file_that_lacks_a_fact_names_the_option(capsys):
    assert _run("info", nd.datasets.path("example_calcium")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "MissingOptionError" in captured.err
    assert "sampling_rate" in captured.err
    assert "Traceback" not in captured.err
    assert _run("info", nd.datasets.path("example_calcium"), "--sampling-rate", "10") == 0
    assert _run("info", nd.datasets.path("example_calcium"), "--option", "sampling_rate=10.0") == 0


def test_convert_is_lossless_and_does_not_replace_unasked(tmp_path, capsys):
    out = tmp_path / "out.nc"
    assert _run("convert", "example_spikes", out) == 0
    assert nd.load(out).identical(nd.datasets.load("example_spikes"))
    before = out.read_bytes()
    assert _run("convert", "example_eeg", out) == 2
    assert "overwrite" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert _run("convert", "example_eeg", out, "--overwrite") == 0
    assert "eeg" in nd.load(out).children


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage"),
        (("fly",), "invalid choice"),
        (("info",), "PATH"),
        (("info", "no-such-place"), "PathNotFoundError"),
        (("info", "example_eeg", "--option", "colour"), "KEY=VALUE"),
        (("info", "example_eeg", "--option", "colour=1"), "colour"),
        (("info", "example_eeg", "--reader", "phy"), "edf"),
        (("info", "example_eeg", "--sampling-rate", "-3"), "above 0"),
        (("analyze", "example_eeg", "--states", "0"), "from 1"),
        (("analyze", "example_eeg", "--analysis", "magic"), "states, spectrum, rdm, bicluster"),
        (("analyze", "example_eeg", "--analysis", "states"), "sorted spikes"),
        (("analyze", "example_spikes", "--analysis", "spectrum"), "a node eeg"),
    ],
)
def test_bad_usage_and_bad_input_end_with_2_and_a_message(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _run(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_values_of_options_are_json_where_they_are_json():
    assert key_value("sampling-rate=30") == ("sampling_rate", 30)
    assert key_value("sort=true") == ("sort", True)
    assert key_value("name=a=b") == ("name", "a=b")


def test_analyze_states_finds_what_was_put_in(short_spikes, tmp_path, capsys):
    out = tmp_path / "deep" / "report"
    assert _run("analyze", short_spikes, "--states", "2", "--out", out, "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "2 states predict unseen data better" in captured.out
    assert str(out / "report.html") in captured.out
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "results.nc"]
    with xr.open_datatree(out / "results.nc", engine="h5netcdf", decode_timedelta=False) as results:
        states = results["states"].load()
    truth = (np.arange(3000) // 100) % 2
    agree = (states["path"].values == truth).mean()
    assert max(agree, 1 - agree) > 0.97
    assert states["weight"].dims == ("state", "post", "pre")
    assert (states["score"] > states["score_one_state"]).all()


def test_a_second_run_gives_the_same_results(short_spikes, tmp_path):
    for name in ("a", "b"):
        assert _run("analyze", short_spikes, "--states", "2", "--out", tmp_path / name, "--quiet") == 0
    first, second = (
        xr.load_dataset(tmp_path / name / "results.nc", group="states", engine="h5netcdf") for name in ("a", "b")
    )
    assert first.equals(second)


def test_noise_has_no_states(tmp_path, capsys):
    rng = np.random.default_rng(3)
    trains = [np.sort(rng.uniform(0, 60, 400)) for _ in range(5)]
    nd.save(nd.make_recording(spikes=nd.make_spikes(trains, support=[[0.0, 60.0]])), tmp_path / "noise.nc")
    assert _run("analyze", tmp_path / "noise.nc", "--out", tmp_path / "out", "--quiet") == 0
    said = capsys.readouterr().out
    assert "no consistent evidence for 3 states" in said
    assert "Do not interpret" in said


def test_analyze_eeg_finds_the_channel_that_changes(short_eeg, tmp_path, capsys):
    nd.save(short_eeg, tmp_path / "eeg.nc")
    assert _run("analyze", tmp_path / "eeg.nc", "--out", tmp_path / "out", "--quiet", "--analysis", "spectrum") == 0
    assert "go and stop differ most in alpha power at C3: +" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "a/b" in text


def test_eeg_without_events_gets_its_spectrum(short_eeg, tmp_path, capsys):
    nd.save(nd.make_recording(eeg=short_eeg["eeg"].to_dataset()), tmp_path / "eeg.nc")
    assert _run("analyze", tmp_path / "eeg.nc", "--out", tmp_path / "out", "--quiet") == 0
    assert "nothing was averaged" in capsys.readouterr().out


def test_analyze_rdm_of_events(tmp_path, capsys):
    rng = np.random.default_rng(2)
    patterns = rng.standard_normal((3, 8)) * 2e-5
    onset = 1.0 + np.arange(36.0)
    x = 1e-5 * rng.standard_normal((4000, 8))
    for k, at in enumerate(onset):
        x[round(at * 100) : round(at * 100) + 50] += patterns[k % 3]
    rec = nd.make_recording(
        eeg=nd.make_eeg(x, sampling_rate=100.0), events=nd.make_events(onset, 0.0, ["a", "b", "c"] * 12)
    )
    nd.save(rec, tmp_path / "r.nc")
    assert _run("analyze", tmp_path / "r.nc", "--analysis", "rdm", "--out", tmp_path / "out", "--quiet") == 0
    assert "3 of 3 kinds of event are closest to themselves" in capsys.readouterr().out


def test_a_recording_without_a_fitting_analysis_still_gets_a_report(tmp_path, capsys):
    rec = nd.make_recording(
        behaviour=nd.make_behaviour(value=np.zeros((10, 1)), signal=["speed"], time=np.arange(10.0))
    )
    nd.save(rec, tmp_path / "b.nc")
    assert _run("analyze", tmp_path / "b.nc", "--out", tmp_path / "out", "--quiet") == 0
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "No analysis fits" in text
    assert "note: No analysis fits" in capsys.readouterr().err
    assert "speed" in text


def test_too_few_spikes_are_a_remark_unless_states_were_asked_for(tmp_path, capsys):
    nd.save(nd.make_recording(spikes=nd.make_spikes({"a": [0.1, 0.5], "b": [0.2]})), tmp_path / "few.nc")
    assert _run("analyze", tmp_path / "few.nc", "--out", tmp_path / "out", "--quiet") == 0
    assert "note: The analysis 'states' was not possible" in capsys.readouterr().err
    assert _run("analyze", tmp_path / "few.nc", "--analysis", "states", "--out", tmp_path / "two", "--quiet") == 2
    assert not (tmp_path / "two").exists()


def test_several_recordings_get_a_section_each(short_spikes, short_eeg, tmp_path, capsys):
    folder = tmp_path / "study"
    folder.mkdir()
    short_spikes.rename(folder / "day one.nc")
    nd.save(short_eeg, folder / "day two.nc")
    assert _run("analyze", folder, "--states", "2", "--out", tmp_path / "out", "--quiet") == 0
    assert "day one: Held-out score" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.index("day one: Hidden states") < text.index("day two: Power")
    with xr.open_datatree(tmp_path / "out" / "results.nc", engine="h5netcdf", decode_timedelta=False) as results:
        assert set(results.children) == {"day one", "day two"}


def test_the_progress_bar_is_on_stderr(short_eeg, tmp_path, capsys):
    nd.save(short_eeg, tmp_path / "eeg.nc")
    assert _run("analyze", tmp_path / "eeg.nc", "--out", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert "spectrum: epochs" in captured.err
    assert "%|" not in captured.out


def test_the_module_runs_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "neurodata", "info", "nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "PathNotFoundError" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_installed_command_has_a_version():
    done = subprocess.run(
        [Path(sys.executable).with_name("neurodata"), "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("neurodata ")
