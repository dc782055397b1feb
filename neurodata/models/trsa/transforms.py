"""The geo-topological transform of RDMs: small dissimilarities to 0, large ones to 1, the rest stretched between."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError
from neurodata.kernels.rdm_similarity import ranks
from neurodata.models.trsa.rdm import check_rdm, squares, to_vectors


def geo_topological(rdm: xr.DataArray, lower: float, upper: float, rank: bool = False) -> xr.DataArray:
    r"""Geo-topological transform [1]_ of each RDM.

    .. math:: GT_{l,u}(d) = 0 \text{ for } d \le l, \quad (d - l) / (u - l) \text{ for } l < d < u,
        \quad 1 \text{ for } d \ge u

    with l and u the `lower` and `upper` quantiles of the RDM's own entries. ``(0, 1)`` scales the RDM to 0..1 and keeps
    its geometry; as `upper` comes down to `lower` an adjacency matrix is left, the topology alone.

    Parameters
    ----------
    rdm : DataArray (..., condition, condition_2)
        Not changed. NaN entries stay NaN and take no part in the quantiles.
    lower, upper : float
        Quantiles, ``0 <= lower < upper <= 1``.
    rank : bool
        Replace the entries by their average ranks first, scaled to 0..1, and take the quantiles of those: what the
        paper's authors did in their analyses. False: of the dissimilarities themselves. These are different statistics.

    Returns
    -------
    DataArray (..., condition, condition_2)
        Quantiles are taken per RDM. Where ties make l and u equal, entries up to it are 0 and above it 1. Attrs:
        normalisation ``geo-topological``, `lower`, `upper`, `scale` (``raw`` or ``rank``).

    Raises
    ------
    OptionError
        `lower` is not below `upper`, or they are not quantiles.

    References
    ----------
    .. [1] B. Lin, N. Kriegeskorte, "The topology and geometry of neural representations", arXiv:2309.11028,
       doi:10.48550/arXiv.2309.11028.

    Examples
    --------
    >>> import neurodata as nd
    >>> one = nd.models.make_rdm([[0.0, 1.0, 2.0], [1.0, 0.0, 5.0], [2.0, 5.0, 0.0]])
    >>> nd.models.geo_topological(one, lower=0.0, upper=0.5).values.tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    check_quantiles(lower, upper)
    checked = check_rdm(rdm)
    vectors = geo_topological_vectors(to_vectors(checked)[0], lower, upper, rank)
    return with_values(
        checked, vectors, "geo_topological", normalisation="geo-topological", lower=lower, upper=upper, rank=rank
    )


def check_quantiles(lower: float, upper: float) -> None:
    """Refuse what is not ``0 <= lower < upper <= 1``."""
    if not 0.0 <= lower < upper <= 1.0:
        raise OptionError(
            "quantiles 0 <= lower < upper <= 1", f"lower={lower}, upper={upper}", "for a step pass two close values"
        )


def geo_topological_vectors(vectors: np.ndarray, lower: float, upper: float, rank: bool = False) -> np.ndarray:
    """The transform of vectors (rdm, pair); a new array.

    Examples
    --------
    >>> geo_topological_vectors(np.array([[-3.0, -1.0, 1.0]]), 0.0, 1.0).tolist()
    [[0.0, 0.5, 1.0]]
    """
    values = scaled_ranks(vectors) if rank else np.array(vectors, dtype=np.float64)
    low, high = _quantiles(values, lower, upper)
    width = np.where(high > low, high - low, 1.0)
    out = (values - low) / width
    # Where l and u are the same number: 0 up to it, 1 above it.
    out = np.where(values <= low, 0.0, np.where(values >= high, 1.0, out))
    out[np.isnan(values)] = np.nan
    return out


def scaled_ranks(vectors: np.ndarray) -> np.ndarray:
    """Average ranks of each row's known entries, scaled to 0..1; 0 where all are equal.

    Examples
    --------
    >>> scaled_ranks(np.array([[5.0, np.nan, 7.0, 6.0]])).tolist()
    [[0.0, nan, 1.0, 0.5]]
    """
    out = np.full(vectors.shape, np.nan)
    known = np.isfinite(vectors)
    if known.all():
        out = ranks(vectors)
    else:
        for k, row in enumerate(known):
            if row.any():
                out[k, row] = ranks(vectors[k, row][None])[0]
    return min_max(out)


def min_max(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to 0..1; 0 where all entries are equal.

    Examples
    --------
    >>> min_max(np.array([[1.0, 3.0, 2.0], [4.0, 4.0, 4.0]])).tolist()
    [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    """
    low = np.fmin.reduce(vectors, axis=1, keepdims=True)
    high = np.fmax.reduce(vectors, axis=1, keepdims=True)
    return (vectors - low) / np.where(high > low, high - low, 1.0)


def _quantiles(values: np.ndarray, lower: float, upper: float) -> tuple[np.ndarray, np.ndarray]:
    if not np.isnan(values).any():
        low, high = np.quantile(values, [lower, upper], axis=1)
        return low[:, None], high[:, None]
    found = np.full((2, len(values)), np.nan)
    for k, row in enumerate(values):
        known = row[np.isfinite(row)]
        if known.size:
            found[:, k] = np.quantile(known, [lower, upper])
    return found[0][:, None], found[1][:, None]


def with_values(
    checked: xr.DataArray, vectors: np.ndarray, operation: str, *, normalisation: str, **settings: object
) -> xr.DataArray:
    """A new RDM like `checked` with other entries, and what was done in its attrs."""
    n = checked.sizes["condition"]
    result = checked.copy(data=squares(vectors, n).reshape(checked.shape))
    attrs = with_operation(result.attrs, operation, **settings)
    kept = {name: value for name, value in settings.items() if isinstance(value, (int, float, str)) and name != "rank"}
    scale = {"scale": "rank" if settings["rank"] else "raw"} if "rank" in settings else {}
    return result.assign_attrs({**attrs, **kept, **scale, "normalisation": normalisation})
