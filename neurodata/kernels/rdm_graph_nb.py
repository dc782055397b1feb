"""Shortest paths and minimum spanning trees of weighted graphs given as square matrices; infinite = no edge."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def shortest_paths(length: np.ndarray) -> None:
    """All-pairs shortest paths (Floyd-Warshall), in place; weights of 0 or above, 0 on the diagonal.

    Parameters
    ----------
    length : float64 array (graph, node, node)
        Symmetric.
    """
    n = length.shape[1]
    for g in range(length.shape[0]):
        d = length[g]
        for k in range(n):
            through = d[k]
            for i in range(n):
                start = d[i, k]
                # Nothing goes through a node that cannot be reached; also keeps the loop below free of branches.
                if start == np.inf:
                    continue
                row = d[i]
                for j in range(n):
                    other = start + through[j]
                    row[j] = other if other < row[j] else row[j]


@njit(cache=True)
def spanning_tree(weight: np.ndarray, edge: np.ndarray) -> int:
    """Edges of a minimum spanning forest (Prim).

    Parameters
    ----------
    weight : float64 array (node, node)
        Symmetric; the diagonal is not read.
    edge : int64 array (node - 1, 2)
        Written to.

    Returns
    -------
    int
        Number of edges; fewer than nodes - 1 when the graph is in parts.
    """
    n = weight.shape[0]
    best = np.full(n, np.inf)
    parent = np.full(n, -1)
    done = np.zeros(n, dtype=np.bool_)
    n_edges = 0
    for _ in range(n):
        node = -1
        for i in range(n):
            if not done[i] and (node < 0 or best[i] < best[node]):
                node = i
        done[node] = True
        # A node that no tree reaches starts a tree of its own.
        if parent[node] >= 0 and best[node] < np.inf:
            edge[n_edges, 0] = parent[node]
            edge[n_edges, 1] = node
            n_edges += 1
        for i in range(n):
            if not done[i] and weight[node, i] < best[i]:
                best[i] = weight[node, i]
                parent[i] = node
    return n_edges
