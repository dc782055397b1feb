"""What an RDM is: labelled square matrices of dissimilarities, made, checked, aligned, and as vectors of pairs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError

CONDITION, CONDITION_2 = "condition", "condition_2"
_FIX = "pass what neurodata.models.rdm or neurodata.models.make_rdm returns"


def make_rdm(
    values: Any,
    condition: Any = None,
    *,
    measure: str = "",
    normalisation: str = "none",
    noise: str = "none",
    dims: Sequence[Hashable] = (),
    coords: Mapping[Any, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """RDMs from square matrices.

    Parameters
    ----------
    values : array (..., condition, condition)
        Dissimilarities: symmetric, 0 on the diagonal, NaN where unknown.
    condition : array (condition,), optional
        Labels, each once; default 0, 1, ...
    measure : str
        Which dissimilarity, e.g. ``"correlation"``.
    normalisation : str
        What they were divided by, e.g. ``"channels"``.
    noise : str
        How the noise was taken into account.
    dims : sequence of str
        Names of the leading dims; default ``("rdm",)`` for three-dimensional values.
    coords : mapping, optional
        Coordinates of the leading dims.
    attrs : mapping, optional
        Further attributes.

    Returns
    -------
    DataArray (..., condition, condition_2)

    Examples
    --------
    >>> import neurodata as nd
    >>> one = nd.models.make_rdm([[0.0, 2.0], [2.0, 0.0]], ["face", "house"], measure="euclidean")
    >>> float(one.sel(condition="face", condition_2="house"))
    2.0
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise RecordingError("square matrices (..., condition, condition)", f"shape {matrix.shape}", "check the values")
    labels = np.arange(matrix.shape[-1]) if condition is None else np.asarray(condition)
    leading = tuple(dims) or (("rdm",) if matrix.ndim == 3 else ())
    if len(leading) != matrix.ndim - 2 or labels.shape != matrix.shape[-1:]:
        raise RecordingError(
            f"a name for each of {matrix.ndim - 2} leading dims and {matrix.shape[-1]} labels",
            f"{len(leading)} names and labels of shape {labels.shape}",
            "pass dims= and condition=",
        )
    result = xr.DataArray(
        matrix,
        dims=(*leading, CONDITION, CONDITION_2),
        coords={**(coords or {}), CONDITION: labels, CONDITION_2: labels},
        name="rdm",
        attrs={**(attrs or {}), "measure": measure, "normalisation": normalisation, "noise": noise},
    )
    return check_rdm(result, minimum=2)


def check_rdm(rdms: xr.DataArray, what: str = "rdm", *, minimum: int = 2) -> xr.DataArray:
    """The RDMs with dims (..., condition, condition_2) and labels on both; the input is not touched.

    Parameters
    ----------
    rdms : DataArray
        Dims in any order.
    what : str
        How errors call it.
    minimum : int
        Fewest conditions.

    Raises
    ------
    RecordingError
        Not square, not symmetric, a diagonal that is not 0, infinite values, labels that differ or repeat, too few
        conditions.

    Examples
    --------
    >>> import xarray as xr
    >>> check_rdm(xr.DataArray([[0.0, 1.0], [1.0, 0.0]], dims=("condition", "condition_2")))["condition_2"].values
    array([0, 1])
    """
    if not isinstance(rdms, xr.DataArray):
        raise RecordingError(f"{what}: RDMs as a DataArray", type(rdms).__name__, _FIX)
    if CONDITION not in rdms.dims or CONDITION_2 not in rdms.dims:
        raise RecordingError(f"{what}: dims (..., condition, condition_2)", f"{rdms.dims}", _FIX)
    n = rdms.sizes[CONDITION]
    if rdms.sizes[CONDITION_2] != n:
        raise RecordingError(f"{what}: square matrices", f"sizes {dict(rdms.sizes)}", _FIX)
    if n < minimum:
        raise RecordingError(f"{what}: {minimum} conditions or more", f"{n}", "there are no dissimilarities of fewer")
    labels = rdms[CONDITION].values
    again = rdms[CONDITION_2].values if CONDITION_2 in rdms.coords else labels
    if not np.array_equal(labels, again):
        raise RecordingError(f"{what}: the same labels along both dims", "labels that differ", _FIX)
    if len(set(labels.tolist())) < n:
        raise RecordingError(f"{what}: every condition once", "labels that repeat", "average their patterns first")
    rdms = rdms.transpose(..., CONDITION, CONDITION_2).assign_coords({CONDITION: labels, CONDITION_2: labels})
    values = np.asarray(rdms.values, dtype=np.float64)
    if np.isinf(values).any():
        raise RecordingError(f"{what}: finite dissimilarities, NaN where unknown", "infinite ones", "set them to NaN")
    if not np.allclose(values, np.swapaxes(values, -1, -2), rtol=1e-6, atol=1e-12, equal_nan=True):
        raise RecordingError(f"{what}: symmetric matrices", "one that is not", "average it with its transpose")
    diagonal = np.diagonal(values, axis1=-2, axis2=-1)
    if (np.abs(np.nan_to_num(diagonal)) > 1e-12).any():
        raise RecordingError(
            f"{what}: no dissimilarity of a condition with itself", "a diagonal other than 0", "set it to 0"
        )
    return rdms.astype(np.float64) if rdms.dtype != np.float64 else rdms


