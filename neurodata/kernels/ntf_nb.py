"""Non-negative CP in Numba: products with the data, Grams, and coordinate descent on rows of factors.

A tensor is a matrix (row, column): rows are the entries of one dim, columns the observed combinations of the others.
The factors of the other dims are stacked in one array `loading` (entry, component); `index` (column, slot) says which
entries belong to a column. Packed pairs of a symmetric tensor have two slots in the same factor, so that one product
over the columns serves both, and excluding the diagonal makes the loss quadratic in each entry's row.

The data are float32 or float64, all that is small is float64. Arrays that meet the data have their number of
components padded to a multiple of `COMPONENTS` with zeros.
"""

from __future__ import annotations

import numba
import numpy as np

# Components that one pass over a stretch of data serves; with four rows, the sums fit into registers.
COMPONENTS = 3
# Columns of a stretch: with its products it stays in the first cache.
_TILE = 1024
# Sums may be taken in any order; NaN and infinity keep their meaning.
_SUMS = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def add_row_products(x, product, out):
    """Add ``x @ product.T`` to `out`: data (row, column), `product` (component, column), `out` (row, component).

    Views of rows are taken before the innermost loops: with two indices there, they are not vectorised.
    """
    n_rows, n_columns = x.shape
    zero = x.dtype.type(0)
    for a in range(0, n_columns, _TILE):
        z = min(n_columns, a + _TILE)
        whole = n_rows // 4 * 4
        for q in range(0, whole, 4):
            x0, x1, x2, x3 = x[q, a:z], x[q + 1, a:z], x[q + 2, a:z], x[q + 3, a:z]
            for r in range(0, product.shape[0], 3):
                c0, c1, c2 = product[r, a:z], product[r + 1, a:z], product[r + 2, a:z]
                s00 = s01 = s02 = s03 = zero
                s10 = s11 = s12 = s13 = zero
                s20 = s21 = s22 = s23 = zero
                for p in range(z - a):
                    s00 += x0[p] * c0[p]
                    s01 += x1[p] * c0[p]
                    s02 += x2[p] * c0[p]
                    s03 += x3[p] * c0[p]
                    s10 += x0[p] * c1[p]
                    s11 += x1[p] * c1[p]
                    s12 += x2[p] * c1[p]
                    s13 += x3[p] * c1[p]
                    s20 += x0[p] * c2[p]
                    s21 += x1[p] * c2[p]
                    s22 += x2[p] * c2[p]
                    s23 += x3[p] * c2[p]
                out[q, r] += s00
                out[q + 1, r] += s01
                out[q + 2, r] += s02
                out[q + 3, r] += s03
                out[q, r + 1] += s10
                out[q + 1, r + 1] += s11
                out[q + 2, r + 1] += s12
                out[q + 3, r + 1] += s13
                out[q, r + 2] += s20
                out[q + 1, r + 2] += s21
                out[q + 2, r + 2] += s22
                out[q + 3, r + 2] += s23
        for q in range(whole, n_rows):
            x0 = x[q, a:z]
            for r in range(product.shape[0]):
                c0 = product[r, a:z]
                s00 = zero
                for p in range(z - a):
                    s00 += x0[p] * c0[p]
                out[q, r] += s00


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def add_column_products(x, loading, out):
    """Add ``loading.T @ x`` to `out`: data (row, column), `loading` (row, component), `out` (component, column)."""
    n_rows, n_columns = x.shape
    for a in range(0, n_columns, _TILE):
        z = min(n_columns, a + _TILE)
        whole = n_rows // 4 * 4
        for q in range(0, whole, 4):
            x0, x1, x2, x3 = x[q, a:z], x[q + 1, a:z], x[q + 2, a:z], x[q + 3, a:z]
            for r in range(0, loading.shape[1], 3):
                d0, d1, d2 = out[r, a:z], out[r + 1, a:z], out[r + 2, a:z]
                h00, h01, h02, h03 = loading[q, r], loading[q + 1, r], loading[q + 2, r], loading[q + 3, r]
                h10, h11, h12, h13 = (
                    loading[q, r + 1],
                    loading[q + 1, r + 1],
                    loading[q + 2, r + 1],
                    loading[q + 3, r + 1],
                )
                h20, h21, h22, h23 = (
                    loading[q, r + 2],
                    loading[q + 1, r + 2],
                    loading[q + 2, r + 2],
                    loading[q + 3, r + 2],
                )
                for p in range(z - a):
                    y0, y1, y2, y3 = x0[p], x1[p], x2[p], x3[p]
                    d0[p] += y0 * h00 + y1 * h01 + y2 * h02 + y3 * h03
                    d1[p] += y0 * h10 + y1 * h11 + y2 * h12 + y3 * h13
                    d2[p] += y0 * h20 + y1 * h21 + y2 * h22 + y3 * h23
        for q in range(whole, n_rows):
            x0 = x[q, a:z]
            for r in range(loading.shape[1]):
                d0, h00 = out[r, a:z], loading[q, r]
                for p in range(z - a):
                    d0[p] += x0[p] * h00


