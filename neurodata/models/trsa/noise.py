"""Covariance and precision of the noise over channels, from repeats or residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels import noise_covariance as kernel
from neurodata.models.trsa.layout import layout

METHODS = ("shrinkage-diagonal", "shrinkage-identity", "diagonal", "full")


def noise_covariance(
    data: xr.DataArray,
    method: str = "shrinkage-diagonal",
    *,
    residuals: bool = False,
    by: str | None = None,
    dof: float | None = None,
    condition: str = "condition",
    run: str = "run",
    pattern: str | Sequence[str] | None = None,
) -> xr.DataArray:
    r"""Noise covariance over channels.

    Parameters
    ----------
    data : DataArray
        Patterns as `rdm` takes them: the deviations of the repeats of a condition from their mean are the noise, at
        each time (and any other dim besides the channels) of its own. With `residuals`, any array with a dim of
        channels: deviations from the mean over everything else.
    method : {"shrinkage-diagonal", "shrinkage-identity", "diagonal", "full"}
        Target of the shrinkage: the channels' own variances [1]_, or their mean variance times the identity [2]_; or no
        shrinkage; or the variances alone.
    residuals : bool
        `data` are residuals of a model.
    by : str, optional
        Dim along which every label gets a covariance of its own, e.g. ``"run"`` or ``"time"``, for residuals.
    dof : float, optional
        Degrees of freedom (of each covariance). Default: observations minus conditions, minus 1 for residuals.
    condition, run, pattern
        As in `rdm`.

    Returns
    -------
    DataArray ([by,] channel, channel_2)
        Channels that are never observed have NaN; observations that lack any other channel are left out (attr
        `n_left_out`). Attr `shrinkage` is the weight of the target.

    Raises
    ------
    RecordingError
        No repeats; constant channels where the target divides by their variance.

    Notes
    -----
    With n deviations x, :math:`S = \sum x x' / \mathrm{dof}` and :math:`r_{pq}` scaled to correlations,

    .. math:: \lambda_{diag} = \frac{\sum_{p \ne q} \widehat{\mathrm{var}}(r_{pq})}{\sum_{p \ne q} r_{pq}^2}, \qquad
        \lambda_{id} = \frac{\tfrac{1}{n^2} \sum_k |x_k x_k' - \bar S|^2}{|\bar S - m I|^2},

    both kept in [0, 1]. The sums over pairs of channels in the numerators are squares of sums over channels, so the
    cost is that of S alone.

    References
    ----------
    .. [1] J. Schäfer, K. Strimmer, "A shrinkage approach to large-scale covariance matrix estimation", Stat. Appl.
       Genet. Mol. Biol. 4 (2005), doi:10.2202/1544-6115.1175.
    .. [2] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivar.
       Anal. 88 (2004), 365-411, doi:10.1016/S0047-259X(03)00096-4.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> noise = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 1.0, 3.0]
    >>> data = xr.DataArray(noise, dims=("sample", "channel"))
    >>> nd.models.noise_covariance(data, residuals=True).values.diagonal().round(0).tolist()
    [1.0, 1.0, 9.0]
    """
    if method not in METHODS:
        raise OptionError(f"method among {', '.join(METHODS)}", f"{method!r}", "choose one of them")
    if dof is not None and not dof > 0:
        raise OptionError("dof above 0", f"{dof}", "leave it out")
    if residuals:
        deviations, labels, names, keys, size = _of_residuals(data, by, pattern)
        losses = [1.0] * len(deviations)
    else:
        if by is not None:
            raise OptionError("by= for residuals", f"by={by!r}", "pass residuals=True, or select one label at a time")
        deviations, labels, names, losses, size = _of_repeats(data, condition, run, pattern)
        keys = None
    found = [_estimate(x, loss, dof, method, labels, size) for x, loss in zip(deviations, losses, strict=True)]
    dim = names
    values = np.stack([one for one, _, _ in found])
    coords: dict[str, Any] = {dim: labels, f"{dim}_2": labels}
    if keys is not None:
        coords[str(by)] = keys
    attrs = {
        "method": method,
        "shrinkage": float(np.mean([share for _, share, _ in found])),
        "n_left_out": int(sum(left for _, _, left in found)),
    }
    return xr.DataArray(
        values if keys is not None else values[0],
        dims=((str(by),) if keys is not None else ()) + (dim, f"{dim}_2"),
        coords=coords,
        name="noise_covariance",
        attrs=with_operation(attrs, "noise_covariance", method=method, residuals=residuals, by=by, dof=dof),
    )


def noise_precision(data: xr.DataArray, method: str = "shrinkage-diagonal", **options: Any) -> xr.DataArray:
    """Inverse of the noise covariance: `noise_covariance` with its options, inverted.

    Parameters
    ----------
    data : DataArray
        Patterns, residuals, or a covariance from `noise_covariance` itself.
    method : str
        As in `noise_covariance`.
    **options
        As in `noise_covariance`.

    Returns
    -------
    DataArray ([by,] channel, channel_2)
        NaN for channels that were not observed.

    Raises
    ------
    RecordingError
        The covariance is singular: constant channels, or fewer degrees of freedom than channels without shrinkage.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> repeats = np.random.default_rng(0).normal(size=(50, 4, 2))
    >>> data = xr.DataArray(repeats, dims=("run", "condition", "channel"))
    >>> nd.models.noise_precision(data, "diagonal").round(1).values.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    covariance = data if data.name == "noise_covariance" else noise_covariance(data, method, **options)
    matrices = covariance.values
    out = np.full(matrices.shape, np.nan)
    labels = covariance[covariance.dims[-2]].values
    for index in np.ndindex(matrices.shape[:-2]):
        known = np.flatnonzero(np.isfinite(np.diagonal(matrices[index])))
        out[index][np.ix_(known, known)] = inverse(matrices[index][np.ix_(known, known)], labels[known])
    return covariance.copy(data=out).rename("noise_precision")


