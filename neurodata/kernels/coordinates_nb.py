"""New coordinates for the latent space of a cluster, dynamics integrated out, in Numba.

Counts see trajectories X = (common course, factors) through ``(1, c_i)' X_t`` alone. ``X -> G X`` with
``(1, c_i) -> G^-T (1, c_i)`` changes nothing for them if the first column of G is (1, 0, ..): scales of the factors,
mixtures of them, and parts of them in the common course are settled by the prior alone, and a sampler that draws
loadings given trajectories and trajectories given loadings hardly moves along them. Here G is drawn from its exact
conditional, one entry at a time (a generalised Gibbs step, Liu & Sabatti 2000, doi:10.1093/biomet/87.2.353).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.linear_dynamics_nb import cholesky
from neurodata.kernels.state_runs_nb import log_evidence

_MOST_STEPS = 30


@numba.njit(cache=True)
def change_rows(a, row, column, factor):
    """``G a`` in place: G has `factor` at (row, column), ones on the rest of its diagonal."""
    for k in range(a.shape[1]):
        if row == column:
            a[row, k] *= factor
        else:
            a[row, k] += factor * a[column, k]


@numba.njit(cache=True)
def change_columns(a, row, column, factor):
    """``a G'`` in place."""
    for k in range(a.shape[0]):
        if row == column:
            a[k, row] *= factor
        else:
            a[k, row] += factor * a[k, column]


@numba.njit(cache=True)
def log_density(
    u, row, column, first, cross, inputs, outputs, count, start, coefficients, n_bins, n_units, loading_precision,
    centre, precision, scale, dof, log_dets
):  # fmt: skip
    """Log density of the entry: of an off-diagonal one `u`, of a diagonal one ``exp(u)``.

    Parameters
    ----------
    first : int
        Where the cluster's coordinates begin among those of the steps, of which there may be more.
    cross, inputs, outputs, count : arrays (state, ...)
        Sums of the steps, see `linear_dynamics_nb.step_sums`.
    start : array (n, n)
        Sums of ``X X'`` over the first bins of sequences.
    coefficients : array (m, m)
        Sums of ``(1, c)(1, c)'`` over units.
    loading_precision : array (m,)
        The first value is not used.
    """
    m = outputs.shape[1]
    factor = math.exp(u) if row == column else u
    total = (n_bins - n_units) * u if row == column else 0.0
    # G^-T has the inverse, or the negative, at (column, row).
    back = math.exp(-u) if row == column else -u
    own = coefficients.copy()
    change_rows(own, column, row, back)
    change_columns(own, column, row, back)
    for i in range(1, own.shape[0]):
        total -= 0.5 * loading_precision[i] * own[i, i]
    row += first
    column += first
    a = start.copy()
    change_rows(a, row, column, factor)
    change_columns(a, row, column, factor)
    for i in range(m):
        total -= 0.5 * a[i, i]
    new_cross = np.empty((m, m + 1))
    new_inputs = np.empty((m + 1, m + 1))
    for s in range(count.size):
        if count[s] == 0.0:
            continue
        new_cross[:] = cross[s]
        change_rows(new_cross, row, column, factor)
        change_columns(new_cross, row, column, factor)
        new_inputs[:] = inputs[s]
        change_rows(new_inputs, row, column, factor)
        change_columns(new_inputs, row, column, factor)
        a[:] = outputs[s]
        change_rows(a, row, column, factor)
        change_columns(a, row, column, factor)
        total += log_evidence(
            new_cross, new_inputs, a, count[s], centre, precision, scale, dof, log_dets[0], log_dets[1]
        )
    return total if math.isfinite(total) else -np.inf


@numba.njit(cache=True)
def draw(
    rng, x, first, loading, starts, cross, inputs, outputs, count, loading_precision, centre, precision, scale, dof
):  # fmt: skip
    """Draw each free entry of G once and apply it; the dynamics are to be drawn next.

    Parameters
    ----------
    x : array (bin, n), changed
        Trajectories that move together; those of the cluster are m of them, from `first` on.
    first : int
    loading : array (unit, m - 1), changed
        Of the units in the cluster.
    starts : array (sequence + 1,)
    cross, inputs, outputs, count : arrays (state, ...), changed
        Sums of the steps of the trajectories.
    loading_precision : array (m,)
    centre, precision, scale, dof
        Prior of the dynamics.
    """
    n_bins, n = x.shape
    n_units = loading.shape[0]
    m = loading.shape[1] + 1
    log_dets = np.empty(2)
    log_dets[0] = cholesky(precision, np.empty(precision.shape))
    log_dets[1] = cholesky(scale, np.empty(scale.shape))
    start = np.zeros((n, n))
    for q in range(starts.size - 1):
        if starts[q + 1] > starts[q]:
            for i in range(n):
                for k in range(n):
                    start[i, k] += x[starts[q], i] * x[starts[q], k]
    coefficients = np.zeros((m, m))
    for i in range(n_units):
        coefficients[0, 0] += 1.0
        for k in range(1, m):
            coefficients[0, k] += loading[i, k - 1]
            coefficients[k, 0] += loading[i, k - 1]
            for c in range(1, m):
                coefficients[k, c] += loading[i, k - 1] * loading[i, c - 1]
    for column in range(1, m):
        for row in range(m):
            given = (
                row, column, first, cross, inputs, outputs, count, start, coefficients, n_bins, n_units,
                loading_precision, centre, precision, scale, dof, log_dets,
            )  # fmt: skip
            u = _slice(rng, given)
            factor = math.exp(u) if row == column else u
            back = math.exp(-u) if row == column else -u
            change_rows(coefficients, column, row, back)
            change_columns(coefficients, column, row, back)
            i, k = first + row, first + column
            change_columns(x, i, k, factor)
            change_rows(start, i, k, factor)
            change_columns(start, i, k, factor)
            for s in range(count.size):
                change_rows(cross[s], i, k, factor)
                change_columns(cross[s], i, k, factor)
                change_rows(inputs[s], i, k, factor)
                change_columns(inputs[s], i, k, factor)
                change_rows(outputs[s], i, k, factor)
                change_columns(outputs[s], i, k, factor)
            for i in range(n_units):
                if row == 0:
                    loading[i, column - 1] += back
                elif row == column:
                    loading[i, column - 1] *= back
                else:
                    loading[i, column - 1] += back * loading[i, row - 1]


@numba.njit(cache=True)
def _slice(rng, given):
    """One slice-sampling step from no change on (Neal 2003, doi:10.1214/aos/1056562461)."""
    level = log_density(0.0, *given) - rng.standard_exponential()
    low = -0.5 * rng.random()
    high = low + 0.5
    left = int(rng.random() * _MOST_STEPS)
    right = _MOST_STEPS - 1 - left
    while left > 0 and log_density(low, *given) > level:
        low -= 0.5
        left -= 1
    while right > 0 and log_density(high, *given) > level:
        high += 0.5
        right -= 1
    while True:
        u = low + (high - low) * rng.random()
        if log_density(u, *given) > level or high - low < 1e-12:
            return u
        if u < 0.0:
            low = u
        else:
            high = u
