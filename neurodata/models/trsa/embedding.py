"""pMDS: classical scaling of RDMs in a row, turned to match from one to the next."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.models.trsa.rdm import check_rdm


def procrustes_mds(rdm: xr.DataArray, n_axes: int = 2, *, squared: bool = True) -> xr.DataArray:
    r"""Conditions as points whose distances are the dissimilarities, aligned over time.

    Parameters
    ----------
    rdm : DataArray ([time|rdm,] condition, condition_2)
        Nothing unknown.
    n_axes : int
        Number of axes, up to the conditions.
    squared : bool
        The dissimilarities are squared distances, as all that `rdm` computes are (correlation distance too, up to a
        factor). False for the transformed ones, which are taken as distances.

    Returns
    -------
    DataArray ([time|rdm,] condition, axis)
        Points around 0. The first RDM has its axes in order of variance; each other one is rotated or reflected, never
        scaled, to be as near as can be to the one before it. Coordinate `captured` (time|rdm): share of the positive
        variance that the axes hold.

    Raises
    ------
    RecordingError
        Unknown pairs.
    OptionError
        More axes than conditions.

    Notes
    -----
    Classical scaling takes the eigenvectors of :math:`-J D J / 2`, J the centring matrix, times the roots of their
    eigenvalues; negative ones, which noise and non-Euclidean dissimilarities have, give no axis. The alignment is the
    orthogonal Procrustes rotation :math:`U V'` of the singular vectors of :math:`X_t' X_{t-1}` [1]_.

    References
    ----------
    .. [1] P. Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31 (1966), 1-10,
       doi:10.1007/BF02289451.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> place = np.array([[0.0, 1.0, 3.0], [0.0, 1.0, 4.0]])
    >>> movie = nd.models.make_rdm((place[:, :, None] - place[:, None]) ** 2, dims=["time"])
    >>> points = nd.models.procrustes_mds(movie, n_axes=1)
    >>> bool(np.allclose(np.abs(np.diff(points.values[:, :, 0], axis=1)), np.diff(place, axis=1)))
    True
    """
    checked = check_rdm(rdm)
    n = checked.sizes["condition"]
    if checked.ndim > 3:
        raise RecordingError("one dim besides the conditions", f"dims {checked.dims}", "select one of them")
    if not 1 <= n_axes <= n:
        raise OptionError(f"1 to {n} axes", f"{n_axes}", "pass another number")
    values = checked.values.reshape(-1, n, n)
    if not np.isfinite(values).all():
        raise RecordingError("RDMs without unknown pairs", "NaN", "select conditions whose pairs are all known")
    if not squared and (values < 0).any():
        raise RecordingError("distances of 0 or above", "negative ones", "pass squared=True for cross-validated ones")
    square = values if squared else values**2
    rows = square.mean(axis=1, keepdims=True)
    gram = -0.5 * (square - rows - np.swapaxes(rows, 1, 2) + rows.mean(axis=2, keepdims=True))
    variance, axes = np.linalg.eigh(gram)
    variance, axes = np.maximum(variance[:, ::-1], 0.0), axes[:, :, ::-1]
    points = axes[:, :, :n_axes] * np.sqrt(variance[:, None, :n_axes])
    total = variance.sum(axis=1)
    captured = np.divide(variance[:, :n_axes].sum(axis=1), total, out=np.full(total.shape, np.nan), where=total > 0)
    for t in range(1, len(points)):
        left, _, right = np.linalg.svd(points[t].T @ points[t - 1])
        points[t] = points[t] @ (left @ right)
    leading = checked.dims[:-2]
    coords = {name: c.variable for name, c in checked.coords.items() if "condition_2" not in c.dims}
    coords["captured"] = xr.Variable(leading, captured if leading else captured[0])
    return xr.DataArray(
        points.reshape(*checked.shape[:-2], n, n_axes),
        dims=(*leading, "condition", "axis"),
        coords=coords,
        name="point",
        attrs=with_operation(checked.attrs, "procrustes_mds", n_axes=n_axes, squared=squared),
    )