def inverse(covariance: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Inverse of a positive definite matrix, or an error that says why it has none."""
    variance = np.diagonal(covariance)
    if (variance <= 0).any():
        raise constant_channels(labels[variance <= 0])
    try:
        np.linalg.cholesky(covariance)
        found = np.linalg.inv(covariance)
    except np.linalg.LinAlgError:
        found = np.full_like(covariance, np.nan)
    if not np.isfinite(found).all() or np.linalg.cond(covariance, 1) > 1e14:
        raise RecordingError(
            "a noise covariance with an inverse",
            f"a singular one of {labels.size} channels",
            "use method='shrinkage-diagonal', or more repeats",
        )
    return (found + found.T) / 2.0


def constant_channels(labels: np.ndarray) -> RecordingError:
    """The error for channels without noise."""
    names = ", ".join(map(str, labels[:5].tolist())) + (" ..." if labels.size > 5 else "")
    return RecordingError("channels that vary", f"constant ones: {names}", "drop these channels, or set them to NaN")


def _of_residuals(
    data: xr.DataArray, by: str | None, pattern: str | Sequence[str] | None
) -> tuple[list[np.ndarray], np.ndarray, str, np.ndarray | None, np.ndarray]:
    if not isinstance(data, xr.DataArray):
        raise RecordingError("residuals as a DataArray", type(data).__name__, "select one variable")
    name = pattern if isinstance(pattern, str) else None
    if name is None:
        known = [str(dim) for dim in data.dims if dim in ("channel", "unit", "roi", "neuron", "voxel")]
        if len(known) != 1:
            raise OptionError("a dim of channels", f"{data.dims}", "name it with pattern=")
        name = known[0]
    if name not in data.dims or (by is not None and (by not in data.dims or by == name)):
        raise OptionError(f"dims {name!r} and {by!r}", f"{data.dims}", "name dims of the data")
    moved = data.transpose(*([by] if by else []), ..., name)
    values = np.asarray(moved.values, dtype=np.float64)
    groups = list(values) if by else [values]
    labels = data[name].values
    flat = [one.reshape(-1, labels.size) for one in groups]
    means = [np.nanmean(_observed(one), axis=0) for one in flat]
    keys = None if by is None else data[by].values
    centred = []
    for one, mean in zip(flat, means, strict=True):
        full = np.full(labels.size, np.nan)
        full[np.isfinite(one).any(axis=0)] = mean
        centred.append(one - full)
    return centred, labels, name, keys, _largest(values)


def _observed(values: np.ndarray) -> np.ndarray:
    return values[:, np.isfinite(values).any(axis=0)]


def _of_repeats(
    data: xr.DataArray, condition: str, run: str, pattern: str | Sequence[str] | None
) -> tuple[list[np.ndarray], np.ndarray, str, list[float], np.ndarray]:
    found = layout(data, condition, run, pattern)
    n_channels = found.values.shape[-1]
    if len(found.pattern) == 1 and found.pattern[0] in data.coords:
        labels = data[found.pattern[0]].values
    else:
        labels = np.arange(n_channels)
    name = found.pattern[0] if len(found.pattern) == 1 else "feature"
    n_batch = int(np.prod(found.values.shape[: len(found.batch)], dtype=np.int64))
    if found.row is None:
        values = found.values.reshape(n_batch, *found.values.shape[-3:])
        seen = np.isfinite(values)
        if seen.all():
            deviations = values - values.mean(axis=1, keepdims=True)
        else:
            deviations = values - _nanmean(values, seen)
        used = seen.any(axis=3)
        n_cells = int((used.sum(axis=1) > 0).sum())
        deviations = deviations[used] if not used.all() else deviations.reshape(-1, n_channels)
    else:
        values = found.values.reshape(n_batch, *found.values.shape[-2:])
        deviations = np.empty_like(values)
        n_cells = 0
        for c in range(found.conditions.size):
            rows = np.flatnonzero(found.row == c)
            part = values[:, rows]
            deviations[:, rows] = part - _nanmean(part, np.isfinite(part))
            n_cells += int(np.isfinite(part).any(axis=(1, 2)).sum())
        deviations = deviations.reshape(-1, n_channels)
        deviations = deviations[np.isfinite(deviations).any(axis=1)]
    if deviations.shape[0] <= n_cells:
        raise RecordingError(
            "repeats of the conditions", "one observation of each", "pass residuals of a model with residuals=True"
        )
    return [deviations], labels, name, [float(n_cells)], _largest(found.values)


def _largest(values: np.ndarray) -> np.ndarray:
    """Largest size of each channel's values, 0 for channels without any."""
    return np.nan_to_num(np.abs(values)).reshape(-1, values.shape[-1]).max(axis=0)


def _nanmean(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is seen; NaN where nothing is."""
    number = seen.sum(axis=1, keepdims=True)
    total = np.where(seen, values, 0.0).sum(axis=1, keepdims=True)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _estimate(
    deviations: np.ndarray, loss: float, dof: float | None, method: str, labels: np.ndarray, largest: np.ndarray
) -> tuple[np.ndarray, float, int]:
    n_rows, p = deviations.shape
    seen = np.isfinite(deviations)
    channels = np.arange(p)
    if not seen.all():
        channels = np.flatnonzero(seen.any(axis=0))
        whole = seen[:, channels].all(axis=1)
        deviations = deviations[np.ix_(whole, channels)]
    n = deviations.shape[0]
    freedom = n - loss if dof is None else float(dof)
    if channels.size == 0 or n < 2 or freedom <= 0:
        raise RecordingError(
            "more complete observations than conditions",
            f"{n} without a missing channel",
            "drop channels that are often missing, or pass dof=",
        )
    if method == "shrinkage-diagonal":
        # What is left of a constant channel after its mean is taken off is rounding error.
        constant = np.einsum("np,np->p", deviations, deviations) <= n * (1e-14 * largest[channels]) ** 2
        if constant.any():
            raise constant_channels(labels[channels][constant])
    value, share = kernel.covariance(np.ascontiguousarray(deviations), freedom, method)
    out = np.full((p, p), np.nan)
    out[np.ix_(channels, channels)] = value
    return out, share, n_rows - n
