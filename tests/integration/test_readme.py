"""The README's analysis runs as it is printed, and its commands are those of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import pytest

README = Path(__file__).parents[2] / "README.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_first_analysis_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names: dict[str, object] = {}
    exec(compile(code_blocks()[0], "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "units" in printed
    assert float(printed.split()[-1]) > 0
    assert (tmp_path / "recording.nc").is_file()


def test_the_mapping_opens_the_worm(real_path, tmp_path, monkeypatch):
    worm = real_path("calcium/celegans_neuropal/2022-07-26-31-data.h5")
    names: dict[str, object] = {}
    code = "rec = " + code_blocks()[1].replace('"worm.h5"', repr(str(worm)))
    exec(compile("import neurodata as nd\n" + code, "README.md", "exec"), names)
    assert names["rec"]["calcium"].sizes["time"] == 800


def test_the_circuit_is_simulated_and_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names: dict[str, object] = {}
    exec(compile("import neurodata as nd\n" + code_blocks()[2], "README.md", "exec"), names)
    assert names["seen"]["truth"].sizes["unit"] == names["seen"]["spikes"].sizes["unit"]
    assert "states" in names["table"]["model"].values
    assert (tmp_path / "trust.html").stat().st_size > 10_000


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets_of_make(target):
    assert f"make {target}" in README.read_text()
    assert re.search(rf"^{target}:", (README.parent / "Makefile").read_text(), flags=re.MULTILINE)
