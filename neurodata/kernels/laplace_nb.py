"""Gaussian approximations to what negative binomial counts say, in Numba: of a unit's coefficients, of a trajectory.

Iteratively reweighted least squares with the expected information, ``w = r mu / (r + mu)``, from means half way
between each count and the unit's mean. All depends on counts, dispersions and what is conditioned on, never on a
current value of what is approximated: so these serve as independent proposals, of which the exact density is known.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels.bicluster_nb import mirror
from neurodata.kernels.linear_dynamics_nb import (
    backward_solve,
    cholesky,
    filter_forward,
    forward_solve,
    mean_backward,
    precisions,
)

# Log means beyond this are of no count; it keeps sums finite.
_MOST = 30.0


@numba.njit(cache=True)
def log_likelihood(counts, r, eta):
    """Log probability of a unit's counts at the log means `eta`, without what depends on counts and `r` alone."""
    total = 0.0
    for t in range(counts.size):
        y = counts[t]
        if y >= 0:
            total += y * eta[t] - (y + r) * math.log1p(math.exp(min(eta[t], _MOST)) / r)
    return total


@numba.njit(cache=True)
def log_constant(counts, r):
    """What `log_likelihood` leaves out, but for what depends on counts alone."""
    total = 0.0
    of_zero = math.lgamma(r)
    log_r = math.log(r)
    for t in range(counts.size):
        if counts[t] >= 0:
            total += math.lgamma(counts[t] + r) - of_zero - counts[t] * log_r
    return total


@numba.njit(cache=True)
def first_guess(counts, eta):
    """Log of half way between each count and their mean, (bin,), overwritten."""
    total = 0.5
    n = 1
    for t in range(counts.size):
        if counts[t] >= 0:
            total += counts[t]
            n += 1
    mean = total / n
    for t in range(counts.size):
        eta[t] = math.log(0.5 * (max(counts[t], 0) + mean))


@numba.njit(cache=True)
def fit_unit(counts, r, x, prior_mean, prior_precision, n_rounds, factor, values):
    """Baseline and loadings of a unit given a trajectory: Laplace's log marginal likelihood.

    Parameters
    ----------
    counts : array (bin,)
    x : array (bin, m)
    prior_mean, prior_precision : array (m,)
    factor : array (m, m), overwritten
        Cholesky factor of the precision.
    values : array (m,), overwritten
        The mean.
    """
    n_bins, m = x.shape
    eta = np.empty(n_bins)
    first_guess(counts, eta)
    precision = np.empty((m, m))
    log_det = 0.0
    for _ in range(n_rounds):
        precision[:] = 0.0
        for a in range(m):
            precision[a, a] = prior_precision[a]
            values[a] = prior_precision[a] * prior_mean[a]
        for t in range(n_bins):
            y = counts[t]
            if y < 0:
                continue
            mu = math.exp(min(eta[t], _MOST))
            part = r / (r + mu)
            w = part * mu
            pull = w * (eta[t] - x[t, 0]) + part * (y - mu)
            precision[0, 0] += w
            values[0] += pull
            for a in range(1, m):
                wx = w * x[t, a]
                values[a] += pull * x[t, a]
                precision[a, 0] += wx
                for b in range(1, a + 1):
                    precision[a, b] += wx * x[t, b]
        log_det = cholesky(precision, factor)
        forward_solve(factor, values)
        backward_solve(factor, values)
        for t in range(n_bins):
            eta[t] = values[0] + x[t, 0]
            for a in range(1, m):
                eta[t] += values[a] * x[t, a]
    total = log_likelihood(counts, r, eta) - 0.5 * log_det
    for a in range(m):
        total += 0.5 * (math.log(prior_precision[a]) - prior_precision[a] * (values[a] - prior_mean[a]) ** 2)
    return total


@numba.njit(cache=True)
def log_det_information(counts, r, x, values, prior_precision):
    """Log determinant of the precision of a unit's baseline and loadings, at `values`."""
    n_bins, m = x.shape
    precision = np.zeros((m, m))
    for a in range(m):
        precision[a, a] = prior_precision[a]
    for t in range(n_bins):
        if counts[t] < 0:
            continue
        eta = values[0] + x[t, 0]
        for a in range(1, m):
            eta += values[a] * x[t, a]
        mu = math.exp(min(eta, _MOST))
        w = mu * r / (r + mu)
        precision[0, 0] += w
        for a in range(1, m):
            wx = w * x[t, a]
            precision[a, 0] += wx
            for b in range(1, a + 1):
                precision[a, b] += wx * x[t, b]
    return cholesky(precision, np.empty((m, m)))


