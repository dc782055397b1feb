"""Connections: what is lined up with what, what is left out, and the scores of answers that are known by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.validate import metrics
from neurodata.validate.metrics.connectivity import pairs

N = 6


@pytest.fixture
def truth() -> xr.Dataset:
    """Six units, four excitatory; weights in mV; unit 4 is a merge whose connection to 5 is unknown."""
    weight = np.zeros((N, N))
    weight[1, 0], weight[2, 0], weight[3, 1], weight[0, 5], weight[2, 5] = 0.2, 0.4, 0.3, -1.0, -0.8
    exists = (weight != 0).astype(float)
    exists[4, 5] = exists[5, 4] = np.nan
    ids = np.array(list("abcdef"))
    return xr.Dataset(
        {
            "weight": (("post", "pre"), weight),
            "exists": (("post", "pre"), exists),
            "delay": (("post", "pre"), np.where(weight != 0, 0.002, np.nan)),
            "sign": ("unit", [1, 1, 1, 1, 0, -1]),
        },
        coords={"post": ids, "pre": ids, "unit": ids},
    )


def claim(truth: xr.Dataset, **values) -> xr.Dataset:
    ids = truth["post"].values
    return xr.Dataset({k: (("post", "pre"), np.array(v)) for k, v in values.items()}, coords={"post": ids, "pre": ids})


def score(name: str, claims: xr.Dataset, truth: xr.Dataset) -> float:
    return metrics.ALL[name](claims, truth)


def test_the_right_answer_gets_the_best_of_every_score(truth):
    w, e = truth["weight"].values, truth["exists"].values
    said = claim(
        truth,
        edge_score=np.abs(w),
        edge_sign=np.sign(w),
        edge_weight=3 * w,
        edge=np.nan_to_num(e),
        edge_probability=e,
        edge_delay=truth["delay"].values + 0.001,
    )
    best = {"ap": 1, "ap_excitatory": 1, "ap_inhibitory": 1, "auroc": 1, "auroc_excitatory": 1, "auroc_inhibitory": 1}
    best |= {"mcc": 1, "mcc_at_count": 1, "sign_accuracy": 1, "weight_pearson": 1, "weight_spearman": 1}
    best |= {"false_discovery_rate": 0, "false_positive_rate": 0, "edge_brier": 0, "edge_calibration": 0}
    for name, value in best.items():
        assert score(name, said, truth) == pytest.approx(value), name
    assert score("delay_error", said, truth) == pytest.approx(0.001)


def test_no_knowledge_gets_the_chance_level(truth):
    said = claim(truth, edge_score=np.zeros((N, N)), edge=np.zeros((N, N)), edge_probability=np.full((N, N), 5 / 28))
    for name in ("ap", "ap_excitatory", "ap_inhibitory", "auroc", "mcc", "mcc_at_count", "edge_brier"):
        assert score(name, said, truth) == pytest.approx(metrics.ALL[name].chance_level(truth)), name
    # 30 pairs, two of them unknown, five edges; of four excitatory units 20 pairs and 3 edges; of f 4 known and 2 edges
    assert metrics.ALL["ap"].chance_level(truth) == pytest.approx(5 / 28)
    assert metrics.ALL["ap_excitatory"].chance_level(truth) == pytest.approx(3 / 20)
    assert metrics.ALL["ap_inhibitory"].chance_level(truth) == pytest.approx(2 / 4)
    assert np.isnan(score("false_discovery_rate", said, truth))


def test_units_are_matched_by_id_whatever_their_order_and_absent_ones_are_left_out(truth):
    rng = np.random.default_rng(1)
    said = claim(truth, edge_score=rng.random((N, N)), edge=rng.integers(0, 2, (N, N)))
    shuffled = said.isel(post=[3, 1, 0, 5, 4, 2], pre=[5, 4, 0, 1, 2, 3])
    for name in ("ap", "auroc", "mcc", "mcc_at_count"):
        assert score(name, shuffled, truth) == score(name, said, truth)
    few = said.sel(post=["f", "a", "c"], pre=["a", "f", "c"])
    known = pairs(few, truth)
    assert known.exists.sum() == 3  # a->c, f->a, f->c
    assert known.exists.size == 6
    expected = [
        said["edge_score"].sel(post=p, pre=q).item() for p in "acf" for q in "acf" if p != q
    ]  # the truth's order
    assert known.value["edge_score"].tolist() == expected


def test_unknown_pairs_and_the_diagonal_have_no_say(truth):
    said = claim(truth, edge_score=np.abs(truth["weight"].values), edge=np.nan_to_num(truth["exists"].values))
    loud = said.copy(deep=True)
    for where in ([4, 5], [5, 4], *([i, i] for i in range(N))):
        loud["edge_score"][tuple(where)] = 100.0
        loud["edge"][tuple(where)] = 1
    for name in ("ap", "auroc", "mcc", "mcc_at_count", "false_positive_rate"):
        assert score(name, loud, truth) == score(name, said, truth)


def test_saying_nothing_about_an_edge_is_not_rewarded(truth):
    said = np.abs(truth["weight"].values)
    silent = said.copy()
    silent[2, 5] = np.nan
    assert score("ap", claim(truth, edge_score=silent), truth) < 1.0
    sign = np.sign(truth["weight"].values)
    sign[2, 5], sign[1, 0] = np.nan, 0
    assert score("sign_accuracy", claim(truth, edge_sign=sign), truth) == pytest.approx(3 / 5)


def test_one_wrong_sign_and_one_false_edge(truth):
    sign = np.sign(truth["weight"].values)
    sign[1, 0] = -1
    called = np.nan_to_num(truth["exists"].values)
    called[5, 0] = 1
    said = claim(truth, edge_sign=sign, edge=called)
    assert score("sign_accuracy", said, truth) == pytest.approx(4 / 5)
    assert score("false_discovery_rate", said, truth) == pytest.approx(1 / 6)
    assert score("false_positive_rate", said, truth) == pytest.approx(1 / 23)


def test_what_is_lacking_gives_nan(truth):
    said = claim(truth, edge_score=np.ones((N, N)))
    for name in ("mcc", "sign_accuracy", "weight_pearson", "edge_brier", "state_ari", "cluster_ari", "latent_r2"):
        assert np.isnan(score(name, said, truth)), name
        assert np.isnan(metrics.ALL[name].function(said, truth)), name
    none = truth.assign(exists=truth["exists"] * 0)
    for name in ("ap", "auroc", "mcc_at_count"):
        assert np.isnan(score(name, said, none)), name
    assert np.isnan(score("ap", said, xr.Dataset()))


def test_truth_without_signs_takes_them_from_the_weights(truth):
    said = claim(truth, edge_score=np.random.default_rng(0).random((N, N)))
    bare = truth.drop_vars("sign")
    # Units 2, 3, 4 have no weights and thus no sign: pairs of 0 and 1 remain.
    known = pairs(said, bare, 1)
    assert known.exists.size == 10
    assert known.exists.sum() == 3


def test_claims_about_other_units_are_refused(truth):
    said = claim(truth, edge_score=np.ones((N, N))).assign_coords(post=list("uvwxyz"), pre=list("uvwxyz"))
    with pytest.raises(RecordingError, match="same units"):
        score("ap", said, truth)


def test_false_edges_by_true_correlation(truth):
    rng = np.random.default_rng(2)
    correlation = rng.uniform(-1, 1, (N, N))
    correlation[0, 1] = np.nan
    known = truth.assign(correlation=(("post", "pre"), correlation))
    off = ~np.eye(N, dtype=bool) & (truth["exists"].values == 0) & np.isfinite(correlation)
    threshold = np.sort(np.abs(correlation[off]))[-6]
    said = claim(truth, edge=(np.abs(np.nan_to_num(correlation)) >= threshold))
    table = metrics.probability.false_positives_by_correlation(said, known, n_bins=11)
    assert table["n_pairs"].sum() == off.sum() == 22
    assert (table["correlation"].diff("bin") > 0).all()
    np.testing.assert_array_equal(table["rate"], [0] * 8 + [1] * 3)
    assert score("false_positives_correlated", said, known) == 1.0
    nothing = claim(truth, edge=np.zeros((N, N)))
    assert score("false_positives_correlated", nothing, known) == 0.0


def test_reliability_of_a_calibrated_and_an_overconfident_claim(truth):
    p = np.where(truth["exists"].values == 1, 0.95, 0.95)
    table = metrics.probability.reliability(claim(truth, edge_probability=p), truth, n_bins=10)
    assert table["n_pairs"].values.tolist() == [0] * 9 + [28]
    assert table["found"].values[-1] == pytest.approx(5 / 28)
    assert score("edge_calibration", claim(truth, edge_probability=p), truth) == pytest.approx(0.95 - 5 / 28)
    even = np.full((N, N), 5 / 28)
    assert score("edge_calibration", claim(truth, edge_probability=even), truth) == pytest.approx(0.0)


def test_metrics_can_be_sent_to_another_process(truth):
    said = claim(truth, edge_score=np.random.default_rng(0).random((N, N)))
    for name, metric in metrics.ALL.items():
        again = pickle.loads(pickle.dumps(metric))
        assert again.name == name
        np.testing.assert_equal(again(said, truth), metric(said, truth))