@numba.njit(cache=True, nogil=True)
def column_products(loading, index, out):
    """Product of the loadings of each column into `out` (component, column), of the type of the data."""
    n_columns, n_slots = index.shape
    for r in range(loading.shape[1]):
        for c in range(n_columns):
            value = 1.0
            for s in range(n_slots):
                value *= loading[index[c, s], r]
            out[r, c] = value


@numba.njit(cache=True, nogil=True)
def class_grams(loading, index, group, out):
    """Sum over the columns of each class of the outer products of their component products.

    Parameters
    ----------
    loading : array (entry, component)
    index : array (column, slot)
    group : array (column,)
        Class of each column.
    out : array (class, component, component)
        Overwritten.
    """
    n_components = loading.shape[1]
    out[:] = 0.0
    for c in range(index.shape[0]):
        total = out[group[c]]
        for r in range(n_components):
            first = 1.0
            for s in range(index.shape[1]):
                first *= loading[index[c, s], r]
            if first == 0.0:
                continue
            for k in range(r + 1):
                value = first
                for s in range(index.shape[1]):
                    value *= loading[index[c, s], k]
                total[r, k] += value
    for b in range(out.shape[0]):
        for r in range(n_components):
            for k in range(r):
                out[b, k, r] = out[b, r, k]


@numba.njit(cache=True, nogil=True)
def descend(row, target, gram, sparsity, ridge, cycles):
    """Coordinate descent on ``row' K row / 2 - target' row + penalties`` over rows of at least 0, in place.

    Returns
    -------
    float, float
        Squares of the natural residual ``K_rr (x - max(0, x - g / K_rr))`` before, and of the target.
    """
    n_components = row.size
    residual = 0.0
    scale = 0.0
    for r in range(n_components):
        curvature = gram[r, r] + ridge
        scale += target[r] ** 2
        if curvature <= 0.0:
            continue
        slope = ridge * row[r] + sparsity - target[r]
        for k in range(n_components):
            slope += gram[r, k] * row[k]
        residual += min(slope, curvature * row[r]) ** 2
    for _ in range(cycles):
        for r in range(n_components):
            curvature = gram[r, r] + ridge
            if curvature <= 0.0:
                continue
            slope = ridge * row[r] + sparsity - target[r]
            for k in range(n_components):
                slope += gram[r, k] * row[k]
            row[r] = max(0.0, row[r] - slope / curvature)
    return residual, scale


@numba.njit(cache=True, nogil=True)
def update_rows(target, gram, group, loading, sparsity, ridge, cycles, sums):
    """Coordinate descent on each row of `loading` (row, component), in place.

    Parameters
    ----------
    target : array (row, component or more)
        Products of the data with those of the columns.
    gram : array (class, component, component)
    group : array (row,)
        Class of each row: rows of one class have the same columns observed.
    sums : array (2,)
        The residual and the target, as `descend` has them, are added to it.
    """
    n_components = loading.shape[1]
    for q in range(loading.shape[0]):
        residual, scale = descend(loading[q], target[q, :n_components], gram[group[q]], sparsity, ridge, cycles)
        sums[0] += residual
        sums[1] += scale


@numba.njit(cache=True, nogil=True)
def _roughness(loading, smooth, q, r):
    """Second difference about row q; 0 where there is none."""
    if q < 0 or q >= smooth.size or not smooth[q]:
        return 0.0
    return loading[q - 1, r] - 2.0 * loading[q, r] + loading[q + 1, r]