@numba.njit(cache=True)
def draw_values(rng, factor, mean, out):
    """A draw of the Gaussian that `fit_unit` gives."""
    for a in range(mean.size):
        out[a] = rng.standard_normal()
    backward_solve(factor, out)
    for a in range(mean.size):
        out[a] += mean[a]


@numba.njit(cache=True)
def log_density_values(factor, mean, values):
    """Log density of that Gaussian."""
    m = mean.size
    total = -0.5 * m * math.log(2.0 * math.pi)
    for a in range(m):
        # Row a of L' (v - mean).
        z = 0.0
        for k in range(a, m):
            z += factor[k, a] * (values[k] - mean[k])
        total += math.log(factor[a, a]) - 0.5 * z * z
    return total


@numba.njit(cache=True)
def smooth_course(counts, dispersion, members, values, courses, slot, n_rounds, j, h, work, x, warm=False):
    """Trajectory of some units under the dynamics of `slot`: the log normaliser of the Gaussian ``exp(h'x - x'jx/2)``.

    Parameters
    ----------
    counts : array (unit, bin)
    members : array (member,)
    values : array (member, m)
        Baseline and loadings of each member.
    courses : collapsed_nb.Courses
    j, h : arrays (bin, m, m), (bin, m), overwritten
        The information.
    work : collapsed_nb.Work
        The filter stays there, for `linear_dynamics_nb.sample_backward`.
    x : array (bin, m), overwritten
        Mean of the trajectory; one round further than the Gaussian's own expansion.
    warm : bool
        Begin at `x`, not at the counts.
    """
    n_bins, m = x.shape
    eta = np.empty(n_bins)
    direction = np.empty(m)
    direction[0] = 1.0
    precisions(courses.noise[slot], courses.transition[slot], work.precision, work.pulled, work.curved, work.log_det)
    normaliser = 0.0
    for round_ in range(n_rounds):
        j[:] = 0.0
        h[:] = 0.0
        for q in range(members.size):
            i = members[q]
            r = dispersion[i]
            d = values[q, 0]
            direction[1:] = values[q, 1:]
            guess = round_ == 0 and not warm
            if guess:
                first_guess(counts[i], eta)
            for t in range(n_bins):
                y = counts[i, t]
                if y < 0:
                    continue
                if not guess:
                    eta[t] = d
                    for a in range(m):
                        eta[t] += direction[a] * x[t, a]
                mu = math.exp(min(eta[t], _MOST))
                part = r / (r + mu)
                w = part * mu
                pull = w * (eta[t] - d) + part * (y - mu)
                for a in range(m):
                    h[t, a] += pull * direction[a]
                    wa = w * direction[a]
                    for b in range(a + 1):
                        j[t, a, b] += wa * direction[b]
        mirror(j)
        normaliser = filter_forward(
            j,
            h,
            courses.starts,
            courses.path,
            courses.offset[slot],
            work.precision,
            work.pulled,
            work.curved,
            work.log_det,
            work.factor,
            work.eta,
        )
        mean_backward(courses.starts, courses.path, courses.offset[slot], work.pulled, work.factor, work.eta, x)
    return normaliser


@numba.njit(cache=True)
def log_weight(counts, dispersion, members, values, j, h, normaliser, x):
    """Log of likelihood times prior of trajectory `x` over its density under the Gaussian of `smooth_course`."""
    n_bins, m = x.shape
    eta = np.empty(n_bins)
    total = normaliser
    for q in range(members.size):
        for t in range(n_bins):
            eta[t] = values[q, 0] + x[t, 0]
            for a in range(1, m):
                eta[t] += values[q, a] * x[t, a]
        total += log_likelihood(counts[members[q]], dispersion[members[q]], eta)
    for t in range(n_bins):
        for a in range(m):
            total -= h[t, a] * x[t, a]
            for b in range(m):
                total += 0.5 * x[t, a] * j[t, a, b] * x[t, b]
    return total
