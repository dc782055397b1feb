"""Curves and weights that are kept of a cell, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import precision_recall_curve, roc_curve

from neurodata.validate._curves import GRID, N_EDGES, curves


def pair(n: int = 12, seed: int = 0, decimals: int = 1) -> tuple[xr.Dataset, xr.Dataset]:
    """Claims with ties, and truth with unknown pairs; the ids of the claims are in another order."""
    rng = np.random.default_rng(seed)
    unit = np.arange(100, 100 + n)
    exists = (rng.random((n, n)) < 0.3).astype(float)
    exists[0, 1] = np.nan
    score = (exists + rng.normal(size=(n, n))).round(decimals)
    weight = np.where(exists > 0, rng.normal(size=(n, n)), 0.0)
    coords = {"post": unit, "pre": unit}
    truth = xr.Dataset({"exists": (("post", "pre"), exists), "weight": (("post", "pre"), weight)}, coords)
    claims = xr.Dataset(
        {"edge_score": (("post", "pre"), np.nan_to_num(score)), "edge_weight": -truth["weight"]}, coords
    )
    return claims.isel(post=slice(None, None, -1)), truth


def scored(claims: xr.Dataset, truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    exists = truth["exists"].values
    kept = ~np.eye(len(exists), dtype=bool) & np.isfinite(exists)
    return exists[kept] > 0, claims["edge_score"].sel(post=truth.post).values[kept]


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_curves_are_those_of_scikit_learn(decimals):
    claims, truth = pair(decimals=decimals)
    made = curves(claims, truth)
    label, score = scored(claims, truth)
    false_rate, rate, _ = roc_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(made["true_positive_rate"], np.interp(GRID, false_rate, rate))
    precision, recall, _ = precision_recall_curve(label, score)
    for at, value in zip(GRID, made["precision"], strict=True):
        # The longest list of fewest pairs that recalls this much; recall falls along scikit-learn's arrays.
        reached = np.flatnonzero(recall[:-1] >= at - 1e-12)
        best = reached[np.isclose(recall[reached], recall[reached].min())]
        assert value == pytest.approx(precision[best].max())


def test_weights_are_those_of_true_edges_in_order():
    claims, truth = pair()
    made = curves(claims, truth)
    exists, weight = truth["exists"].values, truth["weight"].values
    edges = (exists > 0) & ~np.eye(len(exists), dtype=bool)
    n = edges.sum()
    np.testing.assert_allclose(made["edge_weight_true"][:n], np.sort(weight[edges]))
    np.testing.assert_allclose(made["edge_weight_claimed"][:n], -np.sort(weight[edges]))
    assert np.isnan(made["edge_weight_true"][n:]).all()


def test_of_many_edges_the_whole_range_is_kept():
    claims, truth = pair(n=40)
    made = curves(claims, truth)
    edges = (truth["exists"].values > 0) & ~np.eye(40, dtype=bool)
    assert edges.sum() > N_EDGES
    assert np.isfinite(made["edge_weight_true"]).all()
    ends = np.sort(truth["weight"].values[edges])[[0, -1]]
    np.testing.assert_allclose(made["edge_weight_true"][[0, -1]], ends)


@pytest.mark.parametrize("what", ["no truth", "no claims", "no edges", "all edges"])
def test_where_there_is_nothing_to_rank_curves_are_missing(what):
    claims, truth = pair()
    if what == "no truth":
        truth = truth.drop_vars("exists")
    elif what == "no claims":
        claims = xr.Dataset()
    else:
        truth["exists"][:] = float(what == "all edges")
    made = curves(claims, truth)
    assert np.isnan(made["true_positive_rate"]).all()
    assert np.isnan(made["precision"]).all()
