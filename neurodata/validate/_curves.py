"""Curves of a cell on fixed grids, and some of its edges, so that a result of any size can be drawn later."""

from __future__ import annotations

import numpy as np
import xarray as xr

# Steps of false-positive rate and of recall at which curves are kept.
GRID = np.linspace(0.0, 1.0, 51)
# True edges kept for a scatter of weights, evenly over their ranks.
N_EDGES = 200

CURVES = {
    "true_positive_rate": GRID.size,
    "precision": GRID.size,
    "edge_weight_true": N_EDGES,
    "edge_weight_claimed": N_EDGES,
}


def curves(claims: xr.Dataset, truth: xr.Dataset) -> dict[str, np.ndarray]:
    """ROC and precision-recall curves, and weights of true edges; NaN where claims or truth lack them.

    Parameters
    ----------
    claims : Dataset
        `edge_score` and `edge_weight` (post, pre) where the model has them.
    truth : Dataset
        `exists` and `weight` (post, pre) over the same ids.
    """
    made = {name: np.full(size, np.nan) for name, size in CURVES.items()}
    if "exists" not in truth:
        return made
    exists = truth["exists"]
    if "edge_score" in claims:
        score = _aligned(claims["edge_score"], exists)
        known = _scored(exists.values) & np.isfinite(score)
        label = exists.values[known] > 0
        if label.any() and not label.all():
            made["true_positive_rate"], made["precision"] = _ranking(label, score[known])
    if "edge_weight" in claims and "weight" in truth:
        claimed = _aligned(claims["edge_weight"], exists)
        true = _aligned(truth["weight"], exists)
        edges = _scored(exists.values) & (exists.values > 0) & np.isfinite(claimed) & np.isfinite(true)
        x, y = true[edges], claimed[edges]
        if x.size:
            rank = np.argsort(x, kind="stable")
            if x.size > N_EDGES:
                rank = rank[np.linspace(0, x.size - 1, N_EDGES).round().astype(int)]
            made["edge_weight_true"][: rank.size] = x[rank]
            made["edge_weight_claimed"][: rank.size] = y[rank]
    return made


def _aligned(values: xr.DataArray, like: xr.DataArray) -> np.ndarray:
    """Values in the order of the ids of `like`; NaN for a pair that is not in them."""
    values = values.transpose("post", "pre").astype(np.float64)
    return values.reindex({dim: like[dim] for dim in ("post", "pre") if dim in like.coords}).values


def _scored(exists: np.ndarray) -> np.ndarray:
    return np.isfinite(exists) & (np.arange(len(exists))[:, None] != np.arange(exists.shape[1]))


def _ranking(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True-positive rate over `GRID` of the false-positive rate, and precision over `GRID` of recall."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), label.size - 1)  # pairs of one score go together
    hits, misses = np.cumsum(label[order])[last], np.cumsum(~label[order])[last]
    recall, false_rate = hits / hits[-1], misses / misses[-1]
    precision = hits / (hits + misses)
    rate = np.interp(GRID, np.append(0.0, false_rate), np.append(0.0, recall))
    # The precision that is reached when this much is recalled; points in between are not reachable by a threshold.
    return rate, precision[np.searchsorted(recall, GRID - 1e-12)]
