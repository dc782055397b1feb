"""Metrics against their definitions, counted out by loops over all pairs, orders and labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

from neurodata.diagnostics.decisions import benjamini_hochberg
from neurodata.validate import metrics

N = 7


@pytest.fixture(params=range(5))
def case(request) -> tuple[xr.Dataset, xr.Dataset, np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, decisions, truth with unknown pairs; and the same as plain lists over known pairs."""
    rng = np.random.default_rng(request.param)
    exists = (rng.random((N, N)) < 0.3).astype(float)
    exists[rng.random((N, N)) < 0.1] = np.nan
    score = np.round(rng.random((N, N)) + 0.4 * np.nan_to_num(exists), 1)
    called = (score > 0.7).astype(float)
    ids = {"post": np.arange(N), "pre": np.arange(N)}
    claims = xr.Dataset({"edge_score": (("post", "pre"), score), "edge": (("post", "pre"), called)}, coords=ids)
    truth = xr.Dataset({"exists": (("post", "pre"), exists)}, coords=ids)
    known = [(i, j) for i in range(N) for j in range(N) if i != j and not np.isnan(exists[i, j])]
    rows, columns = np.array(known).T
    return claims, truth, score[rows, columns], called[rows, columns] > 0, exists[rows, columns] > 0


def test_auroc_is_the_share_of_pairs_in_the_right_order(case):
    claims, truth, score, _, edge = case
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(score[edge], score[~edge])]
    assert metrics.ALL["auroc"](claims, truth) == pytest.approx(np.mean(wins))


def test_average_precision_is_the_sum_of_precision_over_gains_of_recall(case):
    claims, truth, score, _, edge = case
    total, recall = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        above = score >= threshold
        hits = (above & edge).sum()
        total += hits / above.sum() * (hits / edge.sum() - recall)
        recall = hits / edge.sum()
    assert metrics.ALL["ap"](claims, truth) == pytest.approx(total)


def test_mcc_is_the_correlation_of_decision_and_truth(case):
    claims, truth, _, called, edge = case
    assert metrics.ALL["mcc"](claims, truth) == pytest.approx(np.corrcoef(called, edge)[0, 1])


def test_mcc_at_the_true_count_is_the_mean_over_ways_to_break_ties(case):
    claims, truth, score, _, edge = case
    n = edge.sum()
    threshold = np.sort(score)[-n]
    above, tied = np.flatnonzero(score > threshold), np.flatnonzero(score == threshold)
    found = []
    for chosen in itertools.combinations(tied, n - len(above)):
        called = np.zeros(edge.size)
        called[[*above, *chosen]] = 1
        found.append(np.corrcoef(called, edge)[0, 1])
    assert metrics.ALL["mcc_at_count"](claims, truth) == pytest.approx(np.mean(found))


@pytest.mark.parametrize("seed", range(5))
def test_state_accuracy_tries_every_naming(seed):
    rng = np.random.default_rng(seed)
    true, claimed = rng.integers(0, 3, 40), rng.integers(0, 4, 40)
    time = np.arange(40.0)
    said, known = (xr.Dataset({"state": ("time", s)}, coords={"time": time}) for s in (claimed, true))
    best = max(np.mean(np.array(names)[claimed] == true) for names in itertools.permutations([0, 1, 2, 99]))
    assert metrics.ALL["state_accuracy"](said, known) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(3))
def test_rand_index_counts_pairs_of_units(seed):
    rng = np.random.default_rng(seed)
    true, claimed = rng.integers(0, 3, 15), rng.integers(0, 4, 15)
    together = [(true[i] == true[j], claimed[i] == claimed[j]) for i, j in itertools.combinations(range(15), 2)]
    both = sum(a and b for a, b in together)
    same_true, same_claimed, n = sum(a for a, _ in together), sum(b for _, b in together), len(together)
    expected = same_true * same_claimed / n
    ari = (both - expected) / ((same_true + same_claimed) / 2 - expected)
    said, known = (xr.Dataset({"cluster": ("unit", s)}, coords={"unit": np.arange(15)}) for s in (claimed, true))
    assert metrics.ALL["cluster_ari"](said, known) == pytest.approx(ari)
    # H(true | claimed) + H(claimed | true), in bits
    lost = 0.0
    for a, b in itertools.product(range(3), range(4)):
        p, q, r = np.mean((true == a) & (claimed == b)), np.mean(true == a), np.mean(claimed == b)
        lost -= 0.0 if p == 0 else p * (np.log2(p / q) + np.log2(p / r))
    assert metrics.ALL["cluster_vi"](said, known) == pytest.approx(lost)


def test_tau_a_counts_concordant_less_discordant_pairs():
    rng = np.random.default_rng(8)
    a, b = (np.round(rng.random((6, 6)), 1) for _ in range(2))
    a, b = a + a.T, b + b.T
    upper = list(itertools.combinations(range(6), 2))
    terms = [np.sign(a[p] - a[q]) * np.sign(b[p] - b[q]) for p, q in itertools.combinations(upper, 2)]
    said, known = (
        xr.Dataset({"rdm": (("condition", "condition_2"), d)}, coords={"condition": range(6), "condition_2": range(6)})
        for d in (a, b)
    )
    assert metrics.ALL["rdm_tau_a"](said, known) == pytest.approx(np.sum(terms) / len(terms))


def test_latent_r2_is_that_of_scikit_learn_on_contiguous_folds():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(9)
    x = rng.standard_normal((103, 3))
    y = x @ rng.standard_normal((3, 2)) + rng.standard_normal((103, 2))
    error = spread = 0.0
    edge = [0, 20, 41, 61, 82, 103]
    folds = [np.arange(a, b) for a, b in itertools.pairwise(edge)]
    for test in folds:
        train = np.setdiff1d(np.arange(103), test)
        predicted = LinearRegression().fit(x[train], y[train]).predict(x[test])
        error = error + ((y[test] - predicted) ** 2).sum(axis=0)
        spread = spread + ((y[test] - y[test].mean(axis=0)) ** 2).sum(axis=0)
    said, known = (xr.Dataset({"latent": (("time", "latent"), z)}, coords={"time": np.arange(103.0)}) for z in (x, y))
    assert metrics.ALL["latent_r2"](said, known) == pytest.approx(np.mean(1 - error / spread))


def test_canonical_correlations_are_those_of_the_eigenvalue_problem():
    rng = np.random.default_rng(10)
    x = rng.standard_normal((200, 3))
    y = np.column_stack([x[:, 0] + rng.standard_normal(200), rng.standard_normal(200)])
    axes_x, axes_y = metrics.latents._canonical_axes(x, y)
    a, b = (x - x.mean(axis=0)) @ axes_x, (y - y.mean(axis=0)) @ axes_y
    found = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(2)]
    c = np.cov(np.column_stack([x, y]).T)
    cxx, cxy, cyy = c[:3, :3], c[:3, 3:], c[3:, 3:]
    product = np.linalg.solve(cyy, cxy.T) @ np.linalg.solve(cxx, cxy)
    assert found == pytest.approx(np.sqrt(np.sort(np.linalg.eigvals(product).real)[::-1]))


def test_benjamini_hochberg_is_that_of_scipy():
    from scipy.stats import false_discovery_control

    rng = np.random.default_rng(11)
    for _ in range(50):
        p = rng.random(30) ** rng.uniform(1, 5)
        np.testing.assert_array_equal(benjamini_hochberg(p, 0.1), false_discovery_control(p) <= 0.1)
