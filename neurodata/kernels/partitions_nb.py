"""Greedy minimisation of the expected variation of information to draws of a partition, in Numba."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True)
def _f(n):
    return n * math.log(n) if n > 0 else 0.0


@numba.njit(cache=True)
def sweeten(label, draws, n_labels, most_rounds):
    """Move elements, one at a time, to the label that lowers the loss most, until none does; gives the expected loss.

    With counts ``n_k`` of a label, ``m_l`` of one of a draw and ``n_kl`` of both, the variation of information is
    ``(sum f(n_k) + sum f(m_l) - 2 sum f(n_kl)) / n``, ``f(x) = x log x``, in nats.

    Parameters
    ----------
    label : array (element,), changed
        In 0 .. n_labels - 1.
    draws : array (draw, element)
        Labels from 0.
    n_labels : int
        Most labels.
    most_rounds : int
        Most passes over the elements; 0 gives the loss alone.
    """
    n_draws, n = draws.shape
    n_other = 1
    for d in range(n_draws):
        for i in range(n):
            n_other = max(n_other, draws[d, i] + 1)
    size = np.zeros(n_labels, dtype=np.int64)
    both = np.zeros((n_labels, n_draws, n_other), dtype=np.int64)
    loss = 0.0
    for d in range(n_draws):
        own = np.zeros(n_other, dtype=np.int64)
        for i in range(n):
            own[draws[d, i]] += 1
            both[label[i], d, draws[d, i]] += 1
        for k in range(n_other):
            loss += _f(own[k])
    for i in range(n):
        size[label[i]] += 1
    for _ in range(most_rounds):
        moved = False
        for i in range(n):
            old = label[i]
            size[old] -= 1
            for d in range(n_draws):
                both[old, d, draws[d, i]] -= 1
            best, best_gain, empty = old, np.inf, False
            for k in range(n_labels):
                if size[k] == 0:
                    # One empty label stands for all.
                    if empty and k != old:
                        continue
                    empty = True
                gain = n_draws * (_f(size[k] + 1) - _f(size[k]))
                for d in range(n_draws):
                    m = both[k, d, draws[d, i]]
                    gain -= 2.0 * (_f(m + 1) - _f(m))
                if gain < best_gain - 1e-9 or (k == old and gain < best_gain + 1e-9):
                    best, best_gain = k, gain
            if size[best] == 0 and size[old] == 0:
                best = old
            moved = moved or best != old
            label[i] = best
            size[best] += 1
            for d in range(n_draws):
                both[best, d, draws[d, i]] += 1
        if not moved:
            break
    for k in range(n_labels):
        loss += n_draws * _f(size[k])
        for d in range(n_draws):
            for m in range(n_other):
                loss -= 2.0 * _f(both[k, d, m])
    return loss / (n_draws * n)
