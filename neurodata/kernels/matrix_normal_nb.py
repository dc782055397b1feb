"""The matrix-normal inverse-Wishart distribution in Numba: draws, density, posterior."""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.linear_dynamics_nb import backward_solve, cholesky, forward_solve


@numba.njit(cache=True)
def draw(rng, centre, precision, scale, dof, transition, offset, noise):
    """``Q ~ IW(dof, scale)``, ``[A b] | Q ~ MN(centre, Q, precision^-1)``; the last three arguments are overwritten.

    Parameters
    ----------
    centre : array (m, m + 1)
    precision : array (m + 1, m + 1)
        Between columns.
    scale : array (m, m)
    dof : float
        At least m. The mean of Q is ``scale / (dof - m - 1)``.
    transition, offset, noise : array (m, m), (m,), (m, m)
        A, b and Q.
    """
    m = scale.shape[0]
    factor = np.empty((m, m))
    cholesky(scale, factor)
    # Bartlett: W = L^-T T T' L^-1 is Wishart, so Q = R R' with R = L T^-T.
    bartlett = np.zeros((m, m))
    for i in range(m):
        bartlett[i, i] = math.sqrt(2.0 * rng.standard_gamma(0.5 * (dof - i)))
        for j in range(i):
            bartlett[i, j] = rng.standard_normal()
    root = np.empty((m, m))
    row = np.empty(m)
    for i in range(m):
        # Row i of R: R T' = L, so T R' = L'.
        for j in range(m):
            row[j] = factor[i, j] if j <= i else 0.0
        forward_solve(bartlett, row)
        for j in range(m):
            root[i, j] = row[j]
    for i in range(m):
        for j in range(m):
            total = 0.0
            for k in range(m):
                total += root[i, k] * root[j, k]
            noise[i, j] = total
    columns = np.empty((m + 1, m + 1))
    cholesky(precision, columns)
    white = np.empty((m, m + 1))
    line = np.empty(m + 1)
    for i in range(m):
        # A row of E L^-1 is L^-T e.
        for j in range(m + 1):
            line[j] = rng.standard_normal()
        backward_solve(columns, line)
        for j in range(m + 1):
            white[i, j] = line[j]
    for i in range(m):
        for j in range(m + 1):
            value = centre[i, j]
            for k in range(m):
                value += root[i, k] * white[k, j]
            if j < m:
                transition[i, j] = value
            else:
                offset[i] = value


@numba.njit(cache=True)
def log_density(transition, offset, noise, centre, precision, scale, dof):
    """Log density of what `draw` draws."""
    m = scale.shape[0]
    factor = np.empty((m, m))
    log_det_scale = cholesky(scale, factor)
    log_det_columns = cholesky(precision, np.empty((m + 1, m + 1)))
    log_det = cholesky(noise, factor)
    # Q^-1 weighs the scale and the departures from the centre.
    spread = scale.copy()
    away = np.empty((m, m + 1))
    for i in range(m):
        for j in range(m):
            away[i, j] = transition[i, j] - centre[i, j]
        away[i, m] = offset[i] - centre[i, m]
    for i in range(m):
        for j in range(m):
            for k in range(m + 1):
                for q in range(m + 1):
                    spread[i, j] += away[i, k] * precision[k, q] * away[j, q]
    trace = 0.0
    column = np.empty(m)
    for j in range(m):
        for i in range(m):
            column[i] = spread[i, j]
        forward_solve(factor, column)
        backward_solve(factor, column)
        trace += column[j]
    total = 0.5 * dof * log_det_scale - 0.5 * (dof + m + 1) * log_det - 0.5 * trace
    total -= 0.5 * dof * m * math.log(2.0) + 0.25 * m * (m - 1) * math.log(math.pi)
    for i in range(m):
        total -= math.lgamma(0.5 * (dof - i))
    return total - 0.5 * m * (m + 1) * math.log(2.0 * math.pi) - 0.5 * (m + 1) * log_det + 0.5 * m * log_det_columns


@numba.njit(cache=True)
def posterior(cross, inputs, outputs, prior_centre, prior_precision, prior_scale, centre, precision, scale):
    """Centre, precision and scale (overwritten) given the sums of `linear_dynamics_nb.step_sums` of one state.

    The degrees of freedom grow by the number of steps.
    """
    m = scale.shape[0]
    fixed = prior_centre @ prior_precision
    linear = fixed + cross
    precision[:] = prior_precision + inputs
    factor = np.empty((m + 1, m + 1))
    cholesky(precision, factor)
    for i in range(m):
        centre[i] = linear[i]
        forward_solve(factor, centre[i])
        backward_solve(factor, centre[i])
    for i in range(m):
        for j in range(i + 1):
            value = prior_scale[i, j] + outputs[i, j]
            for k in range(m + 1):
                value += fixed[i, k] * prior_centre[j, k] - centre[i, k] * linear[j, k]
            scale[i, j] = value
            scale[j, i] = value
