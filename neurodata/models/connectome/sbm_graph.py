"""Weighted graphs as they come - labelled, plain or sparse matrices - as lists of links by node, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import sparse

from neurodata.errors import RecordingError

# Halves of a matrix may differ by so much, relative to the largest weight, before it is called asymmetric.
_SYMMETRY = 1e-8


class Links(NamedTuple):
    """An undirected weighted graph without self-loops.

    Attributes
    ----------
    start : array (node + 1,)
        Where the links of each node begin.
    neighbour, weight : array (2 link,)
        Each link from both sides, by node.
    dim : str
        Name of the nodes' dim.
    coords : dict
        Coordinates along it.
    """

    start: np.ndarray
    neighbour: np.ndarray
    weight: np.ndarray
    dim: str
    coords: dict[str, Any]

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.start.size - 1

    @property
    def degree(self) -> np.ndarray:
        """Links of each node."""
        return np.diff(self.start)


def read_links(data: Any, family: str) -> Links:
    """The graph of a symmetric matrix of weights, 0 where there is no link; the diagonal is left out.

    Parameters
    ----------
    data : DataArray (x, x_2), array or SciPy sparse
    family : str
        "poisson" asks for whole numbers.

    Examples
    --------
    >>> links = read_links(np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.5], [0.0, 0.5, 0.0]]), "lognormal")
    >>> links.degree, links.weight, links.dim
    (array([1, 2, 1]), array([2. , 2. , 0.5, 0.5]), 'unit')
    """
    matrix, dim, coords = _matrix(data)
    rows, columns, weight = matrix.row, matrix.col, matrix.data.astype(np.float64)
    n = matrix.shape[0]
    problems = []
    if np.isnan(weight).any():
        bad = np.unique(rows[np.isnan(weight)])
        problems.append(f"NaN in the rows of {_named(bad, coords.get(dim))}")
    if np.isinf(weight).any():
        problems.append(f"infinite weights in the rows of {_named(np.unique(rows[np.isinf(weight)]), coords.get(dim))}")
    if (weight < 0).any():
        problems.append(f"{int((weight < 0).sum())} negative weights, the least {np.nanmin(weight):.4g}")
    if problems:
        raise RecordingError(
            "finite weights of at least 0, 0 where there is no link",
            "; ".join(problems),
            "leave out nodes that were not observed; split signed weights, or pass their absolute values",
        )
    compact = sparse.csr_array((weight, (rows, columns)), shape=(n, n))
    compact.sum_duplicates()
    difference = abs(compact - compact.T)
    largest = float(weight.max()) if weight.size else 0.0
    if difference.nnz and difference.max() > _SYMMETRY * largest:
        raise RecordingError(
            "a symmetric matrix",
            f"halves that differ by up to {difference.max():.4g}",
            "pass (W + W.T) / 2, or the half that is meant",
        )
    compact = sparse.csr_array((compact + compact.T) * 0.5)
    compact = compact.tocoo()
    keep = (compact.row != compact.col) & (compact.data > 0)
    rows, columns, weight = compact.row[keep], compact.col[keep], compact.data[keep]
    if weight.size == 0:
        raise RecordingError("a graph with links", f"{n} nodes and no weight above 0", "check what was passed")
    if family == "poisson" and not np.all(weight == np.round(weight)):
        raise RecordingError(
            "whole numbers as weights, for family='poisson'", "fractions", "pass counts, or family='lognormal'"
        )
    order = np.lexsort((columns, rows))
    start = np.searchsorted(rows[order], np.arange(n + 1)).astype(np.int64)
    return Links(start, columns[order].astype(np.int64), weight[order], dim, coords)


def _matrix(data: Any) -> tuple[Any, str, dict[str, Any]]:
    if sparse.issparse(data):
        if data.shape[0] != data.shape[1]:
            raise RecordingError("a square matrix", f"shape {data.shape}", "pass weights of nodes by the same nodes")
        return sparse.coo_array(data), "unit", {"unit": np.arange(data.shape[0])}
    if isinstance(data, xr.DataArray):
        if data.ndim != 2 or data.shape[0] != data.shape[1]:
            raise RecordingError(
                "weights (x, x_2), as many rows as columns",
                f"dims {data.dims} of sizes {data.shape}",
                "choose one matrix, e.g. with .isel()",
            )
        dim, other = (str(name) for name in data.dims)
        if dim in data.coords and other in data.coords and not np.array_equal(data[dim].values, data[other].values):
            raise RecordingError(
                f"the same labels on {dim!r} and {other!r}", "different ones", f"reorder by data.sel({other}=...)"
            )
        coords: dict[str, Any] = {str(name): c for name, c in data.coords.items() if c.dims == (dim,)}
        if dim not in coords:
            coords[dim] = np.arange(data.shape[0])
        labels = np.asarray(coords[dim])
        if len(np.unique(labels)) != len(labels):
            raise RecordingError(f"different labels along {dim!r}", "repeated ones", "give each node its own label")
        return sparse.coo_array(np.asarray(data.values, dtype=np.float64)), dim, coords
    if isinstance(data, np.ndarray):
        if data.ndim != 2 or data.shape[0] != data.shape[1]:
            raise RecordingError("a square matrix", f"shape {data.shape}", "pass weights of nodes by the same nodes")
        return sparse.coo_array(np.asarray(data, dtype=np.float64)), "unit", {"unit": np.arange(data.shape[0])}
    raise RecordingError(
        "a DataArray (x, x_2), a NumPy array or a SciPy sparse matrix", type(data).__name__, "convert it to one of them"
    )


def _named(index: np.ndarray, labels: Any) -> str:
    names = index if labels is None else np.asarray(labels)[index]
    text = ", ".join(str(name) for name in names[:5].tolist())
    return text + (f" and {len(index) - 5} more" if len(index) > 5 else "")
