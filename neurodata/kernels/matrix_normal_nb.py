"""Draws of a matrix-normal inverse-Wishart variable, in Numba."""

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