@numba.njit(cache=True, nogil=True)
def update_smooth_rows(target, gram, group, loading, smooth, smoothness, sparsity, ridge, cycles, sums):
    """As `update_rows`, with a penalty ``smoothness / 2`` on squared second differences between rows.

    Parameters
    ----------
    smooth : array (row,), bool
        Rows about which a second difference is taken; never the first or the last.
    """
    n_rows, n_components = loading.shape
    for cycle in range(-1, cycles):  # the first only takes the residual
        for step in range(n_rows):
            q = step if cycle % 2 == 0 else n_rows - 1 - step
            own = gram[group[q]]
            bend = 4.0 * smooth[q]
            if q > 0:
                bend += smooth[q - 1]
            if q < n_rows - 1:
                bend += smooth[q + 1]
            for r in range(n_components):
                curvature = own[r, r] + ridge + smoothness * bend
                if curvature <= 0.0:
                    continue
                slope = (ridge * loading[q, r] + sparsity) - target[q, r]
                for k in range(n_components):
                    slope += own[r, k] * loading[q, k]
                slope += smoothness * (
                    _roughness(loading, smooth, q - 1, r)
                    - 2.0 * _roughness(loading, smooth, q, r)
                    + _roughness(loading, smooth, q + 1, r)
                )
                if cycle < 0:
                    sums[0] += min(slope, curvature * loading[q, r]) ** 2
                    sums[1] += target[q, r] ** 2
                else:
                    loading[q, r] = max(0.0, loading[q, r] - slope / curvature)


@numba.njit(cache=True, nogil=True)
def update_mode(first, last, loading, index, start, column, data, gram, group, sparsity, ridge, cycles, sums):
    """Coordinate descent on the entries `first` .. `last` of `loading`, one after the other, in place.

    An entry's target and Gram are made of the newest rows of all others, so the loss never rises, also where two slots
    of a column are of the same factor.

    Parameters
    ----------
    index : array (column, slot)
    start, column : array (entry + 1,), array
        Columns of each entry: ``column[start[i]:start[i + 1]]``.
    data : array (column, component)
        Products of the data with the loadings of rows.
    gram : array (class, component, component)
        Of the loadings of rows, by class of columns.
    group : array (column,)
    sums : array (2,)
        The residual before, and the target, are added to it.
    """
    n_components = loading.shape[1]
    n_slots = index.shape[1]
    product = np.zeros(n_components)
    target = np.zeros(n_components)
    outer = np.zeros((n_components, n_components))
    total = np.zeros((n_components, n_components))
    for i in range(first, last):
        target[:] = 0.0
        outer[:] = 0.0
        total[:] = 0.0
        now = -1
        for e in range(start[i], start[i + 1]):
            c = column[e]
            if group[c] != now:
                if now >= 0:
                    _fold(total, outer, gram[now])
                now = group[c]
            for r in range(n_components):
                product[r] = 1.0
            for s in range(n_slots):
                other = index[c, s]
                if other != i:
                    for r in range(n_components):
                        product[r] *= loading[other, r]
            for r in range(n_components):
                target[r] += data[c, r] * product[r]
                for k in range(r + 1):
                    outer[r, k] += product[r] * product[k]
        if now >= 0:
            _fold(total, outer, gram[now])
        residual, scale = descend(loading[i], target, total, sparsity, ridge, cycles)
        sums[0] += residual
        sums[1] += scale


@numba.njit(cache=True, nogil=True)
def _fold(total, outer, gram):
    """Add ``outer * gram`` to `total`, and begin `outer` anew; only the lower half of `outer` is filled."""
    for r in range(total.shape[0]):
        for k in range(r + 1):
            value = outer[r, k] * gram[r, k]
            total[r, k] += value
            if k < r:
                total[k, r] += value
            outer[r, k] = 0.0


@numba.njit(cache=True, nogil=True)
def model_sums(loading, index, data, gram, group):
    """Inner product of data and model, and the square of the model's norm, over what was observed."""
    n_components = loading.shape[1]
    inner = 0.0
    square = 0.0
    product = np.zeros(n_components)
    for c in range(index.shape[0]):
        for r in range(n_components):
            product[r] = 1.0
        for s in range(index.shape[1]):
            for r in range(n_components):
                product[r] *= loading[index[c, s], r]
        own = gram[group[c]]
        for r in range(n_components):
            inner += data[c, r] * product[r]
            part = 0.5 * own[r, r] * product[r]
            for k in range(r):
                part += own[r, k] * product[k]
            square += 2.0 * part * product[r]
    return inner, square
