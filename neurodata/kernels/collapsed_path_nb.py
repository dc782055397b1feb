"""Moves of the state path of the bi-clustering sampler with trajectories integrated out, in Numba.

A trajectory that was drawn under a path holds it fast: switches move by a bin at a time, or not at all. Here paths are
compared by the evidence of the counts, given Polya-Gamma weights, loadings and dynamics. What the bins before t say of
x_t, and what those after t say of it, are quadratic functions (messages); a scan from the first bin to the last keeps
both, so that a change of n bins costs n steps, whatever the length of the recording (as in Gerlach, Carter & Kohn 2000,
doi:10.1080/01621459.2000.10474273, for single bins).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from neurodata.kernels.collapsed_nb import add_unit, make_work
from neurodata.kernels.linear_dynamics_nb import (
    cholesky,
    filter_forward,
    forward_solve,
    precisions,
    sample_backward,
)
from neurodata.kernels.membership_nb import choose

_LOG_2PI = math.log(2.0 * math.pi)


class Clusters(NamedTuple):
    """What clusters with units see (cluster, bin, ...) and how they move (cluster, state, ...)."""

    j: np.ndarray
    h: np.ndarray
    transition: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    precision: np.ndarray
    pulled: np.ndarray
    curved: np.ndarray
    log_det: np.ndarray


class Messages(NamedTuple):
    """Log quadratic functions of x (cluster, bin, ...): ``linear' x - x' square x / 2``; constants (bin,) of all."""

    square: np.ndarray
    linear: np.ndarray
    constant: np.ndarray


@numba.njit(cache=True)
def make_clusters(units, courses, slots):
    """Arrays of the clusters in `slots`."""
    n_states, m = courses.offset.shape[1:]
    n, n_bins = slots.size, courses.path.size
    clusters = Clusters(
        np.zeros((n, n_bins, m, m)),
        np.zeros((n, n_bins, m)),
        np.empty((n, n_states, m, m)),
        np.empty((n, n_states, m)),
        np.empty((n, n_states, m, m)),
        np.empty((n, n_states, m, m)),
        np.empty((n, n_states, m, m)),
        np.empty((n, n_states, m, m)),
        np.empty((n, n_states)),
    )
    for q in range(n):
        for i in range(units.cluster.size):
            if units.cluster[i] == slots[q]:
                add_unit(units, i, clusters.j[q], clusters.h[q])
        for t in range(n_bins):
            for a in range(m):
                for b in range(a):
                    clusters.j[q, t, b, a] = clusters.j[q, t, a, b]
        clusters.transition[q] = courses.transition[slots[q]]
        clusters.offset[q] = courses.offset[slots[q]]
        clusters.noise[q] = courses.noise[slots[q]]
        precisions(
            clusters.noise[q], clusters.transition[q], clusters.precision[q], clusters.pulled[q],
            clusters.curved[q], clusters.log_det[q],
        )  # fmt: skip
    return clusters


@numba.njit(cache=True)
def make_messages(n_clusters, n_bins, m):
    """Arrays of messages."""
    return Messages(np.empty((n_clusters, n_bins, m, m)), np.empty((n_clusters, n_bins, m)), np.empty(n_bins))


@numba.njit(cache=True)
def begin(clusters, t, at, out):
    """Message of the first bin of a sequence, t, into place `at` of `out`."""
    m = out.linear.shape[2]
    out.constant[at] = 0.0
    for q in range(out.linear.shape[0]):
        out.constant[at] -= 0.5 * m * _LOG_2PI
        for a in range(m):
            out.linear[q, at, a] = clusters.h[q, t, a]
            for b in range(m):
                out.square[q, at, a, b] = clusters.j[q, t, a, b] + (1.0 if a == b else 0.0)


@numba.njit(cache=True)
def step_on(clusters, t, s, old, before, out, at):
    """Message of bins up to t, which is in state s, into place `at` of `out`, from that in place `before` of `old`."""
    m = out.linear.shape[2]
    factor = np.empty((m, m))
    gain = np.empty((m, m))
    work = np.empty(m)
    total = old.constant[before]
    for q in range(out.linear.shape[0]):
        offset, precision = clusters.offset[q, s], clusters.precision[q, s]
        pulled, curved = clusters.pulled[q, s], clusters.curved[q, s]
        for a in range(m):
            for b in range(a + 1):
                gain[a, b] = old.square[q, before, a, b] + curved[a, b]
        total -= 0.5 * (cholesky(gain, factor) + clusters.log_det[q, s])
        for b in range(m):
            for a in range(m):
                work[a] = pulled[a, b]
            forward_solve(factor, work)
            for a in range(m):
                gain[a, b] = work[a]
        for a in range(m):
            work[a] = old.linear[q, before, a]
        forward_solve(factor, work)
        for a in range(m):
            total += 0.5 * work[a] * work[a]
        for a in range(m):
            for b in range(a + 1):
                value = precision[a, b]
                for c in range(m):
                    value -= gain[c, a] * gain[c, b]
                out.square[q, at, a, b] = value
                out.square[q, at, b, a] = value
        for a in range(m):
            linear = 0.0
            moved = 0.0
            for c in range(m):
                linear += gain[c, a] * work[c]
                moved += out.square[q, at, a, c] * offset[c]
            total -= offset[a] * (linear + 0.5 * moved)
            out.linear[q, at, a] = linear + moved + clusters.h[q, t, a]
        for a in range(m):
            for b in range(m):
                out.square[q, at, a, b] += clusters.j[q, t, a, b]
    out.constant[at] = total


@numba.njit(cache=True)
def step_back(clusters, t, s, new, after, out, at):
    """Message of bins t and later to t - 1, into place `at` of `out`, from that of bins after t (`after` of `new`)."""
    m = out.linear.shape[2]
    factor = np.empty((m, m))
    gain = np.empty((m, m))
    left = np.empty((m, m))
    work = np.empty(m)
    pull = np.empty(m)
    total = new.constant[after]
    for q in range(out.linear.shape[0]):
        offset, precision, transition = clusters.offset[q, s], clusters.precision[q, s], clusters.transition[q, s]
        for a in range(m):
            for b in range(a + 1):
                gain[a, b] = precision[a, b] + new.square[q, after, a, b] + clusters.j[q, t, a, b]
        total -= 0.5 * (cholesky(gain, factor) + clusters.log_det[q, s])
        for b in range(m):
            for a in range(m):
                work[a] = precision[a, b]
            forward_solve(factor, work)
            for a in range(m):
                gain[a, b] = work[a]
        for a in range(m):
            work[a] = new.linear[q, after, a] + clusters.h[q, t, a]
        forward_solve(factor, work)
        for a in range(m):
            total += 0.5 * work[a] * work[a]
        for a in range(m):
            for b in range(m):
                value = precision[a, b]
                for c in range(m):
                    value -= gain[c, a] * gain[c, b]
                left[a, b] = value
        for a in range(m):
            linear = 0.0
            moved = 0.0
            for c in range(m):
                linear += gain[c, a] * work[c]
                moved += left[a, c] * offset[c]
            total += offset[a] * (linear - 0.5 * moved)
            pull[a] = linear - moved
        for a in range(m):
            value = 0.0
            for c in range(m):
                value += transition[c, a] * pull[c]
            out.linear[q, at, a] = value
            for b in range(m):
                value = 0.0
                for c in range(m):
                    value += left[a, c] * transition[c, b]
                gain[a, b] = value
        for a in range(m):
            for b in range(a + 1):
                value = 0.0
                for c in range(m):
                    value += transition[c, a] * gain[c, b]
                out.square[q, at, a, b] = value
                out.square[q, at, b, a] = value
    out.constant[at] = total


@numba.njit(cache=True)
def meet(one, at, other, there):
    """Log of the integral over x of the product of two messages."""
    m = one.linear.shape[2]
    factor = np.empty((m, m))
    square = np.empty((m, m))
    work = np.empty(m)
    total = one.constant[at] + other.constant[there]
    for q in range(one.linear.shape[0]):
        for a in range(m):
            work[a] = one.linear[q, at, a] + other.linear[q, there, a]
            for b in range(a + 1):
                square[a, b] = one.square[q, at, a, b] + other.square[q, there, a, b]
        total += 0.5 * (m * _LOG_2PI - cholesky(square, factor))
        forward_solve(factor, work)
        for a in range(m):
            total += 0.5 * work[a] * work[a]
    return total


@numba.njit(cache=True)
def scan_back(clusters, path, first, last, back):
    """Messages of all later bins to each bin of a sequence."""
    back.constant[last] = 0.0
    back.linear[:, last] = 0.0
    back.square[:, last] = 0.0
    for t in range(last, first, -1):
        step_back(clusters, t, path[t], back, t, back, t - 1)


@numba.njit(cache=True)
def turn_runs(rng, clusters, path, first, last, switch, ahead, back, trial):
    """Another state for each run of a sequence in turn, by Metropolis-Hastings; the switches stay where they are."""
    n_states = switch.shape[0]
    scan_back(clusters, path, first, last, back)
    turned = 0
    a = first
    while a <= last:
        b = a
        while b < last and path[b + 1] == path[a]:
            b += 1
        old = path[a]
        for t in range(a, b + 1):
            if t == first:
                begin(clusters, t, t, ahead)
            else:
                step_on(clusters, t, old, ahead, t - 1, ahead, t)
        new = int(rng.random() * n_states)
        fits = new != old and not (a > first and path[a - 1] == new) and not (b < last and path[b + 1] == new)
        if fits:
            ratio = (b - a) * (math.log(switch[new, new]) - math.log(switch[old, old]))
            if a > first:
                ratio += math.log(switch[path[a - 1], new]) - math.log(switch[path[a - 1], old])
            if b < last:
                ratio += math.log(switch[new, path[b + 1]]) - math.log(switch[old, path[b + 1]])
            ratio -= meet(ahead, b, back, b)
            for t in range(a, b + 1):
                if t == first:
                    begin(clusters, t, t, trial)
                elif t == a:
                    step_on(clusters, t, new, ahead, t - 1, trial, t)
                else:
                    step_on(clusters, t, new, trial, t - 1, trial, t)
            ratio += meet(trial, b, back, b)
            if math.log(1.0 - rng.random()) < ratio:
                turned += 1
                for t in range(a, b + 1):
                    path[t] = new
                    _copy(trial, t, ahead, t)
        a = b + 1
    return turned


@numba.njit(cache=True)
def _copy(one, at, other, there):
    other.constant[there] = one.constant[at]
    other.linear[:, there] = one.linear[:, at]
    other.square[:, there] = one.square[:, at]


@numba.njit(cache=True)
def _log_island(path, a, length, n_inside, n_states):
    """Log probability with which an island of that length is proposed: lengths 1, 2, .. with odds 1, 1/2, .."""
    norm = 0.0
    for n in range(1, n_inside + 1):
        norm += 1.0 / n
    return -math.log(norm * length * (n_inside - length + 1) * (n_states - 1))


@numba.njit(cache=True)
def move_switches(rng, clusters, path, first, last, switch, size, ahead, back, trial, other):
    """Switches of a sequence, window by window of `size` bins from a random first one on.

    A window with one switch gets it drawn anew from its exact conditional on all positions in the window; in one with
    none, an island of another state is proposed; one with an island, its removal. Gives how many bins changed.
    """
    n_states = switch.shape[0]
    scan_back(clusters, path, first, last, back)
    begin(clusters, first, first, ahead)
    log_weight = np.empty(size)
    changed = 0
    done = first
    a = first + int(rng.random() * size)
    while a < last:
        b = min(a + size - 1, last)
        # Switches into bins a + 1 .. b.
        n_switches, one, two = 0, 0, 0
        for t in range(a + 1, b + 1):
            if path[t] != path[t - 1]:
                n_switches += 1
                if n_switches == 1:
                    one = t
                else:
                    two = t
        while done < a:
            done += 1
            step_on(clusters, done, path[done], ahead, done - 1, ahead, done)
        u, v = path[a], path[b]
        if n_switches == 1:
            # Bins a + 1 .. t - 1 under u from before, bins t .. b under v from after.
            _copy(ahead, a, trial, a)
            for t in range(a + 1, b):
                step_on(clusters, t, u, trial, t - 1, trial, t)
            _copy(back, b, other, b)
            for t in range(b, a, -1):
                step_back(clusters, t, v, other, t, other, t - 1)
            for t in range(a + 1, b + 1):
                log_weight[t - a - 1] = (
                    meet(trial, t - 1, other, t - 1)
                    + (t - a - 1) * math.log(switch[u, u])
                    + (b - t) * math.log(switch[v, v])
                )
            place = a + 1 + choose(rng, log_weight, b - a)
            for t in range(a + 1, b):
                new = u if t < place else v
                changed += path[t] != new
                path[t] = new
        elif n_states > 1 and b - a > 1 and (n_switches == 0 or (n_switches == 2 and u == v)):
            inside = b - a - 1
            if n_switches == 0:
                norm = 0.0
                for n in range(1, inside + 1):
                    norm += 1.0 / n
                left = rng.random() * norm
                length = 1
                while length < inside and left > 1.0 / length:
                    left -= 1.0 / length
                    length += 1
                one = a + 1 + int(rng.random() * (inside - length + 1))
                two = one + length
                state = int(rng.random() * (n_states - 1))
                state += state >= u
            else:
                length = two - one
                state = path[one]
            gain = (length - 1) * math.log(switch[state, state]) + math.log(switch[u, state])
            gain += math.log(switch[state, u]) - (length + 1) * math.log(switch[u, u])
            gain -= _log_island(path, a, length, inside, n_states)
            _copy(ahead, a, trial, a)
            _copy(ahead, a, other, a)
            for t in range(a + 1, two):
                step_on(clusters, t, u, trial, t - 1, trial, t)
                step_on(clusters, t, state if t >= one else u, other, t - 1, other, t)
            # After the island both are in the state u, whose messages are those of the present path either way.
            gain += meet(other, two - 1, back, two - 1) - meet(trial, two - 1, back, two - 1)
            if math.log(1.0 - rng.random()) < (gain if n_switches == 0 else -gain):
                for t in range(one, two):
                    path[t] = state if n_switches == 0 else u
                changed += length
        a = b + 1
    return changed


@numba.njit(cache=True)
def move_path(rng, clusters, path, starts, switch, sizes):
    """States of runs, then positions of switches in windows of each of `sizes` bins.

    Parameters
    ----------
    clusters : Clusters
    path : array (bin,), changed
    starts : array (sequence + 1,)
    switch : array (state, state)
    sizes : array (round,), int

    Returns
    -------
    turned, changed : int
        Runs that changed their state; bins that changed it.
    """
    n, n_bins, m = clusters.h.shape
    ahead, back = make_messages(n, n_bins, m), make_messages(n, n_bins, m)
    trial, other = make_messages(n, n_bins, m), make_messages(n, n_bins, m)
    turned, changed = 0, 0
    for q in range(starts.size - 1):
        first, last = starts[q], starts[q + 1] - 1
        if last < first:
            continue
        turned += turn_runs(rng, clusters, path, first, last, switch, ahead, back, trial)
        for size in sizes:
            changed += move_switches(rng, clusters, path, first, last, switch, size, ahead, back, trial, other)
    return turned, changed


@numba.njit(cache=True)
def settle(rng, clusters, courses, slots):
    """Give the courses the dynamics of `clusters`, and draw the trajectories."""
    n_states, m = courses.offset.shape[1:]
    work = make_work(courses.path.size, n_states, m)
    for q in range(slots.size):
        k = slots[q]
        courses.transition[k] = clusters.transition[q]
        courses.offset[k] = clusters.offset[q]
        courses.noise[k] = clusters.noise[q]
        filter_forward(
            clusters.j[q], clusters.h[q], courses.starts, courses.path, clusters.offset[q], clusters.precision[q],
            clusters.pulled[q], clusters.curved[q], clusters.log_det[q], work.factor, work.eta,
        )  # fmt: skip
        sample_backward(
            rng, courses.starts, courses.path, clusters.offset[q], clusters.pulled[q], work.factor, work.eta,
            courses.x[k],
        )  # fmt: skip
