"""Geodesic transform of RDMs: shortest paths over the short dissimilarities."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.rdm_graph_nb import shortest_paths, spanning_tree
from neurodata.models.trsa.rdm import check_rdm, squares, to_vectors
from neurodata.models.trsa.transforms import (
    check_quantiles,
    geo_topological_vectors,
    min_max,
    scaled_ranks,
    with_values,
)

GRAPHS = ("two-step", "p-shortest", "union-knn", "mutual-knn")
DISCONNECTED = ("nan", "max", "bridge", "raise")


def geodesic(
    rdm: xr.DataArray,
    graph: str = "two-step",
    *,
    lower: float = 0.0,
    upper: float = 1.0,
    share: float | None = None,
    n_neighbours: int | None = None,
    rank: bool = False,
    disconnected: str = "nan",
) -> xr.DataArray:
    """Lengths of shortest paths between conditions over a graph of their short dissimilarities [1]_.

    Parameters
    ----------
    rdm : DataArray (..., condition, condition_2)
        Not changed. NaN = no edge.
    graph : {"two-step", "p-shortest", "union-knn", "mutual-knn"}
        Which edges there are:

        - ``two-step``: the geo-topological transform with `lower` and `upper` first; edges that it sets to 1 are cut,
          those that it sets to 0 stay, with length 0. ``(0, 1)`` cuts the largest dissimilarity only.
        - ``p-shortest``: the `share` of the shortest edges.
        - ``union-knn``, ``mutual-knn``: edges to the `n_neighbours` nearest conditions of either end, or of both.

        Lengths are the dissimilarities scaled to 0..1 per RDM, transformed for ``two-step``.
    lower, upper : float
        Quantiles for ``two-step``.
    share : float
        For ``p-shortest``: quantile, above 0 and up to 1.
    n_neighbours : int
        For the graphs of neighbours. Equal distances at the last place all count.
    rank : bool
        Average ranks instead of dissimilarities.
    disconnected : {"nan", "max", "bridge", "raise"}
        What pairs without a path get: NaN; the longest path of the RDM; paths over the fewest and shortest edges that
        join the parts; or an error.

    Returns
    -------
    DataArray (..., condition, condition_2)
        Attrs: normalisation ``geodesic``, and the settings; `n_disconnected`, the pairs without a path of their own.

    Raises
    ------
    RecordingError
        Pairs without a path, where asked for.
    OptionError
        Settings that make no sense.

    References
    ----------
    .. [1] B. Lin, N. Kriegeskorte, "The topology and geometry of neural representations", arXiv:2309.11028,
       doi:10.48550/arXiv.2309.11028.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> place = np.array([0.0, 1.0, 2.0, 4.0])
    >>> line = nd.models.make_rdm(np.abs(place[:, None] - place))
    >>> nd.models.geodesic(line, "union-knn", n_neighbours=1).round(3).values[0].tolist()
    [0.0, 0.0, 0.0, 0.333]
    """
    _check(graph, lower, upper, share, n_neighbours, disconnected)
    checked = check_rdm(rdm)
    n = checked.sizes["condition"]
    vectors, _ = to_vectors(checked)
    scaled = scaled_ranks(vectors) if rank else min_max(vectors)
    if graph == "two-step":
        length = geo_topological_vectors(vectors, lower, upper, rank)
        kept = length < 1.0
    elif graph == "p-shortest":
        length = scaled
        kept = scaled <= _row_quantile(scaled, float(share or 0.0))
    else:
        length = scaled
        kept = _neighbours(scaled, n, int(n_neighbours or 0), mutual=graph == "mutual-knn")
    paths, n_lost = _paths(vectors, length, kept, n, disconnected)
    options: dict[str, dict[str, Any]] = {
        "two-step": {"lower": lower, "upper": upper},
        "p-shortest": {"share": share},
    }
    settings = options.get(graph, {"n_neighbours": n_neighbours})
    rows, columns = np.triu_indices(n, 1)
    return with_values(
        checked,
        paths[:, rows, columns],
        "geodesic",
        normalisation="geodesic",
        graph=graph,
        rank=rank,
        disconnected=disconnected,
        n_disconnected=n_lost,
        **settings,
    )


def _check(
    graph: str, lower: float, upper: float, share: float | None, n_neighbours: int | None, disconnected: str
) -> None:
    if graph not in GRAPHS:
        raise OptionError(f"graph among {', '.join(GRAPHS)}", f"{graph!r}", "choose one of them")
    if disconnected not in DISCONNECTED:
        raise OptionError(f"disconnected among {', '.join(DISCONNECTED)}", f"{disconnected!r}", "choose one of them")
    if graph == "two-step":
        check_quantiles(lower, upper)
    if (share is not None) != (graph == "p-shortest") or (n_neighbours is not None) != graph.endswith("knn"):
        raise OptionError(
            "share= for 'p-shortest', n_neighbours= for the graphs of neighbours, and neither for 'two-step'",
            f"graph={graph!r}, share={share}, n_neighbours={n_neighbours}",
            "pass what the graph needs",
        )
    if share is not None and not 0.0 < share <= 1.0:
        raise OptionError("a share above 0 and up to 1", f"{share}", "0.3 keeps the shortest 30 %")
    if n_neighbours is not None and (n_neighbours < 1 or int(n_neighbours) != n_neighbours):
        raise OptionError("n_neighbours of 1 or more", f"{n_neighbours}", "pass a whole number")


def _row_quantile(values: np.ndarray, share: float) -> np.ndarray:
    out = np.full((len(values), 1), np.nan)
    for k, row in enumerate(values):
        known = row[np.isfinite(row)]
        if known.size:
            out[k] = np.quantile(known, share)
    return out


def _neighbours(scaled: np.ndarray, n: int, k: int, mutual: bool) -> np.ndarray:
    """Which pairs (rdm, pair) are neighbours."""
    square = squares(np.where(np.isnan(scaled), np.inf, scaled), n)
    index = np.arange(n)
    square[:, index, index] = np.inf
    reach = np.sort(square, axis=2)[:, :, min(k, n - 1) - 1]
    near = (square <= reach[:, :, None]) & np.isfinite(square)
    both = near & np.swapaxes(near, 1, 2) if mutual else near | np.swapaxes(near, 1, 2)
    rows, columns = np.triu_indices(n, 1)
    return both[:, rows, columns]


def _paths(
    vectors: np.ndarray, length: np.ndarray, kept: np.ndarray, n: int, disconnected: str
) -> tuple[np.ndarray, int]:
    """Shortest paths (rdm, n, n) over the kept edges, and how many pairs have none."""
    paths = squares(np.where(kept, length, np.inf), n)
    shortest_paths(paths)
    lost = np.isinf(paths)
    n_lost = int(lost.sum()) // 2
    if not n_lost:
        return paths, 0
    if disconnected == "raise":
        raise RecordingError(
            "a graph that connects all conditions",
            f"{n_lost} pairs without a path",
            "keep more edges, or pass disconnected='bridge', 'max' or 'nan'",
        )
    if disconnected == "bridge":
        for k in np.flatnonzero(lost.any(axis=(1, 2))):
            edges = kept[k] | _bridges(vectors[k], kept[k], n)
            paths[k] = squares(np.where(edges, length[k], np.inf)[None], n)[0]
        shortest_paths(paths)
        lost = np.isinf(paths)
    if disconnected == "max":
        largest = np.where(lost, -np.inf, paths).max(axis=(1, 2))
        paths = np.where(lost, largest[:, None, None], paths)
    else:
        # Also what no edge at all could bridge, because its dissimilarities are unknown.
        paths[lost] = np.nan
    return paths, n_lost


def _bridges(vector: np.ndarray, kept: np.ndarray, n: int) -> np.ndarray:
    """The cut edges (pair,) of the spanning tree that has as many kept edges as can be."""
    known = np.isfinite(vector)
    # Edges that are kept come before all others, whatever their lengths.
    order = np.where(kept, -1.0, vector - np.fmin.reduce(vector))
    square = squares(np.where(known, order, np.inf)[None], n)[0]
    edge = np.empty((n - 1, 2), dtype=np.int64)
    n_edges = spanning_tree(square, edge)
    edge = np.sort(edge[:n_edges], axis=1)
    place = squares(np.arange(vector.size, dtype=np.float64)[None], n)[0].astype(np.int64)
    used = np.zeros(vector.size, dtype=bool)
    used[place[edge[:, 0], edge[:, 1]]] = True
    return used & ~kept
