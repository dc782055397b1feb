"""The algorithm of NonnegativeCP: two products with the data per sweep, coordinate descent, extrapolation, restart."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from neurodata._core.parallel import usable_threads
from neurodata._core.progress import Progress, Silent
from neurodata.kernels import ntf_nb as kernel
from neurodata.kernels import ntf_pairs_nb as pairs
from neurodata.models.connectome import smooth
from neurodata.models.connectome.balance import balance
from neurodata.models.connectome.problem import Problem, Stretch, blocks

# Rows that one thread works on, about; fixed, so that sums have the same order with any number of threads. Beyond
# these, column products are added up in float64.
_LANE = 512
# Multiply-adds of a product below which threads do not pay.
_WORTH_THREADS = 1e7
# Extrapolation: first weight, its growth, that of its ceiling, and how it shrinks when the loss rises.
_BETA, _GROWTH, _CEILING_GROWTH, _SHRINK = 0.5, 1.05, 1.01, 1.5
# A rise of the loss, relative to the squared norm of the data, that rounding explains.
_ROUNDING = {"f": 5e-7, "d": 1e-13}
# A residual this many times the last one says that momentum carries the factors past the minimum.
_OVERSHOT = 1.5
# The residual of columns is found exactly below this many times the tolerance.
_EXACT = 30.0
# Residual of extrapolated rows over the tolerance from which on it is worth to look without extrapolation.
_INFLATED = 10.0


@dataclass(frozen=True)
class Penalty:
    """Weights of penalties, relative to the squared norm of the data."""

    sparsity: tuple[float, ...]  # of each mode, rows last
    ridge: tuple[float, ...]
    smoothness: float = 0.0


@dataclass
class Fit:
    """Where a fit ended: loadings of rows and stacked loadings of the other modes, and how it got there."""

    rows: np.ndarray
    loading: np.ndarray
    loss: list[float]
    kkt: list[float]
    converged: bool = False
    error: float = np.nan


@dataclass
class Sweep:
    """What one pass over the data gives."""

    rows: np.ndarray  # updated
    ahead: np.ndarray  # extrapolated
    data: np.ndarray  # (column, component): products with `ahead`
    residual: float  # of the rows that went in


@dataclass
class Columns:
    """Updated loadings of all modes but the rows', and how good all are."""

    loading: np.ndarray
    loss: float
    error: float  # squared, relative to the squared norm of the data
    residual: float
    scale: np.ndarray | None  # by which factors (mode, rows last; component) were multiplied


def fit(
    problem: Problem,
    loading: np.ndarray,
    rows: np.ndarray | None,
    penalty: Penalty,
    *,
    max_iter: int,
    tol: float,
    cycles: int = 3,
    progress: Progress | None = None,
) -> Fit:
    """Descend from a start until the conditions of Karush, Kuhn and Tucker hold.

    Parameters
    ----------
    problem : Problem
    loading : array (entry, component)
        Stacked loadings of all modes but that of rows.
    rows : array (row, component), optional
    penalty : Penalty
    max_iter : int
        Passes over the data.
    tol : float
        Largest natural residual relative to the products with the data, over modes.
    cycles : int
        Coordinate-descent cycles per row.

    Notes
    -----
    Each accepted state has a loss no larger than the one before. A state that was extrapolated from and has a larger
    one is thrown away, the step is taken again without extrapolation, and later ones are shorter (Ang & Gillis 2019,
    doi:10.1162/neco_a_01157; Ang et al. 2020).
    """
    progress = progress or Silent()
    n_components = loading.shape[1]
    rows = np.zeros((problem.n_rows, n_components)) if rows is None else rows
    state = Fit(rows, loading, [], [])
    ahead, rows_before, beta, ceiling, step = loading, rows, _BETA, 1.0, 0.0
    previous = np.inf
    slack = _ROUNDING[problem.dtype.char]
    columns_kkt, level, plain = 0.0, tol, 0
    with ExitStack() as stack:
        pool = _pool(problem, n_components, stack)
        for iteration in range(max_iter):
            sweep = _pass(problem, ahead, state.rows, rows_before, step, penalty, cycles, pool)
            kkt = max(columns_kkt, sweep.residual)
            if kkt < tol and step == 0.0 and iteration > 1:
                state.kkt.append(kkt)
                state.loss.append(previous)
                state.converged = True
                break
            found = _update_columns(problem, ahead, sweep, penalty, cycles, _EXACT * tol)
            rose = found.loss > previous + slack
            if rose and step == 0.0 and np.isfinite(previous):
                break  # without extrapolation only rounding can do this
            state.kkt.append(kkt)
            if rose:
                state.loss.append(previous)
                ceiling, beta = step, step / _SHRINK
                ahead, rows_before, step = state.loading, state.rows, 0.0
                continue
            old = state.loading
            if found.scale is not None:  # steps are taken between factors of one scale
                old = old * np.repeat(found.scale[:-1], [m.last - m.first for m in problem.modes], axis=0)
            last = state.kkt[-2] if len(state.kkt) > 1 else np.inf
            state.loading, state.rows, state.error = found.loading, sweep.ahead, found.error
            columns_kkt = found.residual
            previous = min(found.loss, previous)
            state.loss.append(previous)
            rows_before = sweep.rows
            overshot = kkt > _OVERSHOT * last
            if plain:
                plain -= 1
            elif columns_kkt < level and sweep.residual < _INFLATED * level:
                # Extrapolated rows are off by the step; the second sweep without one shows how near the minimum is.
                plain, level = 2, max(0.2 * tol, 0.8 * level)
            if iteration == 0 or plain or overshot:
                if overshot and step > 0.0:
                    ceiling, beta = step, step / _SHRINK
                step, ahead = 0.0, found.loading
            else:
                if step > 0.0:
                    ceiling = min(1.0, ceiling * _CEILING_GROWTH)
                    beta = min(ceiling, beta * _GROWTH)
                step = beta
                ahead = np.maximum(0.0, found.loading + step * (found.loading - old))
            progress.update(1, f"{previous:.4g}")
    return state


