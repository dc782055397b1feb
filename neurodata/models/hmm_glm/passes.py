"""The rows of a regression, and passes over them, a chunk at a time: what one row is worth never leaves the cache.

Chunks are dealt out in a fixed number of turns, which run in threads where there are any and are added up in order:
results do not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from neurodata._core.parallel import one_blas_thread, usable_threads
from neurodata.kernels.poisson_nb import mean_of, weighted_terms, weighted_value

# Doubles of one chunk: its rows of the design matrix, and two values per row and unit.
_CHUNK_VALUES = 2**17
_FEWEST_ROWS, _MOST_ROWS = 512, 4096
# Turns that chunks are dealt out in, each with a sum of its own.
_TURNS = 8
# Rows are left out when fewer than this part of all are kept: the rest has to be copied.
_WORTH_LEAVING_OUT = 0.9


@dataclass(frozen=True)
class StateRows:
    """Rows that take part in one state's regressions."""

    columns: np.ndarray
    counts: np.ndarray
    weight: np.ndarray

    def at(self, chosen: np.ndarray) -> StateRows:
        """Copy of some of the rows."""
        columns = np.empty((len(chosen), self.columns.shape[1]))
        counts = np.empty((len(chosen), self.counts.shape[1]), dtype=self.counts.dtype)

        def copy(chunk: slice) -> None:
            columns[chunk], counts[chunk] = self.columns[chosen[chunk]], self.counts[chosen[chunk]]

        with Passes() as passes:
            passes.each(copy, len(chosen), _MOST_ROWS)
        return StateRows(columns, counts, self.weight[chosen])


def select_rows(columns: np.ndarray, counts: np.ndarray, gamma: np.ndarray, threshold: float) -> list[StateRows]:
    """Rows of each state with a posterior probability above `threshold`; the rest cost time and change nothing."""
    return [select_state(columns, counts, gamma[:, s], threshold) for s in range(gamma.shape[1])]


def select_state(columns: np.ndarray, counts: np.ndarray, weight: np.ndarray, threshold: float) -> StateRows:
    """The rows of one state; `weight` (row,) is its posterior probability."""
    rows = StateRows(columns, counts, np.ascontiguousarray(weight))
    keep = np.flatnonzero(weight > threshold)
    return rows if len(keep) > _WORTH_LEAVING_OUT * len(columns) else rows.at(keep)


def stretched(n_rows: int, n: int) -> np.ndarray:
    """Numbers of `n` rows, one at random from each of as many stretches, always the same; all when there are no more.

    Examples
    --------
    >>> stretched(3, 5).tolist()
    [0, 1, 2]
    """
    if n >= n_rows:
        return np.arange(n_rows)
    edges = np.linspace(0, n_rows, n + 1)
    return (edges[:-1] + np.random.default_rng(0).random(n) * np.diff(edges)).astype(int)


class Passes:
    """Passes over `StateRows`, in as many threads as BLAS may use; a context manager.

    Inside, BLAS itself has one thread if there are several.
    """

    def __enter__(self) -> Passes:
        self._stack = contextlib.ExitStack()
        self._pool: ThreadPoolExecutor | None = None
        n_threads = usable_threads()
        if n_threads > 1:
            self._stack.enter_context(one_blas_thread())
            self._pool = self._stack.enter_context(ThreadPoolExecutor(n_threads))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def each(self, do: Callable[[slice], None], n_rows: int, chunk: int) -> None:
        """Call `do` on every chunk."""

        def turn(slices: list[slice]) -> None:
            for one in slices:
                do(one)

        list(self._map(turn, _dealt(n_rows, chunk)))

    def summed(self, term: Callable[[slice], tuple[np.ndarray, ...]], n_rows: int, chunk: int) -> list[np.ndarray]:
        """Sums, over chunks, of the arrays that `term` gives."""

        def turn(slices: list[slice]) -> list[np.ndarray]:
            total = list(term(slices[0]))
            for one in slices[1:]:
                for array, more in zip(total, term(one), strict=True):
                    array += more
            return total

        total: list[np.ndarray] = []
        for part in self._map(turn, _dealt(n_rows, chunk)):
            if total:
                for array, more in zip(total, part, strict=True):
                    array += more
            else:
                total = part
        return total

    def _map(self, turn: Callable, turns: list[list[slice]]) -> Iterator:
        return map(turn, turns) if self._pool is None else self._pool.map(turn, turns)

    def derivatives(self, rows: StateRows, theta: np.ndarray, link: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted log-likelihood by unit, its gradient (column, unit), and the curvature of each row (row, unit).

        The curvature only says which way to go, so seven digits of it are kept.
        """
        fisher = np.empty((len(rows.columns), theta.shape[1]), dtype=np.float32)

        def term(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
            columns = rows.columns[chunk]
            eta = columns @ theta
            slope = np.empty_like(eta)
            mean, counts = mean_of(eta, link), rows.counts[chunk]
            value = weighted_terms(eta, mean, counts, rows.weight[chunk], link, slope, fisher[chunk])
            return value, columns.T @ slope

        value, gradient = self.summed(term, len(fisher), _chunk(theta))
        return value, gradient, fisher

    def curved(self, rows: StateRows, fisher: np.ndarray, vector: np.ndarray, units: np.ndarray | slice) -> np.ndarray:
        """``X' (fisher * (X vector))`` of the given units, (column, unit), in single precision but for the sums."""
        size = np.maximum(np.abs(vector).max(axis=0), 1e-300)
        single = (vector / size).astype(np.float32)

        def term(chunk: slice) -> tuple[np.ndarray]:
            columns = rows.columns[chunk].astype(np.float32)
            image = columns @ single
            image *= fisher[chunk, units]
            return ((columns.T @ image).astype(np.float64),)

        return size * self.summed(term, len(fisher), _chunk(vector))[0]

    def gram(self, rows: StateRows, chosen: np.ndarray) -> np.ndarray:
        """``X' diag(weight) X`` of the chosen rows, scaled up to the weight of all."""

        def term(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
            columns, weight = rows.columns[chosen[chunk]], rows.weight[chosen[chunk]]
            return columns.T @ (columns * weight[:, None]), weight.sum(keepdims=True)

        gram, weight = self.summed(term, len(chosen), _FEWEST_ROWS)
        return gram * (rows.weight.sum() / (weight[0] + 1e-12))

    def value(self, rows: StateRows, theta: np.ndarray, link: int, units: np.ndarray | slice) -> np.ndarray:
        """Weighted log-likelihood of the given units, whose coefficients (column, unit) are `theta`."""

        def term(chunk: slice) -> tuple[np.ndarray]:
            eta = rows.columns[chunk] @ theta
            counts = np.ascontiguousarray(rows.counts[chunk][:, units])
            return (weighted_value(eta, mean_of(eta, link), counts, rows.weight[chunk], link),)

        return self.summed(term, len(rows.columns), _chunk(theta))[0]


def _chunk(theta: np.ndarray) -> int:
    n_columns, n_units = theta.shape
    return min(max(_CHUNK_VALUES // (n_columns + 2 * n_units), _FEWEST_ROWS), _MOST_ROWS)


def _dealt(n_rows: int, chunk: int) -> list[list[slice]]:
    """Slices of at most `chunk` rows in at most `_TURNS` lists, neighbours together; one empty slice for no rows."""
    slices = [slice(a, min(a + chunk, n_rows)) for a in range(0, n_rows, chunk)] or [slice(0, 0)]
    per_turn = -(-len(slices) // _TURNS)
    return [slices[a : a + per_turn] for a in range(0, len(slices), per_turn)]
