"""How conditions fall into connected groups as a threshold on their dissimilarities rises: Betti-0 curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.kernels.rdm_graph_nb import spanning_tree
from neurodata.models.trsa.rdm import check_rdm


def betti0_curve(rdm: xr.DataArray, threshold: Any = None) -> xr.DataArray:
    r"""Number of connected groups of conditions whose dissimilarities are up to each threshold.

    Parameters
    ----------
    rdm : DataArray (..., condition, condition_2)
    threshold : array (threshold,), optional
        Default: 101 from 0 to the largest dissimilarity.

    Returns
    -------
    DataArray (..., threshold)
        From the number of conditions down to 1, or to the number of parts that unknown pairs (NaN) leave apart.

    Notes
    -----
    Groups merge along the edges of a minimum spanning tree [1]_, so the curve is C minus the number of its edges up to
    the threshold: the Betti number :math:`\beta_0` of the Vietoris-Rips complex.

    References
    ----------
    .. [1] J. Gower, G. Ross, "Minimum spanning trees and single linkage cluster analysis", Appl. Stat. 18 (1969),
       54-64, doi:10.2307/2346439.

    Examples
    --------
    >>> import neurodata as nd
    >>> one = nd.models.make_rdm([[0.0, 1.0, 5.0], [1.0, 0.0, 4.0], [5.0, 4.0, 0.0]])
    >>> nd.models.betti0_curve(one, [0.5, 1.0, 4.0]).values.tolist()
    [3, 2, 1]
    """
    checked = check_rdm(rdm)
    merges = merge_dissimilarities(checked)
    if threshold is None:
        top = np.fmax.reduce(checked.values, axis=None)
        threshold = np.linspace(0.0, float(top) if np.isfinite(top) else 1.0, 101)
    levels = np.asarray(threshold, dtype=np.float64)
    if levels.ndim != 1 or levels.size == 0 or np.isnan(levels).any():
        raise OptionError("one threshold or more", f"shape {levels.shape}", "pass a vector of numbers")
    number = (merges.values[..., None, :] <= levels[:, None]).sum(axis=-1)
    return xr.DataArray(
        checked.sizes["condition"] - number,
        dims=(*merges.dims[:-1], "threshold"),
        coords={**{n: c for n, c in merges.coords.items() if "merge" not in c.dims}, "threshold": levels},
        name="betti0",
        attrs={**checked.attrs, "units": "1", "long_name": "connected groups of conditions"},
    )


def merge_dissimilarities(rdm: xr.DataArray) -> xr.DataArray:
    """Dissimilarities at which groups of conditions merge, in rising order; NaN for those that never do.

    Parameters
    ----------
    rdm : DataArray (..., condition, condition_2)

    Returns
    -------
    DataArray (..., merge)
        One fewer than conditions: the edges of the minimum spanning tree.

    Examples
    --------
    >>> import neurodata as nd
    >>> one = nd.models.make_rdm([[0.0, 1.0, 5.0], [1.0, 0.0, 4.0], [5.0, 4.0, 0.0]])
    >>> nd.models.merge_dissimilarities(one).values.tolist()
    [1.0, 4.0]
    """
    checked = check_rdm(rdm)
    n = checked.sizes["condition"]
    flat = checked.values.reshape(-1, n, n)
    out = np.full((len(flat), n - 1), np.nan)
    edge = np.empty((n - 1, 2), dtype=np.int64)
    for k, values in enumerate(flat):
        weight = np.where(np.isnan(values), np.inf, values)
        n_edges = spanning_tree(weight, edge)
        out[k, :n_edges] = np.sort(weight[edge[:n_edges, 0], edge[:n_edges, 1]])
    leading = checked.dims[:-2]
    coords = {n: c for n, c in checked.coords.items() if c.dims and set(c.dims) <= set(leading)}
    return xr.DataArray(
        out.reshape(*checked.shape[:-2], n - 1), dims=(*leading, "merge"), coords=coords, attrs=checked.attrs
    ).rename("merge_dissimilarity")