def _pool(problem: Problem, n_components: int, stack: ExitStack) -> Executor | None:
    threads = usable_threads()
    if threads == 1 or float(problem.n_rows) * problem.n_columns * n_components < _WORTH_THREADS:
        return None
    return stack.enter_context(ThreadPoolExecutor(threads))


def _pass(
    problem: Problem,
    loading: np.ndarray,
    rows: np.ndarray,
    rows_before: np.ndarray,
    step: float,
    penalty: Penalty,
    cycles: int,
    pool: Executor | None,
) -> Sweep:
    """Update the rows' loadings, and gather the column products with them extrapolated.

    One pass over the data: while a block of rows is in the cache, its rows are updated and their products taken. A
    penalty on roughness ties all rows together, and needs two passes.
    """
    n_components = loading.shape[1]
    product = row_weights(problem, loading)
    gram = row_grams(problem, loading)
    out, ahead = rows.copy(), np.empty_like(rows)
    total = np.zeros((problem.n_columns, n_components))
    norm = np.sqrt(problem.square)
    sparsity, ridge, smoothness = penalty.sparsity[-1], penalty.ridge[-1], penalty.smoothness
    targets = np.zeros((problem.n_rows, len(product))) if smoothness else None

    def extrapolate(q: slice) -> None:
        np.maximum(0.0, out[q] + step * (out[q] - rows_before[q]), out=ahead[q])

    def lane(
        stretch: Stretch, products: list[np.ndarray], first: int, last: int, forward: bool, back: bool
    ) -> tuple[list[np.ndarray], np.ndarray]:
        sums = np.zeros(2)
        gathered = [np.zeros_like(one) for one in products] if back else []
        for a, z in blocks(stretch, first, last, stretch.block_rows):
            q = slice(stretch.offset + a, stretch.offset + z)
            data = [part.read(stretch.first + a, stretch.first + z) for part in stretch.parts]
            if forward:
                target = np.zeros((z - a, len(product))) if targets is None else targets[q]
                for values, one in zip(data, products, strict=True):
                    kernel.add_row_products(values, one, target)
                target /= norm
                if targets is None:
                    kernel.update_rows(target, gram, problem.row_group[q], out[q], sparsity, ridge, cycles, sums)
                    extrapolate(q)
            if back:
                weight = np.zeros((z - a, len(product)), dtype=problem.dtype)
                weight[:, :n_components] = ahead[q]
                for values, one in zip(data, gathered, strict=True):
                    kernel.add_column_products(values, weight, one)
        return gathered, sums

    def over_lanes(forward: bool, back: bool) -> np.ndarray:
        sums = np.zeros(2)
        for stretch in problem.stretches:
            products = [np.ascontiguousarray(product[:, part.columns]) for part in stretch.parts]
            size = stretch.block_rows * -(-_LANE // stretch.block_rows)  # whole blocks
            lanes = [(stretch, products, a, z, forward, back) for a, z in blocks(stretch, size=size)]
            for gathered, own in (pool.map if pool else map)(lane, *zip(*lanes, strict=True)):
                sums += own
                for part, one in zip(stretch.parts, gathered, strict=False):
                    total[part.columns] += one[:n_components].T
        return sums

    if targets is None:
        sums = over_lanes(True, True)
    else:
        over_lanes(True, False)
        sums = np.zeros(2)
        weights = (smoothness, sparsity, ridge)
        smooth.update(targets, gram, problem.row_group, out, problem.smooth, weights, sums)
        extrapolate(slice(None))
        over_lanes(False, True)
    total /= norm
    return Sweep(out, ahead, total, _relative(sums))


def row_weights(problem: Problem, loading: np.ndarray) -> np.ndarray:
    """Products of the loadings of each column (component, column), in the data's type, components padded with 0."""
    padded = -(-loading.shape[1] // kernel.COMPONENTS) * kernel.COMPONENTS
    product = np.zeros((padded, problem.n_columns), dtype=problem.dtype)
    kernel.column_products(loading, problem.index, product)
    return product


def row_grams(problem: Problem, loading: np.ndarray) -> np.ndarray:
    """Grams of the columns observed in each class of rows (class, component, component)."""
    grams = np.zeros((problem.observed.shape[1], loading.shape[1], loading.shape[1]))
    if problem.complete:
        pairs.pair_gram(loading, grams[0])
    else:
        kernel.class_grams(loading, problem.index, problem.column_group, grams)
    return np.ascontiguousarray(np.tensordot(problem.observed, grams, axes=1))


def _update_columns(
    problem: Problem, loading: np.ndarray, sweep: Sweep, penalty: Penalty, cycles: int, exact_below: float
) -> Columns:
    """Update the loadings of all modes but the rows'. Scale may move into and out of the rows of the sweep."""
    loading = loading.copy()
    rows = sweep.ahead
    of_rows = np.zeros((problem.observed.shape[0], rows.shape[1], rows.shape[1]))
    kernel.class_grams(rows, problem.row_index, problem.row_group, of_rows)
    gram = np.ascontiguousarray(np.tensordot(problem.observed.T, of_rows, axes=1))

    unpacked = np.zeros((len(loading), rows.shape[1], len(loading))) if problem.complete else None
    if unpacked is not None:
        pairs.unpack(sweep.data, problem.index, unpacked)

    def each(n_cycles: int) -> float:
        worst = 0.0
        for mode, sparsity, ridge in zip(problem.modes, penalty.sparsity, penalty.ridge, strict=False):
            sums = np.zeros(2)
            if unpacked is not None:
                pairs.update_units(loading, unpacked, gram[0], sparsity, ridge, n_cycles, sums)
            else:
                kernel.update_mode(
                    mode.first,
                    mode.last,
                    loading,
                    problem.index,
                    problem.start,
                    problem.column,
                    sweep.data,
                    gram,
                    problem.column_group,
                    sparsity,
                    ridge,
                    n_cycles,
                    sums,
                )
            worst = max(worst, _relative(sums))
        return worst

    each(cycles)
    residual = each(cycles)  # of entries as they were met: more than what is left, far from the minimum all that counts
    scale = None
    if any(penalty.sparsity) or any(penalty.ridge) or penalty.smoothness:
        scale = _balanced(problem, loading, rows, penalty)
        for mode, own in zip(problem.modes, scale, strict=False):
            loading[mode.first : mode.last] *= own
        rows *= scale[-1]
        sweep.rows *= scale[-1]
        sweep.data *= scale[-1]
        gram *= scale[-1][:, None] * scale[-1]
        if unpacked is not None:
            unpacked *= scale[-1][:, None]
    if scale is not None or residual < exact_below:
        residual = each(0)
    if unpacked is not None:
        inner, square = pairs.model_sums(loading, unpacked, gram[0])
    else:
        inner, square = kernel.model_sums(loading, problem.index, sweep.data, gram, problem.column_group)
    error = max(0.0, 1.0 - 2.0 * inner + square)
    linear, quadratic = _weighted_sums(problem, loading, rows, penalty)
    loss = 0.5 * error + linear.sum() + 0.5 * quadratic.sum()
    return Columns(loading, float(loss), float(error), residual, scale)


def _weighted_sums(
    problem: Problem, loading: np.ndarray, rows: np.ndarray, penalty: Penalty
) -> tuple[np.ndarray, np.ndarray]:
    """Penalties of each factor and component, of degree one and two in the factor's scale."""
    factors = [loading[mode.first : mode.last] for mode in problem.modes] + [rows]
    linear = np.array([w * one.sum(axis=0) for w, one in zip(penalty.sparsity, factors, strict=True)])
    quadratic = np.array([w * (one**2).sum(axis=0) for w, one in zip(penalty.ridge, factors, strict=True)])
    if penalty.smoothness:
        bend = (rows[:-2] - 2.0 * rows[1:-1] + rows[2:])[problem.smooth[1:-1]]
        quadratic[-1] += penalty.smoothness * (bend**2).sum(axis=0)
    return linear, quadratic


def _balanced(problem: Problem, loading: np.ndarray, rows: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Scales of each factor and component that make the penalties least."""
    one = problem.index[0]
    power = np.array([sum(m.first <= k < m.last for k in one) for m in problem.modes] + [1])
    return balance(*_weighted_sums(problem, loading, rows, penalty), power)


def _relative(sums: np.ndarray) -> float:
    return float(np.sqrt(sums[0] / sums[1])) if sums[1] > 0 else 0.0
