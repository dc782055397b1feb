"""Trajectories of all draws in one frame, after sampling: labels, levels, scales, rotations and signs.

The log mean of unit i of a cluster, ``d_i + (1, c_i) . x``, stays as it is when ``x`` becomes ``G x`` and ``(1, c_i)``
becomes ``(1, c_i) G^-1``, for any invertible G with first column (1, 0, ..), and when levels of x move into d. So a
draw is brought into a frame in steps that change no log mean:

1. The clusters of the draw are matched with those of the point partition.
2. Means over time go into the baselines, and means of loadings over units into the common course. The common course is
   then the mean over the units of their log means, less its mean over time: no frame is needed to say what it is.
3. Factors are made uncorrelated and of variance 1 over time; loadings carry the scale.
4. What is left is a rotation with signs. That nearest to the factors of a reference is taken (orthogonal Procrustes,
   Schönemann 1966, doi:10.1007/BF02289451); the reference is at first the draw whose log means are nearest to their
   mean over draws, then the mean of the aligned draws.

A least-squares map onto the reference would be simpler, but it shrinks a draw that differs from the reference towards
0, and bands would be too narrow; a rotation of whitened factors keeps what a draw says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from neurodata.models.bicluster.layout import Layout

# A cluster of a draw is that of the point partition when they share so much of their units.
LEAST_OVERLAP = 0.5
# Rounds in which the mean of the aligned draws is the reference: the second changes little.
_ROUNDS = 3
STATISTICS = ("mean", "sd", "low", "high")


class Frame(NamedTuple):
    """One cluster in one draw, or in all (draw first).

    Attributes
    ----------
    baseline : array (unit,)
        Mean over time of each unit's log mean count.
    loading : array (unit, factor)
        Mean over units 0.
    common : array (bin,)
        Mean over time 0.
    factor : array (bin, factor)
        Mean over time 0, variance 1, uncorrelated.
    """

    baseline: np.ndarray
    loading: np.ndarray
    common: np.ndarray
    factor: np.ndarray


def match_clusters(cluster: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The cluster of a draw that each cluster of the point partition is, -1 where there is none.

    The sum of overlaps (units of both over units of either) is the largest possible; those below one half are none.

    Examples
    --------
    >>> match_clusters(np.array([4, 4, 4, 1, 2, 3, 7]), np.array([0, 0, 0, 0, 1, 1, 1])).tolist()
    [4, -1]
    """
    labels, at = np.unique(cluster, return_inverse=True)
    shared = np.zeros((int(point.max()) + 1, len(labels)))
    np.add.at(shared, (point, at), 1.0)
    overlap = shared / (shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared)
    rows, columns = linear_sum_assignment(-overlap)
    out = np.full(len(shared), -1, dtype=np.int64)
    good = overlap[rows, columns] >= LEAST_OVERLAP
    out[rows[good]] = labels[columns[good]]
    return out


def to_frame(baseline: np.ndarray, loading: np.ndarray, x: np.ndarray, n_factors: int) -> Frame:
    """Steps 2 and 3 for one draw; factors in the order of how much of the log means they make up.

    Parameters
    ----------
    baseline : array (unit,)
    loading : array (unit, latent)
    x : array (bin, 1 + latent)
    n_factors : int
        Factors to keep: no more than units less 1 can be told from the common course.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [0.0, 3.0]])
    >>> frame = to_frame(np.zeros(2), np.array([[1.0], [3.0]]), x, 1)
    >>> frame.baseline.tolist(), frame.common.tolist()
    ([2.0, 6.0], [-2.0, 2.0])
    """
    x = x.astype(np.float64)
    level = x.mean(axis=0)
    x = x - level
    middle = loading.mean(axis=0)
    whole = np.asarray(baseline, dtype=np.float64) + level[0] + loading @ level[1:]
    common = x[:, 0] + x[:, 1:] @ middle
    if n_factors == 0:
        return Frame(whole, np.zeros((len(whole), 0)), common, np.zeros((len(x), 0)))
    size, axes = np.linalg.eigh(x[:, 1:].T @ x[:, 1:] / len(x))
    size = np.sqrt(np.maximum(size, 1e-12 * max(float(size[-1]), 1e-300)))
    weight = (loading - middle) @ (axes * size)
    turn = np.linalg.svd(weight, full_matrices=True)[2][:n_factors].T
    return Frame(whole, weight @ turn, common, x[:, 1:] @ (axes / size) @ turn)


