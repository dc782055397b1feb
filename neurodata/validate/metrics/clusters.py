"""Claimed groups of units against the true ones."""

from __future__ import annotations

import numpy as np
import xarray as xr
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from neurodata.errors import RecordingError
from neurodata.validate.metrics.base import Metric


def groups(claims: xr.Dataset, truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Claimed and true group of every unit that both name by its id and that truly has a group.

    A unit the model puts nowhere (below 0, NaN) is a group by itself.
    """
    place = {unit: i for i, unit in enumerate(claims["unit"].values.tolist())}
    ids = [unit for unit in truth["unit"].values.tolist() if unit in place]
    if not ids:
        raise RecordingError(
            "claims and truth about the same units",
            f"claims about {list(place)[:5]}, truth about {truth['unit'].values[:5].tolist()}",
            "pass nd.simulate.unit_truth of the recording the model was fitted to",
        )
    claimed = claims["cluster"].values.astype(np.float64)[[place[unit] for unit in ids]]
    true = truth["cluster"].sel(unit=ids).values.astype(np.float64)
    known = true >= 0
    claimed, true = claimed[known], true[known]
    alone = ~(claimed >= 0)
    highest = claimed[~alone].max() if (~alone).any() else 0.0
    claimed[alone] = highest + 1 + np.arange(alone.sum())
    return claimed.astype(np.int64), true.astype(np.int64)


def _agreement(claims: xr.Dataset, truth: xr.Dataset, score) -> float:
    claimed, true = groups(claims, truth)
    return float(score(true, claimed)) if np.unique(true).size > 1 else float("nan")


def ari(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Adjusted Rand index; NaN when the truth has fewer than two groups."""
    return _agreement(claims, truth, adjusted_rand_score)


def ami(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Adjusted mutual information."""
    return _agreement(claims, truth, adjusted_mutual_info_score)


def variation_of_information(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Bits by which one grouping does not tell the other, both ways summed (Meila 2007); 0 for equal groupings.

    References
    ----------
    .. [1] M. Meila, "Comparing clusterings: an information based distance", Journal of Multivariate Analysis 98 (2007),
       doi:10.1016/j.jmva.2006.11.013.
    """
    return _agreement(claims, truth, _variation)


def _variation(true: np.ndarray, claimed: np.ndarray) -> float:
    joint = contingency_matrix(true, claimed) / true.size
    return 2 * _entropy(joint.ravel()) - _entropy(joint.sum(axis=0)) - _entropy(joint.sum(axis=1))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


_CLUSTER = ("cluster",)
METRICS = (
    Metric("cluster_ari", _CLUSTER, ari, _CLUSTER, 0.0, "higher", (-1.0, 1.0)),
    Metric("cluster_ami", _CLUSTER, ami, _CLUSTER, 0.0, "higher", (-1.0, 1.0)),
    Metric("cluster_vi", _CLUSTER, variation_of_information, _CLUSTER, None, "lower", (0.0, np.inf)),
)
