"""Affinities between derivatives in Numba: rows of packed pairs i < j, a block of time at a time."""

from __future__ import annotations

import numba
import numpy as np

# Sums may be taken in any order; NaN and infinity keep their meaning.
_SUMS = {"reassoc", "contract", "nsz"}
# exp(-x) beyond this is below 3e-9 and is taken as that.
_FAR = np.float32(20.0)


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def add_affinities(one, gate, two, gate_2, weight, sign, factor, out):
    """Add ``factor exp(-(d_i - sign d_j)^2 w_i w_j) g_i g_j`` to `out`, and the same with i and j changed over.

    d and g of the first unit are `one` and `gate`, those of the second `two` and `gate_2`: the same arrays, or
    shifted in time. Where they are the same, both terms are equal, and the sum is twice the affinity. The exponential
    is ``(exp(-x / 32))^32`` with a polynomial inside, which is vectorised, to 1e-5 of its value.

    Parameters
    ----------
    one, two : array (time, unit), float32
        Derivatives; finite, with gate 0 where not observed.
    gate, gate_2 : array (time, unit), float32
    weight : array (unit,), float32
        ``s_i^(-1/2)``, so that ``w_i^2 w_j^2 = 1 / (s_i s_j)``.
    sign : float32
        1, or -1 for changes in opposite directions.
    factor : float32
    out : array (time, pair), float32
    """
    n_times, n_units = one.shape
    for t in range(n_times):
        first = 0
        for i in range(n_units - 1):
            n = n_units - 1 - i
            _add_row(
                one[t, i], gate[t, i], two[t, i + 1 :], gate_2[t, i + 1 :], weight[i], weight[i + 1 :], sign, factor,
                out[t, first : first + n],
            )  # fmt: skip
            _add_row(
                two[t, i], gate_2[t, i], one[t, i + 1 :], gate[t, i + 1 :], weight[i], weight[i + 1 :], sign, factor,
                out[t, first : first + n],
            )  # fmt: skip
            first += n


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def affinities(one, gate, weight, sign, out):
    """`add_affinities` of units with themselves at the same time, once, overwriting `out`."""
    n_times, n_units = one.shape
    for t in range(n_times):
        first = 0
        for i in range(n_units - 1):
            n = n_units - 1 - i
            row = out[t, first : first + n]
            row[:] = np.float32(0.0)
            _add_row(
                one[t, i], gate[t, i], one[t, i + 1 :], gate[t, i + 1 :], weight[i], weight[i + 1 :], sign,
                np.float32(1.0), row,
            )  # fmt: skip
            first += n


@numba.njit(cache=True, nogil=True, fastmath=_SUMS, inline="always")
def _add_row(value, gate, values, gates, weight, weights, sign, factor, row):
    scale = np.float32(1.0 / 32.0)
    for p in range(row.size):
        apart = (value - sign * values[p]) * weight * weights[p]
        x = min(apart * apart, _FAR) * scale
        # exp(-x) for x < 0.63, Taylor to the sixth power.
        y = np.float32(1.0) - x * (
            np.float32(1.0)
            - x
            * (
                np.float32(0.5)
                - x
                * (np.float32(1 / 6) - x * (np.float32(1 / 24) - x * (np.float32(1 / 120) - x * np.float32(1 / 720))))
            )
        )
        y *= y
        y *= y
        y *= y
        y *= y
        y *= y
        row[p] += factor * y * gate * gates[p]


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def smooth_rows(values, decay, length, first, last, forward, out):
    """Add to `out` the sums ``sum_k decay^k values[t - k]`` over k < length, of rows `first` .. `last`.

    Exact sums over a finite past (or, with `forward` False, future), so that they do not depend on where a block
    begins; taken recursively.

    Parameters
    ----------
    values : array (time, pair), float32
        Rows before `first` and after `last` are used as far as they are there.
    decay : float
    length : int
        Rows in a sum.
    out : array (last - first, pair), float32
    """
    n_times, n_pairs = values.shape
    total = np.zeros(n_pairs)
    gone = decay**length
    begin = max(0, first - length + 1) if forward else min(n_times - 1, last + length - 2)
    n_steps = last - begin if forward else begin - first + 1
    for k in range(n_steps):
        t = begin + k if forward else begin - k
        row = values[t]
        if k >= length:
            past = values[t - length if forward else t + length]
            for p in range(n_pairs):
                total[p] = decay * total[p] + row[p] - gone * past[p]
        else:
            for p in range(n_pairs):
                total[p] = decay * total[p] + row[p]
        if first <= t < last:
            target = out[t - first]
            for p in range(n_pairs):
                target[p] += np.float32(total[p])
