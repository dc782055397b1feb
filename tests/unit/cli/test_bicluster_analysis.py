"""The analysis of clusters and states: that it finds two groups of units, says so, and what it left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import neurodata as nd
from neurodata.cli import trust
from neurodata.cli.analyses import bicluster
from neurodata.cli.analyses.base import Settings
from neurodata.cli.parser import build_parser
from neurodata.errors import RecordingError


def recording(n_bins: int):
    """Two groups of units, each with three slow courses: fewer would fit into one cluster with two factors."""
    rng = np.random.default_rng(0)
    course = np.zeros((2, 3, n_bins))
    for t in range(1, n_bins):
        course[:, :, t] = 0.9 * course[:, :, t - 1] + 0.35 * rng.standard_normal((2, 3))
    label = np.repeat([0, 1], 8)
    loading = np.column_stack([np.ones(16), 0.8 * rng.standard_normal((16, 2))])
    counts = rng.poisson(np.exp(1.2 + np.einsum("ik,ikt->it", loading, course[label])))
    spikes = [np.sort(np.concatenate([t * 0.5 + 0.5 * rng.random(n) for t, n in enumerate(row)])) for row in counts]
    node = nd.containers.make_spikes(spikes, support=[[0.0, 0.5 * n_bins]])
    return nd.containers.make_recording(spikes=node), label


def test_two_groups_of_units_are_found_and_said(monkeypatch):
    monkeypatch.setattr(bicluster, "N_WARMUP", 100)
    monkeypatch.setattr(bicluster, "N_DRAWS", 20)
    monkeypatch.setattr(bicluster, "MOST_BINS", 120)
    rec, label = recording(130)
    steps = []
    result = bicluster.run(rec, Settings(), steps.append)
    assert adjusted_rand_score(label, result.data["cluster"].values) == 1.0
    assert result.verdict[0].startswith("Most probable: 2 clusters of units")
    assert float(result.data["score"]) > float(result.data["score_one_cluster_one_state"])
    assert any("first 60 s" in remark for remark in result.caveats)
    assert result.settings["bins"] == 120
    assert len(steps) == 3
    assert [row[1] for row in result.tables[0].rows] == [8, 8]
    assert len(result.pictures) == 7
    shown = next(one for one in result.pictures if one.title == "Trajectories").figure
    assert [ax.get_ylabel() for ax in shown.axes] == ["cluster 0", "cluster 1", "state"]


def test_too_few_bins_are_refused():
    rec, _ = recording(130)
    with pytest.raises(RecordingError, match="narrower bins"):
        bicluster.run(rec, Settings(bin_width=10.0), lambda _: None)


def test_trust_asks_the_same_model_of_the_same_counts(monkeypatch):
    monkeypatch.setattr(bicluster, "N_WARMUP", 20)
    monkeypatch.setattr(bicluster, "N_DRAWS", 8)
    monkeypatch.setattr(bicluster, "MOST_BINS", 60)
    monkeypatch.setattr(bicluster, "MOST_UNITS", 8)
    arguments = build_parser().parse_args(["trust", "nowhere", "--analysis", "bicluster", "--rng", "3"])
    model, prepare = trust.SUBJECTS[arguments.analysis](arguments)
    assert model.get_params() == bicluster.new_model(Settings(rng=3)).get_params()
    circuits = [nd.simulate.zoo.null(n=10, rng=k) for k in range(2)]
    rec = nd.simulate.run(circuits[0], 40.0, rng=0)
    assert dict(prepare(rec).sizes) == {"time": 60, "unit": 8}
    assert prepare(rec).attrs["bin_width"] == 0.5
    found = nd.validate.trust(model, rec, prepare, circuits=circuits, rng=0, quiet=True)
    assert found["error"].values.tolist() == ["", ""]
    assert {"cluster", "state"} <= set(found.attrs["claims"].split(", "))
