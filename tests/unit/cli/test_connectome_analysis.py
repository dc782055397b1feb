"""The analysis of the connectome: that it finds blocks active in different stages, and says so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import adjusted_rand_score

import neurodata as nd
from neurodata.cli import trust
from neurodata.cli.analyses import _traces, connectome
from neurodata.cli.analyses.base import Settings
from neurodata.cli.parser import build_parser
from neurodata.errors import RecordingError

RATE, N_TIMES = 5.0, 1500
BLOCK = np.repeat([0, 1], 8)


def recording():
    """Two blocks of ROIs: one follows a drive during odour, the other one during rest."""
    rng = np.random.default_rng(0)
    drive = gaussian_filter1d(rng.standard_normal((N_TIMES, 2)), 2.0, axis=0)
    noise = gaussian_filter1d(rng.standard_normal((N_TIMES, 16)), 2.0, axis=0)
    odour = np.arange(N_TIMES) // 375 % 2 == 0
    drive[odour, 1] = drive[~odour, 0] = 0.0
    calcium = nd.make_calcium(drive[:, BLOCK] + 0.5 * noise, sampling_rate=RATE)
    start = 75.0 * np.arange(4)
    trials = nd.make_trials({"start": start, "stop": start + 75.0, "condition": ["odour", "rest"] * 2})
    return nd.make_recording(calcium=calcium, trials=trials)


def test_blocks_and_when_they_are_active_are_found_and_said(monkeypatch):
    monkeypatch.setattr(connectome, "MOST_MOTIFS", 3)
    steps = []
    result = connectome.run(recording(), Settings(), steps.append)
    label = result.data["overall_community"].values
    assert adjusted_rand_score(BLOCK, label) == 1.0
    assert any("follow odour" in line for line in result.verdict)
    assert any("scaled before" in line for line in result.caveats)
    assert len(steps) == 3
    assert {"When motifs are active", "Atlas", "Motif 0: pairs", "Motif 0: graph"} <= {p.title for p in result.pictures}
    assert sum(row[2] for row in result.tables[0].rows if row[0] == "0") <= 16
    assert {"member", "graph", "atlas", "boundary"} <= set(result.data.data_vars)


def test_what_is_left_out_is_said(monkeypatch):
    monkeypatch.setattr(_traces, "MOST_UNITS", 10)
    monkeypatch.setattr(_traces, "MOST_TIMES", 500)
    rec = recording()
    rec["calcium"]["fluorescence"][:, 3] = 1.0
    traces, remarks = connectome.traces_of(rec, Settings())
    assert dict(traces.sizes) == {"time": 500, "roi": 10}
    assert 3 not in traces["roi"].values
    assert [any(word in line for line in remarks) for word in ("never change", "least noisy", "3 samples")] == [
        True
    ] * 3
    assert connectome.traces_of(rec, Settings(limited=False))[0].sizes["roi"] == 15


def test_too_few_times_are_refused():
    times = np.sort(np.random.default_rng(0).random((4, 90)) * 20.0, axis=1)
    rec = nd.make_recording(spikes=nd.make_spikes(list(times), support=[[0.0, 20.0]]))
    with pytest.raises(RecordingError, match="narrower bins"):
        connectome.traces_of(rec, Settings())
    assert connectome.traces_of(rec, Settings(bin_width=0.25))[0].dims == ("time", "unit")


def test_trust_asks_the_same_model_of_the_same_traces():
    arguments = build_parser().parse_args(["trust", "nowhere", "--analysis", "connectome", "--rng", "3"])
    model, prepare = trust.SUBJECTS[arguments.analysis](arguments)
    assert model.get_params() == connectome.new_model(Settings(rng=3)).get_params()
    rec = nd.simulate.run(nd.simulate.zoo.null(n=6, rng=0), 60.0, rng=0)
    assert prepare(rec).dims == ("time", "unit")
    assert prepare(rec).sizes["time"] == 60
