"""Switching linear Gaussian dynamics in Numba: filter, smoother by sampling, marginal likelihood.

``x_t = b_s + A_s x_(t-1) + N(0, Q_s)`` with s the state of bin t; the first bin of a sequence is N(0, I). What is
observed enters as a quadratic function of each x_t: ``exp(h_t' x_t - x_t' J_t x_t / 2)``; a bin without data has
``J_t = 0, h_t = 0`` and costs nothing. The filter is in information form: one Cholesky factor per bin, which sampling
backward uses again.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_LOG_2PI = math.log(2.0 * math.pi)


@numba.njit(cache=True)
def cholesky(a, factor):
    """Lower Cholesky factor of `a` into `factor`; the upper half is not touched. Log determinant of `a`."""
    m = a.shape[0]
    log_det = 0.0
    for i in range(m):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                factor[i, i] = math.sqrt(total)
                log_det += 2.0 * math.log(factor[i, i])
            else:
                factor[i, j] = total / factor[j, j]
    return log_det


@numba.njit(cache=True)
def forward_solve(factor, x):
    """``L^-1 x`` in place."""
    for i in range(x.size):
        total = x[i]
        for k in range(i):
            total -= factor[i, k] * x[k]
        x[i] = total / factor[i, i]


@numba.njit(cache=True)
def backward_solve(factor, x):
    """``L^-T x`` in place."""
    for i in range(x.size - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, x.size):
            total -= factor[k, i] * x[k]
        x[i] = total / factor[i, i]


@numba.njit(cache=True)
def precisions(noise, transition, precision, pulled, curved, log_det):
    """What the filter needs of each state: ``Q^-1``, ``A' Q^-1``, ``A' Q^-1 A`` and ``log |Q|``; the last four are
    overwritten.

    Parameters
    ----------
    noise, transition : array (state, m, m)
        Q and A.
    precision, pulled, curved : array (state, m, m)
    log_det : array (state,)
    """
    m = noise.shape[1]
    factor = np.empty((m, m))
    column = np.empty(m)
    for s in range(noise.shape[0]):
        log_det[s] = cholesky(noise[s], factor)
        for j in range(m):
            column[:] = 0.0
            column[j] = 1.0
            forward_solve(factor, column)
            backward_solve(factor, column)
            for i in range(m):
                precision[s, i, j] = column[i]
        for i in range(m):
            for j in range(m):
                total = 0.0
                for k in range(m):
                    total += transition[s, k, i] * precision[s, k, j]
                pulled[s, i, j] = total
        for i in range(m):
            for j in range(m):
                total = 0.0
                for k in range(m):
                    total += pulled[s, i, k] * transition[s, k, j]
                curved[s, i, j] = total


@numba.njit(cache=True)
def filter_forward(j, h, starts, state, offset, precision, pulled, curved, log_det, factor, eta):
    """Filter all sequences; gives the log of the integral over all x of prior density times ``exp(h'x - x'Jx/2)``.

    Parameters
    ----------
    j : array (bin, m, m)
    h : array (bin, m)
    starts : array (sequence + 1,)
    state : array (bin,)
    offset : array (state, m)
        b.
    precision, pulled, curved, log_det
        From `precisions`.
    factor : array (bin, m, m), overwritten
        Cholesky factor of the precision of x_t given the data up to t and x_(t+1); in the last bin of a sequence, of
        the filter's precision.
    eta : array (bin, m), overwritten
        The filter's precision times its mean.
    """
    m = h.shape[1]
    n_sequences = starts.size - 1
    lam = np.empty((m, m))
    gain = np.empty((m, m))
    work = np.empty(m)
    total = 0.0
    for q in range(n_sequences):
        first, last = starts[q], starts[q + 1] - 1
        if last < first:
            continue
        g = -0.5 * m * _LOG_2PI
        for t in range(first, last + 1):
            if t == first:
                for i in range(m):
                    for k in range(m):
                        lam[i, k] = j[t, i, k]
                    lam[i, i] += 1.0
                    eta[t, i] = h[t, i]
            else:
                # `factor[t - 1]` is of Lambda + A'Q^-1A; the message to t is Q^-1 - Q^-1 A (.)^-1 A' Q^-1.
                s = state[t]
                for c in range(m):
                    for i in range(m):
                        work[i] = pulled[s, i, c]
                    forward_solve(factor[t - 1], work)
                    for i in range(m):
                        gain[i, c] = work[i]
                for i in range(m):
                    work[i] = eta[t - 1, i]
                forward_solve(factor[t - 1], work)
                quadratic = 0.0
                for i in range(m):
                    quadratic += work[i] * work[i]
                g += 0.5 * quadratic
                for i in range(m):
                    linear = 0.0
                    for k in range(m):
                        linear += gain[k, i] * work[k]
                    eta[t, i] = linear
                for i in range(m):
                    for c in range(i + 1):
                        value = precision[s, i, c]
                        for k in range(m):
                            value -= gain[k, i] * gain[k, c]
                        lam[i, c] = value
                        lam[c, i] = value
                # Shift by the offset: x = u + b.
                shift = 0.0
                for i in range(m):
                    value = 0.0
                    for c in range(m):
                        value += lam[i, c] * offset[s, c]
                    work[i] = value
                    shift += offset[s, i] * (eta[t, i] + 0.5 * value)
                g -= shift
                for i in range(m):
                    eta[t, i] += work[i] + h[t, i]
                    for c in range(m):
                        lam[i, c] += j[t, i, c]
            if t < last:
                s = state[t + 1]
                # Prepare the step to t + 1: its linear part is about x_(t+1) - b.
                for i in range(m):
                    for c in range(m):
                        gain[i, c] = lam[i, c] + curved[s, i, c]
                g -= 0.5 * (log_det[s] + cholesky(gain, factor[t]))
            else:
                g += 0.5 * (m * _LOG_2PI - cholesky(lam, factor[t]))
                for i in range(m):
                    work[i] = eta[t, i]
                forward_solve(factor[t], work)
                for i in range(m):
                    g += 0.5 * work[i] * work[i]
        total += g
    return total


@numba.njit(cache=True)
def sample_backward(rng, starts, state, offset, pulled, factor, eta, x):
    """Draw x (bin, m), overwritten, given what `filter_forward` left in `factor` and `eta`."""
    m = eta.shape[1]
    work = np.empty(m)
    for q in range(starts.size - 1):
        first, last = starts[q], starts[q + 1] - 1
        for t in range(last, first - 1, -1):
            for i in range(m):
                work[i] = eta[t, i]
            if t < last:
                s = state[t + 1]
                for i in range(m):
                    for c in range(m):
                        work[i] += pulled[s, i, c] * (x[t + 1, c] - offset[s, c])
            # Mean M v and noise L^-T n share the last solve.
            forward_solve(factor[t], work)
            for i in range(m):
                work[i] += rng.standard_normal()
            backward_solve(factor[t], work)
            for i in range(m):
                x[t, i] = work[i]


@numba.njit(cache=True)
def mean_backward(starts, state, offset, pulled, factor, eta, x):
    """Posterior mean of x (bin, m), overwritten, given what `filter_forward` left in `factor` and `eta`."""
    m = eta.shape[1]
    work = np.empty(m)
    for q in range(starts.size - 1):
        first, last = starts[q], starts[q + 1] - 1
        for t in range(last, first - 1, -1):
            for i in range(m):
                work[i] = eta[t, i]
            if t < last:
                s = state[t + 1]
                for i in range(m):
                    for c in range(m):
                        work[i] += pulled[s, i, c] * (x[t + 1, c] - offset[s, c])
            forward_solve(factor[t], work)
            backward_solve(factor[t], work)
            for i in range(m):
                x[t, i] = work[i]


@numba.njit(cache=True)
def log_prior(x, starts, state, transition, offset, precision, log_det):
    """Log density of trajectories `x` (bin, m) under the dynamics."""
    m = x.shape[1]
    total = 0.0
    step = np.empty(m)
    for q in range(starts.size - 1):
        for t in range(starts[q], starts[q + 1]):
            total -= 0.5 * m * _LOG_2PI
            if t == starts[q]:
                for i in range(m):
                    total -= 0.5 * x[t, i] ** 2
                continue
            s = state[t]
            total -= 0.5 * log_det[s]
            for i in range(m):
                value = x[t, i] - offset[s, i]
                for c in range(m):
                    value -= transition[s, i, c] * x[t - 1, c]
                step[i] = value
            for i in range(m):
                for c in range(m):
                    total -= 0.5 * step[i] * precision[s, i, c] * step[c]
    return total


@numba.njit(cache=True)
def add_step_log_density(x, starts, transition, offset, precision, log_det, out):
    """Add to `out` (bin, state) the log density of each step into a bin under each state; first bins get nothing."""
    m = x.shape[1]
    step = np.empty(m)
    for q in range(starts.size - 1):
        for t in range(starts[q] + 1, starts[q + 1]):
            for s in range(out.shape[1]):
                for i in range(m):
                    value = x[t, i] - offset[s, i]
                    for c in range(m):
                        value -= transition[s, i, c] * x[t - 1, c]
                    step[i] = value
                quadratic = 0.0
                for i in range(m):
                    part = 0.0
                    for c in range(m):
                        part += precision[s, i, c] * step[c]
                    quadratic += step[i] * part
                out[t, s] -= 0.5 * (quadratic + log_det[s] + m * _LOG_2PI)


@numba.njit(cache=True)
def step_sums(x, starts, state, cross, inputs, outputs, count):
    """Sums over the steps of each state, overwritten: ``y f'``, ``f f'``, ``y y'`` and their number, f = (x_(t-1), 1).

    Parameters
    ----------
    x : array (bin, m)
    cross : array (state, m, m + 1)
    inputs : array (state, m + 1, m + 1)
    outputs : array (state, m, m)
    count : array (state,)
    """
    m = x.shape[1]
    cross[:] = 0.0
    inputs[:] = 0.0
    outputs[:] = 0.0
    count[:] = 0.0
    for q in range(starts.size - 1):
        for t in range(starts[q] + 1, starts[q + 1]):
            s = state[t]
            count[s] += 1.0
            for i in range(m):
                for c in range(m):
                    cross[s, i, c] += x[t, i] * x[t - 1, c]
                    inputs[s, i, c] += x[t - 1, i] * x[t - 1, c]
                    outputs[s, i, c] += x[t, i] * x[t, c]
                cross[s, i, m] += x[t, i]
                inputs[s, i, m] += x[t - 1, i]
                inputs[s, m, i] += x[t - 1, i]
            inputs[s, m, m] += 1.0