def rotation(factor: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The rotation, with or without reflections, after which `factor` (bin, factor) is nearest to `reference`.

    Examples
    --------
    >>> reference = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> rotation(-reference[:, ::-1], reference).round(6) + 0.0
    array([[ 0., -1.],
           [-1.,  0.]])
    """
    left, _, right = np.linalg.svd(factor.T @ reference)
    return np.asarray(left @ right)


def align(baseline: np.ndarray, loading: np.ndarray, x: np.ndarray, member: np.ndarray) -> Frame:
    """All draws of one cluster in one frame, whose factors are in the order of what they make up of the log means.

    Parameters
    ----------
    baseline : array (draw, unit)
    loading : array (draw, unit, latent)
    x : array (draw, bin, 1 + latent)
    member : array (draw, unit) of bool
        Units that the draw has in the cluster; the others' baselines and loadings are of another frame.

    Returns
    -------
    Frame
        With a first axis draw; float32; NaN for units that are not members.
    """
    n_draws, n_units, n_latents = loading.shape
    n_bins = x.shape[1]
    n_factors = min(n_latents, n_units - 1)
    out = Frame(
        np.full((n_draws, n_units), np.nan, dtype=np.float32),
        np.full((n_draws, n_units, n_factors), np.nan, dtype=np.float32),
        np.empty((n_draws, n_bins), dtype=np.float32),
        np.empty((n_draws, n_bins, n_factors), dtype=np.float32),
    )
    for d in range(n_draws):
        own = member[d]
        one = to_frame(baseline[d, own], loading[d, own], x[d], n_factors)
        out.baseline[d, own], out.loading[d, own] = one.baseline, one.loading
        out.common[d], out.factor[d] = one.common, one.factor
    if n_factors == 0:
        return out
    reference = out.factor[_nearest_to_mean(out, member)].astype(np.float64)
    for _ in range(_ROUNDS):
        for d in range(n_draws):
            _turn(out, d, rotation(out.factor[d].astype(np.float64), reference))
        reference = out.factor.mean(axis=0, dtype=np.float64)
    # The frame of all is free to turn too: main axes of the mean loadings, the largest of each positive.
    seen = member.sum(axis=0)
    total = np.where(member[..., None], out.loading, 0.0).sum(axis=0, dtype=np.float64)
    mean = total[seen > 0] / seen[seen > 0, None]
    axes = np.linalg.svd(mean, full_matrices=True)[2].T
    turned = mean @ axes
    largest = turned[np.abs(turned).argmax(axis=0), np.arange(n_factors)]
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    for d in range(n_draws):
        _turn(out, d, axes)
    return out


def _turn(frames: Frame, draw: int, turn: np.ndarray) -> None:
    frames.factor[draw] = frames.factor[draw] @ turn
    frames.loading[draw] = frames.loading[draw] @ turn


def _nearest_to_mean(frames: Frame, member: np.ndarray) -> int:
    """Of the draws with most units, the one whose log means are nearest to the mean of those draws."""
    few = np.flatnonzero(member.sum(axis=1) == member.sum(axis=1).max())
    few = few[(member[few] == member[few[0]]).all(axis=1)]
    own = member[few[0]]

    def log_means(d: int) -> np.ndarray:
        varying = frames.common[d] + frames.loading[d, own] @ frames.factor[d].T
        return np.asarray(frames.baseline[d, own, None] + varying, dtype=np.float64)

    mean = np.zeros((int(own.sum()), frames.common.shape[1]))
    for d in few:
        mean += log_means(d) / len(few)
    return int(few[np.argmin([((log_means(d) - mean) ** 2).sum() for d in few])])


def latents(
    tree: xr.DataTree, point: xr.DataArray, layout: Layout, level: float = 0.9
) -> tuple[xr.Dataset | list[xr.Dataset], xr.Dataset]:
    """Aligned trajectories of the clusters of a point partition, and loadings, with bands.

    Parameters
    ----------
    tree : DataTree
        Posterior with a group trajectories.
    point : DataArray (unit,)
        Clusters 0, 1, ...
    layout : Layout
    level : float
        Posterior probability of the bands, each entry by itself.

    Returns
    -------
    latent : Dataset, or a list of them as the data
        `mean`, `sd`, `low`, `high` (cluster, ..., time, latent), and `n_draws_found` (cluster): draws that have the
        cluster, of the `n_draws` with trajectories (attrs).
    loading : Dataset
        The same four (unit, latent), and `baseline` (unit).
    """
    label = np.asarray(point.values)
    courses = tree.children["trajectories"].to_dataset()
    kept = tree.children["posterior"].to_dataset().sel(draw=courses["draw"].values)
    x = courses["trajectory"].values
    n_chains, per_chain, _, n_bins, m = x.shape
    cluster, baseline, loading = (
        kept[name].values.reshape(n_chains * per_chain, *kept[name].shape[2:])
        for name in ("unit_cluster", "baseline", "loading")
    )
    cluster = cluster.astype(np.int64)
    matched = np.stack([match_clusters(one, label) for one in cluster])
    n_clusters = matched.shape[1]
    trajectory = np.full((4, n_bins, n_clusters, m), np.nan, dtype=np.float32)
    weight = np.full((4, len(label), m - 1), np.nan, dtype=np.float32)
    level_of = np.full(len(label), np.nan, dtype=np.float32)
    found = (matched >= 0).sum(axis=0)
    for k in range(n_clusters):
        draws, units = np.flatnonzero(matched[:, k] >= 0), np.flatnonzero(label == k)
        if not len(draws):
            continue
        own = x[draws // per_chain, draws % per_chain, matched[draws, k]]
        here = np.ix_(draws, units)
        member = cluster[here] == matched[draws, k, None]
        frames = align(baseline[here], loading[here], own, member)
        n_factors = frames.factor.shape[2]
        trajectory[:, :, k, 0] = _bands(frames.common, level)
        trajectory[:, :, k, 1 : 1 + n_factors] = _bands(frames.factor, level)
        for i, unit in enumerate(units):
            if member[:, i].any():
                weight[:, unit, :n_factors] = _bands(frames.loading[member[:, i], i], level)
                level_of[unit] = frames.baseline[member[:, i], i].mean()
    attrs = {"level": level, "n_draws": len(matched)}
    return (
        _labelled_latents(trajectory, found, layout, attrs, courses["course"].values),
        _labelled_loadings(weight, level_of, point, attrs, courses["course"].values[1:]),
    )


def _bands(values: np.ndarray, level: float) -> np.ndarray:
    """Mean, standard deviation and ends of the band over the first axis: (4, ...)."""
    ends = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    mean, sd = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    return np.stack([mean, sd, *ends]).astype(np.float32)


def _labelled_latents(
    values: np.ndarray, found: np.ndarray, layout: Layout, attrs: dict[str, Any], course: np.ndarray
) -> xr.Dataset | list[xr.Dataset]:
    extra = {"cluster": np.arange(values.shape[2]), "latent": course}
    about = {"units": "1", "long_name": "aligned trajectory; the common course is in log mean counts"}
    parts = [layout.restore(one, np.nan, extra, **about) for one in values]
    number = xr.DataArray(
        found,
        dims="cluster",
        coords={"cluster": extra["cluster"]},
        attrs={"units": "1", "long_name": "draws with trajectories in which the cluster was found"},
    )

    each = [one if isinstance(one, list) else [one] for one in parts]
    out = []
    for arrays in zip(*each, strict=True):
        ordered = [one.transpose("cluster", ..., "latent") for one in arrays]
        variables = dict(zip(STATISTICS, ordered, strict=True)) | {"n_draws_found": number}
        out.append(xr.Dataset(variables, attrs=attrs))
    return out if layout.is_list else out[0]


def _labelled_loadings(
    values: np.ndarray, baseline: np.ndarray, point: xr.DataArray, attrs: dict[str, Any], factor: np.ndarray
) -> xr.Dataset:
    about = {"units": "1", "long_name": "loading on the aligned factor"}
    variables: dict[str, Any] = {
        name: (("unit", "latent"), one, about) for name, one in zip(STATISTICS, values, strict=True)
    }
    variables["baseline"] = ("unit", baseline, {"units": "1", "long_name": "mean over time of the log mean count"})
    coords = {"unit": point["unit"].values, "cluster": ("unit", point.values), "latent": factor}
    return xr.Dataset(variables, coords=coords, attrs=attrs)
