"""How alike two factorisations are, whatever the order and scale of their components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError


def factor_match_score(
    first: Mapping[str, Any], second: Mapping[str, Any], *, dims: tuple[str, ...] | None = None
) -> float:
    """Mean over matched components of the product over dims of the cosines of their factors, 0 to 1.

    Components are matched one to one so that the score is highest. Where one factorisation has more components, the
    rest of them count for nothing.

    Parameters
    ----------
    first, second : mapping of dim to DataArray (dim, component) or array
        `factor_` of fitted models. Labelled factors are compared on the labels that both have; NaN are left out.
    dims : tuple of str, optional
        Those to compare, all by default.

    Returns
    -------
    float

    References
    ----------
    Acar, Dunlavy, Kolda, Morup 2011, doi:10.1016/j.chemolab.2010.08.004.

    Examples
    --------
    >>> import numpy as np
    >>> one = {"time": np.eye(3), "unit": np.ones((2, 3))}
    >>> other = {"time": 2.0 * np.eye(3)[:, [2, 0, 1]], "unit": np.ones((2, 3))}
    >>> round(factor_match_score(one, other), 6)
    1.0
    """
    from scipy.optimize import linear_sum_assignment

    names = tuple(first) if dims is None else dims
    lacking = sorted({name for name in names if name not in first or name not in second})
    if lacking or not names:
        raise OptionError("factors of the same dims", f"no {lacking} in one of them", "pass dims= that both have")
    alike: np.ndarray | float = 1.0
    for name in names:
        a, b = _shared(first[name], second[name], name)
        alike = alike * (_unit(a).T @ _unit(b))
    alike = np.asarray(alike)
    one, other = linear_sum_assignment(alike, maximize=True)
    return float(alike[one, other].sum() / min(alike.shape))


def _shared(a: Any, b: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of both on the labels that both have, without entries that are NaN in either."""
    labelled = isinstance(a, xr.DataArray) and isinstance(b, xr.DataArray)
    if labelled and name in a.indexes and name in b.indexes and not a.indexes[name].equals(b.indexes[name]):
        labels = [label for label in a.indexes[name] if label in set(b.indexes[name])]
        a, b = a.sel({name: labels}), b.sel({name: labels})
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if one.shape[0] != other.shape[0]:
        raise OptionError(f"factors over the same {name!r}", f"{len(one)} and {len(other)} entries", "align them")
    seen = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    return one[seen], other[seen]


def _unit(factor: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(factor, axis=0)
    return factor / np.where(norm > 0, norm, 1.0)
