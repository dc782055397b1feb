"""Steps of the bi-clustering sampler over units, in Numba: Polya-Gamma weights, dispersions, cluster memberships.

Counts are ``y ~ NB(r, mean = exp(eta))``, ``eta = d + (1, c)' x`` with x (bin, 1 + latent) the trajectory of the
unit's cluster; with ``psi = eta - log r`` and ``w ~ PG(y + r, psi)`` their likelihood is, given w,
``exp(kappa psi - w psi^2 / 2)``, ``kappa = (y - r) / 2``: Gaussian in d, c and x. Counts are (unit, bin), negative
where not observed; there w is 0.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from neurodata.kernels import polya_gamma_nb
from neurodata.kernels.linear_dynamics_nb import backward_solve, cholesky, forward_solve

draw_polya_gamma = polya_gamma_nb.draw


_LARGEST = 600.0


@numba.njit(cache=True)
def log_means(baseline, loading, cluster, x, out):
    """``eta`` (unit, bin), overwritten; `x` is (cluster, bin, 1 + latent)."""
    n_units, n_bins = out.shape
    p = loading.shape[1]
    for i in range(n_units):
        k = cluster[i]
        for t in range(n_bins):
            value = baseline[i] + x[k, t, 0]
            for j in range(p):
                value += loading[i, j] * x[k, t, 1 + j]
            out[i, t] = value


@numba.njit(cache=True)
def draw_weights(rng, counts, dispersion, eta, n_terms, weight):
    """Polya-Gamma weights (unit, bin), overwritten."""
    for i in range(counts.shape[0]):
        r = dispersion[i]
        log_r = math.log(r)
        for t in range(counts.shape[1]):
            y = counts[i, t]
            weight[i, t] = draw_polya_gamma(rng, y + r, eta[i, t] - log_r, n_terms) if y >= 0 else 0.0


@numba.njit(cache=True)
def count_table(counts, table):
    """How often each unit has each count: (unit, largest count + 1), overwritten."""
    table[:] = 0
    for i in range(counts.shape[0]):
        for t in range(counts.shape[1]):
            if counts[i, t] >= 0:
                table[i, counts[i, t]] += 1


@numba.njit(cache=True)
def _log_dispersion_density(u, counts, exp_eta, table, shape, rate):
    """Log posterior of ``u = log r`` of one unit given its means, without what does not depend on r."""
    r = math.exp(u)
    total = shape * u - rate * r
    n = 0
    lgamma_r = math.lgamma(r)
    for y in range(table.size):
        if table[y] > 0:
            n += table[y]
            if y > 0:
                total += table[y] * (math.lgamma(y + r) - lgamma_r)
    logs = 0.0
    # log1p(mean / r) of several bins at a time: the product stays far from overflow.
    product = 1.0
    for t in range(counts.size):
        y = counts[t]
        if y >= 0:
            ratio = 1.0 + exp_eta[t] / r
            total -= y * u
            if y == 0:
                product *= ratio
                if product > 1e100:
                    logs += r * math.log(product)
                    product = 1.0
            else:
                logs += (y + r) * math.log(ratio)
    return total - logs - r * math.log(product)


@numba.njit(cache=True)
def slice_dispersions(rng, counts, eta, table, shape, rate, dispersion):
    """A slice-sampling step (stepping out, shrinking) of each unit's ``log r``, the Polya-Gamma weights integrated out.

    The prior is ``r ~ Gamma(shape, rate)``.
    """
    n_bins = counts.shape[1]
    exp_eta = np.empty(n_bins)
    width = 0.5
    for i in range(counts.shape[0]):
        for t in range(n_bins):
            # Chains far from the posterior may overflow.
            exp_eta[t] = math.exp(min(eta[i, t], _LARGEST))
        u = math.log(dispersion[i])
        level = _log_dispersion_density(u, counts[i], exp_eta, table[i], shape, rate) - rng.standard_exponential()
        low = u - width * rng.random()
        high = low + width
        left = int(rng.random() * 8)
        right = 7 - left
        while left > 0 and _log_dispersion_density(low, counts[i], exp_eta, table[i], shape, rate) > level:
            low -= width
            left -= 1
        while right > 0 and _log_dispersion_density(high, counts[i], exp_eta, table[i], shape, rate) > level:
            high += width
            right -= 1
        while True:
            trial = low + (high - low) * rng.random()
            if _log_dispersion_density(trial, counts[i], exp_eta, table[i], shape, rate) > level or high - low < 1e-12:
                break
            if trial < u:
                low = trial
            else:
                high = trial
        dispersion[i] = math.exp(trial)


@numba.njit(cache=True)
def add_information(counts, weight, log_r, r, baseline, loading, j, h):
    """Add what one unit says about the trajectory of its cluster, ``j`` (bin, m, m) and ``h`` (bin, m).

    Returns the log-likelihood of the augmented counts at a trajectory of 0.
    """
    m = loading.size + 1
    o = baseline - log_r
    constant = 0.0
    direction = np.empty(m)
    direction[0] = 1.0
    direction[1:] = loading
    for t in range(counts.size):
        y = counts[t]
        if y < 0:
            continue
        w = weight[t]
        kappa = 0.5 * (y - r)
        pull = kappa - w * o
        constant += o * (kappa - 0.5 * w * o)
        for a in range(m):
            h[t, a] += pull * direction[a]
            wa = w * direction[a]
            for b in range(a + 1):
                j[t, a, b] += wa * direction[b]
    return constant


@numba.njit(cache=True)
def mirror(j):
    """Fill the upper half of each matrix from the lower one."""
    m = j.shape[1]
    for t in range(j.shape[0]):
        for a in range(m):
            for b in range(a):
                j[t, b, a] = j[t, a, b]


@numba.njit(cache=True)
def regress(counts, weight, log_r, r, x, prior_mean, prior_precision, factor, centre):
    """A unit's augmented counts given a trajectory, baseline and loadings integrated out: log marginal likelihood.

    Parameters
    ----------
    x : array (bin, m)
    prior_mean, prior_precision : array (m,)
        Of baseline and loadings, independent.
    factor : array (m, m), overwritten
        Cholesky factor of the posterior precision.
    centre : array (m,), overwritten
        ``factor^-1`` times the linear term: ``factor^-T centre`` is the posterior mean.
    """
    m = x.shape[1]
    precision = np.zeros((m, m))
    linear = np.zeros(m)
    constant = 0.0
    log_det = 0.0
    for t in range(counts.size):
        y = counts[t]
        if y < 0:
            continue
        w = weight[t]
        kappa = 0.5 * (y - r)
        e = x[t, 0] - log_r
        pull = kappa - w * e
        constant += e * (kappa - 0.5 * w * e)
        precision[0, 0] += w
        linear[0] += pull
        for a in range(1, m):
            xa = x[t, a]
            linear[a] += pull * xa
            wx = w * xa
            precision[a, 0] += wx
            for b in range(1, a + 1):
                precision[a, b] += wx * x[t, b]
    for a in range(m):
        precision[a, a] += prior_precision[a]
        linear[a] += prior_precision[a] * prior_mean[a]
        constant -= 0.5 * prior_precision[a] * prior_mean[a] ** 2
        log_det -= math.log(prior_precision[a])
    log_det += cholesky(precision, factor)
    for a in range(m):
        centre[a] = linear[a]
    forward_solve(factor, centre)
    for a in range(m):
        constant += 0.5 * centre[a] ** 2
    return constant - 0.5 * log_det


@numba.njit(cache=True)
def draw_coefficients(rng, factor, centre, out):
    """Baseline and loadings (m,), overwritten, given what `regress` left in `factor` and `centre`."""
    for a in range(out.size):
        out[a] = centre[a] + rng.standard_normal()
    backward_solve(factor, out)


@numba.njit(cache=True)
def log_density_coefficients(factor, centre, values):
    """Log density of `draw_coefficients` at `values`."""
    m = values.size
    total = -0.5 * m * math.log(2.0 * math.pi)
    for a in range(m):
        # L' values - centre is white.
        part = -centre[a]
        for b in range(a, m):
            part += factor[b, a] * values[b]
        total += math.log(factor[a, a]) - 0.5 * part * part
    return total