def to_vectors(rdms: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Upper triangles row by row, and the labels of the conditions.

    Parameters
    ----------
    rdms : DataArray (..., condition, condition_2)

    Returns
    -------
    float64 array (rdm, pair)
        A copy; leading dims are flattened, one RDM has one row. Pair (i, j), i < j: (0, 1), (0, 2), ..., (1, 2), ...
    array (condition,)

    Examples
    --------
    >>> to_vectors(make_rdm([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]], ["a", "b", "c"]))
    (array([[1., 2., 3.]]), array(['a', 'b', 'c'], dtype='<U1'))
    """
    checked = check_rdm(rdms)
    n = checked.sizes[CONDITION]
    rows, columns = np.triu_indices(n, 1)
    return checked.values.reshape(-1, n, n)[:, rows, columns], checked[CONDITION].values


def from_vectors(
    vectors: Any, condition: Any = None, *, like: xr.DataArray | None = None, **attrs: Any
) -> xr.DataArray:
    """RDMs from upper triangles.

    Parameters
    ----------
    vectors : array (pair,) or (rdm, pair)
    condition : array (condition,), optional
        Labels; default those of `like`, else 0, 1, ...
    like : DataArray (..., condition, condition_2), optional
        Takes leading dims, coordinates and attributes from these RDMs.
    **attrs
        Attributes, as measure, normalisation and noise.

    Examples
    --------
    >>> from_vectors([1.0, 2.0, 3.0], ["a", "b", "c"]).values.tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    flat = np.asarray(vectors, dtype=np.float64)
    single = flat.ndim == 1
    flat = np.atleast_2d(flat)
    n = int(round((1 + np.sqrt(1 + 8 * flat.shape[1])) / 2))
    if flat.ndim != 2 or n * (n - 1) // 2 != flat.shape[1]:
        raise OptionError("vectors of n (n - 1) / 2 pairs", f"shape {np.shape(vectors)}", "pass upper triangles")
    matrix = squares(flat, n)
    if like is not None:
        like = check_rdm(like)
        matrix = matrix.reshape(like.shape)
        result = like.copy(data=matrix)
        if condition is not None:
            result = result.assign_coords({CONDITION: np.asarray(condition), CONDITION_2: np.asarray(condition)})
        return result.assign_attrs(attrs)
    described = {name: attrs.pop(name) for name in ("measure", "normalisation", "noise") if name in attrs}
    return make_rdm(matrix[0] if single else matrix, condition, attrs=attrs, **described)


def squares(vectors: np.ndarray, n: int) -> np.ndarray:
    """Vectors (rdm, pair) as symmetric matrices (rdm, n, n) with zero diagonals."""
    rows, columns = np.triu_indices(n, 1)
    out = np.zeros((vectors.shape[0], n, n))
    out[:, rows, columns] = vectors
    out[:, columns, rows] = vectors
    return out


def align(rdms: Sequence[xr.DataArray], join: Literal["exact", "inner"] = "exact") -> list[xr.DataArray]:
    """RDMs whose conditions are the same ones in the same order, matched by label, never by place.

    Parameters
    ----------
    rdms : sequence of DataArray (..., condition, condition_2)
    join : {"exact", "inner"}
        ``exact`` refuses RDMs that lack conditions of others and names them; ``inner`` keeps the conditions that all
        have. There is no outer join: it would make up pairs that nobody measured.

    Returns
    -------
    list of DataArray
        In the order of the first.

    Examples
    --------
    >>> a = from_vectors([1.0, 2.0, 3.0], ["x", "y", "z"])
    >>> b = from_vectors([3.0, 2.0, 1.0], ["z", "y", "x"])
    >>> [one["condition"].values.tolist() for one in align([a, b])]
    [['x', 'y', 'z'], ['x', 'y', 'z']]
    """
    if join not in ("exact", "inner"):
        raise OptionError(
            "join 'exact' or 'inner'", f"{join!r}", "an outer join would make up pairs that nobody measured"
        )
    checked = [check_rdm(one, f"rdms[{k}]") for k, one in enumerate(rdms)]
    if not checked:
        raise OptionError("one RDM or more", "none", "pass a list of DataArrays")
    labels = [one[CONDITION].values.tolist() for one in checked]
    common = set(labels[0]).intersection(*map(set, labels[1:]))
    for k, own in enumerate(labels):
        if join == "exact" and set(own) != set(labels[0]):
            missing = sorted(map(str, set(labels[0]) - set(own)))
            extra = sorted(map(str, set(own) - set(labels[0])))
            raise RecordingError(
                f"rdms[{k}]: the same conditions as rdms[0]",
                "; ".join(
                    f"{verb} {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
                    for verb, names in (("lacks", missing), ("has also", extra))
                    if names
                ),
                "pass join='inner' to keep the conditions that all have",
            )
    wanted = [label for label in labels[0] if label in common]
    if len(wanted) < 2:
        raise RecordingError("two common conditions or more", f"{len(wanted)}", "check the labels")
    out = []
    for one, own in zip(checked, labels, strict=True):
        place = {label: k for k, label in enumerate(own)}
        order = np.array([place[label] for label in wanted])
        out.append(one.isel({CONDITION: order, CONDITION_2: order}))
    return out


# The public name: a lazy stub cannot rename.
align_rdms = align
