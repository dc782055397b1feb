"""Twins of real recordings: a quick search against the files by numpy, and a recording that is too short."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.cli import main
from neurodata.containers import unit_slices
from neurodata.errors import RecordingError

ALF = "spikes/ibl_alf_derived"
PHY = "spikes/phy_template"
CALCIUM = "calcium/nwb_ophys_derived/suite2p_60roi.nwb"
EEG = "eeg/edf_mne/test.edf"
# So much of the recording is matched.
SECONDS = 45.0


@pytest.fixture(scope="module")
def quick():
    """Options of a search that takes seconds: 20 units, and 1 round in place of 6."""
    return {"max_units": 20, "n_rounds": 1, "n_checks": 2, "rng": 0}


def test_quick_search(real_load, quick):
    node = real_load(ALF)["spikes"].to_dataset()
    start = float(node["spike_time"].min())
    whole = [node["spike_time"].values[part] for part in unit_slices(node)]
    whole = [train[train < start + SECONDS] for train in whole]
    part = nd.make_spikes(whole, unit=node["unit"].values, support=[[start, start + SECONDS]])
    found = nd.validate.match(nd.make_recording(spikes=part), **quick)
    rows = np.flatnonzero(np.isin(node["unit"].values.astype(str), found.table.attrs["unit"]))
    assert rows.size == 20
    assert found.table.attrs["n_units_recorded"] == node.sizes["unit"]
    trains = [whole[row] for row in rows]
    count = np.array([train.size for train in trains])

    # What the table says of the recording, by numpy.
    said = found.table["recording"]
    assert float(said.sel(statistic="rate_mean")) == pytest.approx(count.mean() / SECONDS, rel=1e-6)
    cv = [np.diff(train).std() / np.diff(train).mean() for train in trains if train.size > 20]
    assert float(said.sel(statistic="isi_cv")) == pytest.approx(np.median(cv), rel=1e-6)

    # Unit k of a simulation that the search has not seen stands for the k-th unit of the recording.
    twin = found.simulate(rng=99)
    there = twin["spikes"]["spike_count"].values
    assert np.corrcoef(np.log(count + 1), np.log(there + 1))[0, 1] > 0.9
    assert there.sum() == pytest.approx(count.sum(), rel=0.25)

    # One round does not reach the bar of a whole search, but most statistics are near, and the others are named.
    assert found.score >= 0.5
    assert len(found.missed) == round((1 - found.score) * found.compared.sum())
    assert all(name in repr(found) for name in found.missed)


def test_too_short(real_load):
    with pytest.raises(RecordingError, match="long enough to match") as refused:
        nd.validate.match(real_load(PHY, sampling_rate=25_000))
    assert "314 spikes" in str(refused.value)


@pytest.mark.parametrize("analysis", ["states", "connections", "bicluster"])
@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        (PHY, ["--sampling-rate", "25000"], ["long enough to match", "314 spikes", "record for longer"]),
        (CALCIUM, [], ["with spikes", "nodes ['calcium']", "nd.validate.grid"]),
        (EEG, [], ["with spikes", "'eeg'"]),
    ],
)
def test_trust_refuses_what_has_no_twin(real_path, tmp_path, capsys, analysis, path, options, said):
    out = tmp_path / "trust"
    code = main(["trust", str(real_path(path)), *options, "--analysis", analysis, "--out", str(out), "--quiet"])
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert not out.exists()
    assert "RecordingError" in printed.err
    for words in said:
        assert words in printed.err
