"""New labels for whole stretches of a state path, dynamics and transition matrix integrated out, in Numba.

Drawing a path bin by bin, given dynamics, hardly ever gives a long stretch to another state, and two states with the
same dynamics never become one. Here the label of a stretch is drawn from its exact conditional with the dynamics of all
states (matrix-normal inverse-Wishart) and the rows of the transition matrix (Dirichlet) integrated out.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.linear_dynamics_nb import cholesky, forward_solve
from neurodata.kernels.membership_nb import choose


@numba.njit(cache=True)
def log_evidence(cross, inputs, outputs, count, centre, precision, scale, dof, log_det_precision, log_det_scale):
    """Log density of steps with the sums of `linear_dynamics_nb.step_sums`, their dynamics integrated out."""
    m = scale.shape[0]
    if count == 0.0:
        return 0.0
    total = precision + inputs
    factor = np.empty((m + 1, m + 1))
    log_det = cholesky(total, factor)
    linear = np.empty((m, m + 1))
    for i in range(m):
        for j in range(m + 1):
            value = cross[i, j]
            for k in range(m + 1):
                value += centre[i, k] * precision[k, j]
            linear[i, j] = value
    white = np.empty((m, m + 1))
    for i in range(m):
        white[i] = linear[i]
        forward_solve(factor, white[i])
    spread = np.empty((m, m))
    for i in range(m):
        for j in range(i + 1):
            value = scale[i, j] + outputs[i, j]
            for k in range(m + 1):
                value -= white[i, k] * white[j, k]
                part = 0.0
                for q in range(m + 1):
                    part += precision[k, q] * centre[j, q]
                value += centre[i, k] * part
            spread[i, j] = value
    log_det_spread = cholesky(spread, np.empty((m, m)))
    result = -0.5 * count * m * math.log(math.pi) + 0.5 * m * (log_det_precision - log_det)
    result += 0.5 * dof * log_det_scale - 0.5 * (dof + count) * log_det_spread
    for i in range(m):
        result += math.lgamma(0.5 * (dof + count - i)) - math.lgamma(0.5 * (dof - i))
    return result


@numba.njit(cache=True)
def _log_switches(counts, mass):
    """Log probability of transitions (state, state) with each row's probabilities integrated out."""
    total = 0.0
    for j in range(counts.shape[0]):
        n = 0.0
        whole = 0.0
        for k in range(counts.shape[0]):
            whole += mass[j, k]
            if counts[j, k] > 0.0:
                n += counts[j, k]
                total += math.lgamma(mass[j, k] + counts[j, k]) - math.lgamma(mass[j, k])
        if n > 0.0:
            total += math.lgamma(whole) - math.lgamma(whole + n)
    return total


@numba.njit(cache=True)
def _count_stretch(path, begin, first, last, end, label, sign, out):
    """Add `sign` times the transitions of bins ``first .. last`` with `label`, and into and out of them."""
    if first > begin:
        out[path[first - 1], label] += sign
    out[label, label] += sign * (last - first)
    if last + 1 < end:
        out[label, path[last + 1]] += sign


