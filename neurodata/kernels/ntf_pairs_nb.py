"""The commonest non-negative CP in Numba: every pair i < j of one symmetric factor observed, in every row.

Sums over all partners of a unit then follow from sums over all units, less its own part, so that only products with
the data are summed pair by pair. What `neurodata.kernels.ntf_nb` does in general, and to rounding the same.
"""

from __future__ import annotations

import numba
import numpy as np

from neurodata.kernels.ntf_nb import descend

_SUMS = {"reassoc", "contract", "nsz"}
# A difference of sums below this part of the sum is rounding: there is no partner.
_NOTHING = 1e-13


@numba.njit(cache=True, nogil=True)
def unpack(data, index, out):
    """Products of pairs with the data (column, component) as `out` (unit, component, unit); diagonal untouched."""
    for c in range(index.shape[0]):
        i, j = index[c, 0], index[c, 1]
        for r in range(data.shape[1]):
            out[i, r, j] = data[c, r]
            out[j, r, i] = data[c, r]


@numba.njit(cache=True, nogil=True)
def pair_gram(loading, out):
    """Sum over pairs i < j of the outer products of ``u_i u_j``, into `out` (component, component)."""
    n_components = loading.shape[1]
    for r in range(n_components):
        for k in range(r + 1):
            total = 0.0
            own = 0.0
            for i in range(loading.shape[0]):
                value = loading[i, r] * loading[i, k]
                total += value
                own += value * value
            out[r, k] = out[k, r] = max(0.0, 0.5 * (total * total - own))


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@numba.njit(cache=True, nogil=True)
def update_units(loading, data, gram, sparsity, ridge, cycles, sums):
    """Coordinate descent on each unit's loadings, one after the other, in place; as `ntf_nb.update_mode`.

    Parameters
    ----------
    loading : array (unit, component)
    data : array (unit, component, unit)
        From `unpack`, diagonal 0.
    gram : array (component, component)
        Of the loadings of rows.
    sums : array (2,)
        The residual before, and the target, are added to it.
    """
    n_units, n_components = loading.shape
    across = loading.T.copy()
    inner = np.zeros((n_components, n_components))
    for r in range(n_components):
        for k in range(n_components):
            inner[r, k] = _dot(across[r], across[k])
    target = np.zeros(n_components)
    total = np.zeros((n_components, n_components))
    for i in range(n_units):
        row = loading[i]
        for r in range(n_components):
            target[r] = _dot(data[i, r], across[r])
            whole = inner[r, r]
            for k in range(n_components):
                inner[r, k] -= row[r] * row[k]
            if inner[r, r] < _NOTHING * whole:
                inner[r, r] = 0.0
        for r in range(n_components):
            for k in range(n_components):
                total[r, k] = gram[r, k] * inner[r, k] if inner[r, r] > 0.0 and inner[k, k] > 0.0 else 0.0
        residual, scale = descend(row, target, total, sparsity, ridge, cycles)
        sums[0] += residual
        sums[1] += scale
        for r in range(n_components):
            across[r, i] = row[r]
            for k in range(n_components):
                inner[r, k] += row[r] * row[k]


@numba.njit(cache=True, nogil=True)
def model_sums(loading, data, gram):
    """Inner product of data and model, and the square of the model's norm; as `ntf_nb.model_sums`."""
    n_units, n_components = loading.shape
    across = loading.T.copy()
    inner = 0.0
    for i in range(n_units):
        for r in range(n_components):
            inner += 0.5 * loading[i, r] * _dot(data[i, r], across[r])
    pairs = np.zeros((n_components, n_components))
    pair_gram(loading, pairs)
    return inner, (pairs * gram).sum()
