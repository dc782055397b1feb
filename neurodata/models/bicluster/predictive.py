"""What the fitted model says data should be like: rates with bands, replicated counts, checks, new recordings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from neurodata.models.bicluster.posterior import course_draws
from neurodata.models.bicluster.score import CourseDraw

STATISTICS = ("mean", "fano", "zeros", "autocorrelation")


def rate_bands(tree: xr.DataTree, level: float) -> np.ndarray:
    """Mean, standard deviation, lower and upper end of the band of the log mean count: (4, bin, unit)."""
    posterior, courses = tree.children["posterior"].to_dataset(), tree.children["trajectories"].to_dataset()
    kept = posterior.sel(draw=courses["draw"].values)
    x = courses["trajectory"].values
    n_chains, n_draws, _, n_bins, _ = x.shape
    chain, draw = np.indices((n_chains, n_draws))
    cluster = kept["unit_cluster"].values.astype(np.int64)
    baseline, loading = kept["baseline"].values, kept["loading"].values
    out = np.empty((4, n_bins, cluster.shape[2]))
    ends = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    for i in range(cluster.shape[2]):
        own = x[chain, draw, cluster[..., i]]
        eta = baseline[..., i, None] + own[..., 0] + np.einsum("cdp,cdtp->cdt", loading[..., i, :], own[..., 1:])
        eta = eta.reshape(-1, n_bins).astype(np.float64)
        out[0, :, i], out[1, :, i] = eta.mean(axis=0), eta.std(axis=0)
        out[2:, :, i] = np.quantile(eta, ends, axis=0)
    return out


def draw_counts(rng: np.random.Generator, log_mean: np.ndarray, dispersion: np.ndarray, ceiling: float) -> np.ndarray:
    """Negative-binomial counts of log means (bin, unit), held at a log mean of `ceiling`."""
    mean = np.exp(np.minimum(log_mean, ceiling))
    r = np.asarray(dispersion, dtype=np.float64)
    return rng.poisson(mean * rng.gamma(r, size=mean.shape) / r)


def statistics_of(counts: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Mean, Fano factor, part of zeros and autocorrelation at one bin: (statistic, unit).

    Parameters
    ----------
    counts : array (bin, unit)
        NaN where not observed. The autocorrelation is over pairs of neighbouring bins of a sequence that both are.
    sequence : array (bin,)
        Number of the sequence of each bin.

    Examples
    --------
    >>> counts = np.array([[0.0], [2.0], [0.0], [2.0]])
    >>> statistics_of(counts, np.zeros(4)).ravel().tolist()
    [1.0, 1.0, 0.5, -1.0]
    """
    seen = np.isfinite(counts)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, counts, 0.0).sum(axis=0) / n
    off = np.where(seen, counts - mean, 0.0)
    variance = (off**2).sum(axis=0) / n
    next_to = (sequence[1:] == sequence[:-1])[:, None] & seen[1:] & seen[:-1]
    product = np.where(next_to, off[1:] * off[:-1], 0.0).sum(axis=0) / np.maximum(next_to.sum(axis=0), 1)
    zeros = ((counts == 0) & seen).sum(axis=0) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([mean, variance / mean, zeros, product / variance])


def replicated_statistics(
    tree: xr.DataTree, observed: np.ndarray, sequence: np.ndarray, n_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Statistics of counts replicated at the observed entries: (draw, statistic, unit)."""
    n_bins, n_units = observed.shape
    hidden = ~np.isfinite(observed)
    unit, bin_ = np.arange(n_units), np.arange(n_bins)
    ceiling = ceiling_of(observed)
    out = []
    for one in course_draws(tree, n_draws):
        log_mean = one.log_means(np.tile(unit, n_bins), np.repeat(bin_, n_units)).reshape(n_bins, n_units)
        counts = draw_counts(rng, log_mean, one.dispersion, ceiling).astype(np.float64)
        counts[hidden] = np.nan
        out.append(statistics_of(counts, sequence))
    return np.stack(out)


def ceiling_of(observed: np.ndarray) -> float:
    """Log of a mean beyond which no count was: of twice the largest count."""
    return float(np.log(2.0 * np.nanmax(observed) + 1.0))


def tail(replicated: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Probability that a replicated statistic is larger, equal ones counted half; NaN where it has no value."""
    with np.errstate(invalid="ignore"):
        p = (replicated > observed).mean(axis=0) + 0.5 * (replicated == observed).mean(axis=0)
    return np.where(np.isfinite(observed) & np.isfinite(replicated).all(axis=0), p, np.nan)


def forward(
    tree: xr.DataTree, chain: int, draw: int, n_bins: int, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """States and trajectories (cluster, m) of new bins, going on from a bin of the fit at random.

    States that the draw does not use are not entered, their dynamics being the prior's. Trajectories are held within
    twice the range they had: fitted dynamics need not be stable.

    Parameters
    ----------
    chain, draw : int
        Rows of the group trajectories.
    """
    courses = tree.children["trajectories"].to_dataset().isel(chain=chain, draw=draw)
    row = int(courses["draw"])
    path = tree.children["posterior"].to_dataset()["bin_state"].isel(chain=chain).sel(draw=row).values.astype(np.int64)
    x = courses["trajectory"].values.astype(np.float64)
    alive = np.isfinite(x).all(axis=(1, 2))
    x = x[alive]
    transition, offset, noise = (
        courses[name].values[alive].astype(np.float64) for name in ("transition", "offset", "noise")
    )
    n_states, n = noise.shape[1], noise.shape[3]
    # Columns are the courses of the cluster, or of all clusters that move together.
    together = n != x.shape[2]
    if together:
        root = np.linalg.cholesky(np.moveaxis(noise, 1, 0).reshape(n_states, n, n))
        root = np.moveaxis(root.reshape(n_states, len(x), -1, n), 0, 1)
    else:
        root = np.linalg.cholesky(noise)
    switch = np.zeros_like(courses["switch"].values, dtype=np.float64)
    used = np.unique(path)
    switch[:, used] = courses["switch"].values[:, used]
    limit = 2.0 * np.abs(x).max(axis=1)
    begin = int(rng.integers(len(path)))
    state, now = int(path[begin]), x[:, begin]
    for _ in range(n_bins):
        weight = switch[state]
        state = int(rng.choice(len(weight), p=weight / weight.sum()))
        inputs = np.concatenate([now, rng.standard_normal(now.shape)], axis=1).reshape(len(now), 2, -1)
        if together:
            inputs = np.broadcast_to(inputs.transpose(1, 0, 2).reshape(1, 2, n), (len(now), 2, n))
        now = offset[:, state] + np.einsum("kij,kj->ki", transition[:, state], inputs[:, 0])
        now += np.einsum("kij,kj->ki", root[:, state], inputs[:, 1])
        now = np.clip(now, -limit, limit)
        yield state, now


def log_means_of(one: CourseDraw, now: np.ndarray) -> np.ndarray:
    """Log mean counts (unit,) when the trajectories are at `now` (cluster, m)."""
    x = now[one.cluster]
    return one.baseline + x[:, 0] + (one.loading * x[:, 1:]).sum(axis=1)