@numba.njit(cache=True)
def relabel(
    rng, x, slots, begin, end, first, last, apart, path, mass, cross, inputs, outputs, count, counts, centre,
    precision, scale, dof, log_dets
):  # fmt: skip
    """Draw the label of the bins ``first .. last``, which all have the same one; gives whether it changed.

    Parameters
    ----------
    x : array (slot, bin, m)
    slots : array (cluster,)
        Slots that have units.
    begin, end : int
        Bins of the sequence: begin .. end - 1.
    apart : bool
        The label must differ from those of the bins beside the stretch.
    path : array (bin,), changed
    mass : array (state, state)
        Dirichlet masses of the transition matrix.
    cross, inputs, outputs, count : arrays (cluster, state, ...), changed
        Sums of the steps of each state.
    counts : array (state, state), changed
        Transitions.
    centre, precision, scale, dof
        Prior of the dynamics; `log_dets` (2,) of `precision` and `scale`.
    """
    n_states = mass.shape[0]
    m = x.shape[2]
    n = slots.size
    old = path[first]
    own_cross = np.zeros((n, m, m + 1))
    own_inputs = np.zeros((n, m + 1, m + 1))
    own_outputs = np.zeros((n, m, m))
    steps = 0.0
    for t in range(max(first, begin + 1), last + 1):
        steps += 1.0
        for q in range(n):
            now, before = x[slots[q], t], x[slots[q], t - 1]
            for i in range(m):
                for c in range(m):
                    own_cross[q, i, c] += now[i] * before[c]
                    own_inputs[q, i, c] += before[i] * before[c]
                    own_outputs[q, i, c] += now[i] * now[c]
                own_cross[q, i, m] += now[i]
                own_inputs[q, i, m] += before[i]
                own_inputs[q, m, i] += before[i]
            own_inputs[q, m, m] += 1.0
    for q in range(n):
        cross[q, old] -= own_cross[q]
        inputs[q, old] -= own_inputs[q]
        outputs[q, old] -= own_outputs[q]
    count[old] -= steps
    _count_stretch(path, begin, first, last, end, old, -1.0, counts)
    log_weight = np.empty(n_states)
    for s in range(n_states):
        if apart and ((first > begin and path[first - 1] == s) or (last + 1 < end and path[last + 1] == s)):
            log_weight[s] = -np.inf
            continue
        _count_stretch(path, begin, first, last, end, s, 1.0, counts)
        value = _log_switches(counts, mass)
        _count_stretch(path, begin, first, last, end, s, -1.0, counts)
        for q in range(n):
            value += log_evidence(
                cross[q, s] + own_cross[q], inputs[q, s] + own_inputs[q], outputs[q, s] + own_outputs[q],
                count[s] + steps, centre, precision, scale, dof, log_dets[0], log_dets[1],
            )  # fmt: skip
            value -= log_evidence(
                cross[q, s], inputs[q, s], outputs[q, s], count[s], centre, precision, scale, dof, log_dets[0],
                log_dets[1],
            )  # fmt: skip
        log_weight[s] = value
    new = choose(rng, log_weight, n_states)
    for q in range(n):
        cross[q, new] += own_cross[q]
        inputs[q, new] += own_inputs[q]
        outputs[q, new] += own_outputs[q]
    count[new] += steps
    _count_stretch(path, begin, first, last, end, new, 1.0, counts)
    for t in range(first, last + 1):
        path[t] = new
    return new != old


@numba.njit(cache=True)
def relabel_some(
    rng, x, slots, starts, path, mass, n_runs, n_windows, cross, inputs, outputs, count, counts, centre, precision,
    scale, dof
):  # fmt: skip
    """New labels for some runs (stretches between switches) and for windows at random; gives how many changed.

    A run keeps apart from its neighbours, so that the switches stay where they are; a window is drawn without regard
    to the path, and left alone when it has more than one label. Both make the choice reversible.
    """
    log_dets = np.empty(2)
    log_dets[0] = cholesky(precision, np.empty(precision.shape))
    log_dets[1] = cholesky(scale, np.empty(scale.shape))
    changed = 0
    n_bins = path.size
    n_all = 0
    first = np.empty(n_bins, dtype=np.int64)
    last = np.empty(n_bins, dtype=np.int64)
    owner = np.empty(n_bins, dtype=np.int64)
    for q in range(starts.size - 1):
        for t in range(starts[q], starts[q + 1]):
            if t == starts[q] or path[t] != path[t - 1]:
                first[n_all] = t
                owner[n_all] = q
                n_all += 1
            last[n_all - 1] = t
    for _ in range(min(n_runs, n_all)):
        run = int(rng.random() * n_all)
        q = owner[run]
        changed += relabel(
            rng, x, slots, starts[q], starts[q + 1], first[run], last[run], True, path, mass, cross, inputs, outputs,
            count, counts, centre, precision, scale, dof, log_dets,
        )  # fmt: skip
    for _ in range(n_windows):
        q = int(rng.random() * (starts.size - 1))
        length = starts[q + 1] - starts[q]
        if length < 2:
            continue
        # Short windows are as likely as long ones.
        size = int(math.exp(rng.random() * math.log(length + 1.0)))
        a = starts[q] + int(rng.random() * (length - size + 1)) if size <= length else starts[q]
        b = min(a + size, starts[q + 1]) - 1
        uniform = True
        for t in range(a + 1, b + 1):
            if path[t] != path[a]:
                uniform = False
                break
        if uniform:
            changed += relabel(
                rng, x, slots, starts[q], starts[q + 1], a, b, False, path, mass, cross, inputs, outputs, count,
                counts, centre, precision, scale, dof, log_dets,
            )  # fmt: skip
    return changed
