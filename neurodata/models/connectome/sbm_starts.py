"""Where chains of the weighted stochastic block model start: one group, and clusters of spectral embeddings."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from neurodata.models.connectome.sbm_prior import Problem

# Groups of the spectral starts, in turn, of links beyond those expected and of the weights' residuals; 0: as many as
# eigenvalues stand out.
_PLAN = (
    (0, "link"),
    (4, "weight"),
    (4, "link"),
    (2, "weight"),
    (7, "weight"),
    (2, "link"),
    (6, "link"),
    (10, "weight"),
)
# Largest graph whose eigenvectors are worked out with a dense matrix.
_DENSE = 400
# By how much an eigenvalue must exceed the largest of a graph without groups.
_BEYOND = 1.05


def starts(problem: Problem, n_starts: int, most_groups: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Partitions: one group, which annealing takes apart, then clusters."""
    n = problem.graph.kind.size
    found = [np.zeros(n, dtype=np.int64)]
    for k in range(n_starts - 1):
        n_groups, what = _PLAN[k % len(_PLAN)]
        found.append(_embedded(problem, n_groups, min(most_groups, n - 1), what, rng) if n > 2 else found[0])
    return found[:n_starts]


def _embedded(problem: Problem, n_groups: int, most: int, what: str, rng: np.random.Generator) -> np.ndarray:
    from sklearn.cluster import KMeans

    graph = problem.graph
    n = graph.kind.size
    degree = np.diff(graph.start).astype(float)
    row = np.repeat(np.arange(n), np.diff(graph.start))
    if what == "weight":
        operator = sparse.csr_array((problem.residual, (row, graph.neighbour)), shape=(n, n))
    else:
        links = sparse.csr_array((np.ones(row.size), (row, graph.neighbour)), shape=(n, n))
        scale = 1.0 / np.sqrt(degree + degree.mean())
        # The normalised matrix less its trivial part.
        trivial = degree * scale / np.sqrt(degree.sum())
        operator = _Deflated(sparse.diags_array(scale) @ links @ sparse.diags_array(scale), trivial)
    if n <= _DENSE:
        value, vector = np.linalg.eigh(operator.toarray())
    else:
        from scipy.sparse.linalg import LinearOperator, eigsh

        linear = LinearOperator((n, n), matvec=lambda x: operator @ x, dtype=np.float64)
        value, vector = eigsh(linear, k=max(n_groups, most), which="LM", v0=rng.standard_normal(n))
    if n_groups == 0:
        n_groups = 1 + int((value > _BEYOND / np.sqrt(degree.mean())).sum())
    n_groups = min(max(n_groups, 2), most)
    if n_groups < 2:
        return np.zeros(n, dtype=np.int64)
    order = np.argsort(-np.abs(value) if what == "weight" else -value)[:n_groups]
    means = KMeans(n_groups, n_init=1, random_state=int(rng.integers(2**31)))
    return means.fit_predict(vector[:, order] * np.abs(value[order])).astype(np.int64)


class _Deflated:
    """A sparse matrix less the outer product of a vector with itself."""

    def __init__(self, matrix: sparse.csr_array, vector: np.ndarray) -> None:
        self.matrix, self.vector = matrix, vector

    def toarray(self) -> np.ndarray:
        return self.matrix.toarray() - np.outer(self.vector, self.vector)

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        return self.matrix @ x - self.vector * (self.vector @ x)
