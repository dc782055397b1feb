"""Claimed latents and dissimilarities against the true ones, up to the maps that cannot be known."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from scipy.stats import ConstantInputWarning, spearmanr

from neurodata.errors import RecordingError
from neurodata.validate.metrics.alignment import at_model_times
from neurodata.validate.metrics.base import Metric

# Blocks of time that are held out in turn.
N_BLOCKS = 5
# Singular values below this part of the largest are noise of rounding.
_RANK = 1e-10


def _courses(claims: xr.Dataset, truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Claimed and true latents (time, latent) over the times at which all of them are known."""
    claimed, true = at_model_times(claims["latent"].transpose("time", ...), truth["latent"].transpose("time", ...))
    a, b = claimed.values.astype(np.float64), true.values.astype(np.float64)
    known = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    return a[known], b[known]


def _held_out(n: int, n_blocks: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows: contiguous blocks, each the test once."""
    edge = np.linspace(0, n, n_blocks + 1).astype(int)
    rows = np.arange(n)
    return [
        (np.concatenate([rows[:a], rows[b:]]), rows[a:b]) for a, b in zip(edge[:-1], edge[1:], strict=True) if b > a
    ]


def r2(claims: xr.Dataset, truth: xr.Dataset, n_blocks: int = N_BLOCKS) -> float:
    """R2 of the true latents predicted linearly from the claimed ones, on time the map has not seen; mean over latents.

    Time is cut into `n_blocks` contiguous blocks. For each of them the map is fitted on the others; errors, summed over
    blocks, are compared with the variance within the block left out, so that following a drift from block to block
    gains nothing. Below 0 is worse than a constant that knows the mean of the block.
    """
    x, y = _courses(claims, truth)
    if len(x) < n_blocks * (x.shape[1] + 2):
        return float("nan")
    error, spread = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for train, test in _held_out(len(x), n_blocks):
        centre, mean = x[train].mean(axis=0), y[train].mean(axis=0)
        weight = np.linalg.lstsq(x[train] - centre, y[train] - mean, rcond=None)[0]
        error += ((y[test] - mean - (x[test] - centre) @ weight) ** 2).sum(axis=0)
        spread += ((y[test] - y[test].mean(axis=0)) ** 2).sum(axis=0)
    moving = spread > 0
    return float((1 - error[moving] / spread[moving]).mean()) if moving.any() else float("nan")


def canonical_correlation(claims: xr.Dataset, truth: xr.Dataset, n_blocks: int = N_BLOCKS) -> float:
    """Mean canonical correlation of claimed and true latents, on time the canonical axes have not seen.

    There are as many as the smaller number of latents. Axes are found on all but one block of time; the correlations
    are those of the block left out, averaged over blocks.
    """
    x, y = _courses(claims, truth)
    if len(x) < n_blocks * (max(x.shape[1], y.shape[1]) + 2):
        return float("nan")
    found = []
    for train, test in _held_out(len(x), n_blocks):
        axes_x, axes_y = _canonical_axes(x[train], y[train])
        if axes_x.shape[1] == 0:
            continue
        a, b = x[test] @ axes_x, y[test] @ axes_y
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        moving = size > 0
        if moving.any():
            found.append(((a * b).sum(axis=0)[moving] / size[moving]).mean())
    return float(np.mean(found)) if found else float("nan")


def _canonical_axes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (latent, axis) in both spaces whose projections correlate most, strongest first."""
    basis_x, whiten_x = _whitened(x - x.mean(axis=0))
    basis_y, whiten_y = _whitened(y - y.mean(axis=0))
    u, _, vt = np.linalg.svd(basis_x.T @ basis_y, full_matrices=False)
    return whiten_x @ u, whiten_y @ vt.T


def _whitened(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    kept = s > _RANK * max(s.max(initial=0.0), 1e-300)
    return u[:, kept], vt[kept].T / s[kept]


def _pairs_of_conditions(claims: xr.Dataset, truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Dissimilarities of the pairs of different conditions that both sides know."""
    place = {name: i for i, name in enumerate(claims["condition"].values.tolist())}
    names = [name for name in truth["condition"].values.tolist() if name in place]
    if not names:
        raise RecordingError(
            "claims and truth about the same conditions",
            f"claims about {list(place)[:5]}, truth about {truth['condition'].values[:5].tolist()}",
            "label conditions alike",
        )
    row = [place[name] for name in names]
    upper = np.triu_indices(len(names), 1)
    claimed = claims["rdm"].values[np.ix_(row, row)][upper].astype(np.float64)
    index = [truth["condition"].values.tolist().index(name) for name in names]
    true = truth["rdm"].values[np.ix_(index, index)][upper].astype(np.float64)
    known = np.isfinite(claimed) & np.isfinite(true)
    return claimed[known], true[known]


def rdm_spearman(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Spearman correlation of claimed and true dissimilarities over pairs of conditions."""
    claimed, true = _pairs_of_conditions(claims, truth)
    if claimed.size < 3:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # a constant has no correlation: NaN
        return float(spearmanr(claimed, true).statistic)


def rdm_tau_a(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Kendall's tau-a of claimed and true dissimilarities: ties count as neither agreement nor disagreement.

    References
    ----------
    .. [1] H. Nili et al., "A toolbox for representational similarity analysis", PLoS Computational Biology 10 (2014),
       doi:10.1371/journal.pcbi.1003553: tau-a for models that predict ties.
    """
    claimed, true = _pairs_of_conditions(claims, truth)
    if claimed.size < 2:
        return float("nan")
    first, second = np.triu_indices(claimed.size, 1)
    agreement = np.sign(claimed[first] - claimed[second]) * np.sign(true[first] - true[second])
    return float(agreement.mean())


_LATENT, _RDM = ("latent",), ("rdm",)
METRICS = (
    Metric("latent_r2", _LATENT, r2, _LATENT, 0.0, "higher", (-np.inf, 1.0)),
    Metric("latent_cca", _LATENT, canonical_correlation, _LATENT, 0.0, "higher", (-1.0, 1.0)),
    Metric("rdm_spearman", _RDM, rdm_spearman, _RDM, 0.0, "higher", (-1.0, 1.0)),
    Metric("rdm_tau_a", _RDM, rdm_tau_a, _RDM, 0.0, "higher", (-1.0, 1.0)),
)
