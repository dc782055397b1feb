"""Weights of links given two effects per node, one on links within its group and one on links between, in Numba.

The linear predictor of a link is ``eta = mu_c + x_ic + x_jc`` with c = 1 within a group and 0 between groups. Families:

LOGNORMAL
    ``u = log(w / s)`` is eta plus Student noise.
ADDITIVE
    ``w = s (1 + eta)`` where eta > 0, with noise that may be very small, and a floor: smaller weights have
    ``log(w / s) = -log(1 - eta)`` with noise that may be large. For weights that share out strengths, which must stay
    positive. ``u = w / s - 1`` for w > s and ``log(w / s)`` below.
EXPONENTIAL
    Mean ``exp(eta)``.
POISSON
    Rate ``exp(eta)``, truncated at 0 (no weight, no link).
"""

from __future__ import annotations

import math

import numba

LOGNORMAL, ADDITIVE, EXPONENTIAL, POISSON = 0, 1, 2, 3
# Degrees of freedom of the noise.
DOF = 4.0
# Entries of the vector of parameters: intercepts between and within, log noise scale where eta is large and where it is
# small, log standard deviations of what the two effects of a node share and of what they differ by.
MU, LOG_HIGH, LOG_LOW, LOG_SHARED, LOG_OWN = 0, 2, 3, 4, 5
N_PARAMETERS = 6
# Least noise scale (exact sums, or products, are not told from such that are nearly so), and of ADDITIVE at small eta.
FLOOR_HIGH, FLOOR_LOW = 3e-3, 0.05
# Noise scales of the passes of a fit relative to the true one: wide first, so that one far value does not decide.
WIDTHS = (16.0, 4.0, 1.0, 1.0)
# Expected information of Student noise relative to that of the weights by which its mode is found.
INFORMATION = (DOF + 1.0) / (DOF + 3.0)
_T_CONSTANT = math.lgamma(0.5 * (DOF + 1.0)) - math.lgamma(0.5 * DOF) - 0.5 * math.log(DOF * math.pi)


@numba.njit(cache=True)
def noise_scale(family, eta, high, low):
    """Scale of the noise: for ADDITIVE `low` where eta is below 0, falling to `high` where it is large."""
    high += FLOOR_HIGH
    if family == LOGNORMAL:
        return high
    low += FLOOR_LOW
    if eta <= 0.0:
        return low
    part = 1.0 / (1.0 + eta * eta)
    part *= part
    return high + (low - high) * part * part


@numba.njit(cache=True)
def residual(family, u, eta):
    """What the predictor leaves of a transformed weight, and how fast the prediction rises with eta."""
    if family == ADDITIVE and eta < 0.0:
        return u + math.log1p(-eta), 1.0 / (1.0 - eta)
    return u - eta, 1.0


@numba.njit(cache=True)
def log_weight(family, y, eta, high, low):
    """Log density of a transformed weight (a weight for the last two families), without terms of the weight alone."""
    if family <= ADDITIVE:
        scale = noise_scale(family, eta, high, low)
        r = residual(family, y, eta)[0] / scale
        return _T_CONSTANT - math.log(scale) - 0.5 * (DOF + 1.0) * math.log1p(r * r / DOF)
    if family == EXPONENTIAL:
        return -eta - y * math.exp(-eta)
    rate = math.exp(eta)
    return y * eta - rate - math.log(-math.expm1(-rate))


@numba.njit(cache=True)
def slope(family, y, eta, high, low, width):
    """Derivative of `log_weight` in eta, noise scale held, and a positive curvature; noise is `width` times as wide."""
    if family <= ADDITIVE:
        scale = width * noise_scale(family, eta, high, low)
        r, rise = residual(family, y, eta)
        curvature = (DOF + 1.0) / (DOF * scale * scale + r * r)
        return curvature * r * rise, curvature * rise * rise
    if family == EXPONENTIAL:
        ratio = y * math.exp(-eta)
        return ratio - 1.0, 0.5 * (1.0 + ratio)
    rate = math.exp(eta)
    mean = rate / -math.expm1(-rate)
    return y - mean, max(mean * (1.0 + rate - mean), 1e-12)


@numba.njit(cache=True)
def effect_precision(parameters):
    """Precision of the two effects of a node: its diagonal, its off-diagonal, and the log of its determinant."""
    shared = math.exp(2.0 * parameters[LOG_SHARED])
    own = math.exp(2.0 * parameters[LOG_OWN])
    # Effects are a - b (between) and a + b (within), a ~ N(0, shared), b ~ N(0, own).
    determinant = 4.0 * shared * own
    return (shared + own) / determinant, (own - shared) / determinant, -math.log(determinant)


@numba.njit(cache=True)
def fit_node(family, y, offset, within, n, parameters, diagonal, cross, log_det, mean, hessian):
    """Gaussian approximation of the posterior of a node's effects; gives the log evidence of its weights by Laplace.

    Parameters
    ----------
    y : array (link,)
    offset : array (2, link)
        Intercept and the other node's effect, were the link between groups or within.
    within : array (link,)
        1 if the link is within the group.
    n : int
        Number of links; arrays may be longer.
    diagonal, cross, log_det : float
        Of `effect_precision`.
    mean : array (2,), overwritten
    hessian : array (3,), overwritten
        Precision of the approximation: between, within, cross.
    """
    high = math.exp(parameters[LOG_HIGH])
    low = math.exp(parameters[LOG_LOW])
    x0 = x1 = 0.0
    h0 = h1 = diagonal
    for width in WIDTHS:
        g0 = -diagonal * x0 - cross * x1
        g1 = -diagonal * x1 - cross * x0
        h0 = h1 = diagonal
        for q in range(n):
            if within[q] == 1:
                g, h = slope(family, y[q], offset[1, q] + x1, high, low, width)
                g1 += g
                h1 += h
            else:
                g, h = slope(family, y[q], offset[0, q] + x0, high, low, width)
                g0 += g
                h0 += h
        determinant = h0 * h1 - cross * cross
        step0 = (h1 * g0 - cross * g1) / determinant
        step1 = (h0 * g1 - cross * g0) / determinant
        if family > ADDITIVE:
            step0 = min(max(step0, -2.0), 2.0)
            step1 = min(max(step1, -2.0), 2.0)
        x0 += step0
        x1 += step1
    mean[0], mean[1] = x0, x1
    if family <= ADDITIVE:
        h0 = diagonal + INFORMATION * (h0 - diagonal)
        h1 = diagonal + INFORMATION * (h1 - diagonal)
    hessian[0], hessian[1], hessian[2] = h0, h1, cross
    value = node_log_joint(family, y, offset, within, n, parameters, diagonal, cross, log_det, x0, x1)
    return value + math.log(2.0 * math.pi) - 0.5 * math.log(h0 * h1 - cross * cross)


@numba.njit(cache=True)
def node_log_joint(family, y, offset, within, n, parameters, diagonal, cross, log_det, x0, x1):
    """Log density of a node's weights and effects."""
    high = math.exp(parameters[LOG_HIGH])
    low = math.exp(parameters[LOG_LOW])
    value = 0.5 * log_det - math.log(2.0 * math.pi)
    value -= 0.5 * diagonal * (x0 * x0 + x1 * x1) + cross * x0 * x1
    if family > ADDITIVE:
        for q in range(n):
            value += log_weight(family, y[q], offset[within[q], q] + (x1 if within[q] == 1 else x0), high, low)
        return value
    # As `log_weight`, with one logarithm for many links.
    squares = scales = 1.0
    for q in range(n):
        eta = offset[within[q], q] + (x1 if within[q] == 1 else x0)
        scale = noise_scale(family, eta, high, low)
        r = residual(family, y[q], eta)[0] / scale
        squares *= 1.0 + r * r / DOF
        scales *= scale
        if squares > 1e200 or scales > 1e200 or scales < 1e-200:
            value -= 0.5 * (DOF + 1.0) * math.log(squares) + math.log(scales)
            squares = scales = 1.0
    return value + n * _T_CONSTANT - 0.5 * (DOF + 1.0) * math.log(squares) - math.log(scales)


@numba.njit(cache=True)
def log_all(family, start, neighbour, y, group, effect, parameters):
    """Log density of all weights: each link once."""
    high = math.exp(parameters[LOG_HIGH])
    low = math.exp(parameters[LOG_LOW])
    value = 0.0
    squares = scales = 1.0
    for i in range(group.size):
        for q in range(start[i], start[i + 1]):
            j = neighbour[q]
            if j <= i:
                continue
            c = 1 if group[i] == group[j] else 0
            eta = parameters[MU + c] + effect[c, i] + effect[c, j]
            if family > ADDITIVE:
                value += log_weight(family, y[q], eta, high, low)
                continue
            # As `log_weight`, with one logarithm for many links.
            scale = noise_scale(family, eta, high, low)
            r = residual(family, y[q], eta)[0] / scale
            squares *= 1.0 + r * r / DOF
            scales *= scale
            if squares > 1e200 or scales > 1e200 or scales < 1e-200:
                value -= 0.5 * (DOF + 1.0) * math.log(squares) + math.log(scales)
                squares = scales = 1.0
    if family <= ADDITIVE:
        value += 0.5 * neighbour.size * _T_CONSTANT - 0.5 * (DOF + 1.0) * math.log(squares) - math.log(scales)
    return value


@numba.njit(cache=True)
def log_effects(effect, parameters):
    """Log prior density of all effects."""
    diagonal, cross, log_det = effect_precision(parameters)
    value = effect.shape[1] * (0.5 * log_det - math.log(2.0 * math.pi))
    for i in range(effect.shape[1]):
        a, b = effect[0, i], effect[1, i]
        value -= 0.5 * diagonal * (a * a + b * b) + cross * a * b
    return value


@numba.njit(cache=True)
def transform(family, w, scale, out):
    """Transformed weights; gives the sum of the logs of the derivatives."""
    jacobian = 0.0
    for q in range(w.size):
        if family > ADDITIVE:
            out[q] = w[q]
        elif family == ADDITIVE and w[q] > scale:
            out[q] = w[q] / scale - 1.0
            jacobian -= math.log(scale)
        else:
            out[q] = math.log(w[q] / scale)
            jacobian -= math.log(w[q])
    return jacobian


@numba.njit(cache=True)
def draw_weight(rng, family, eta, high, low, scale):
    """One weight."""
    if family == EXPONENTIAL:
        return math.exp(eta) * rng.standard_exponential()
    if family == POISSON:
        # The first event of a unit interval that has one, and Poisson events after it.
        rate = math.exp(eta)
        first = -math.log1p(rng.random() * math.expm1(-rate))
        return 1.0 + rng.poisson(max(rate - first, 0.0))
    mean = -math.log1p(-eta) if family == ADDITIVE and eta < 0.0 else eta
    noise = rng.standard_normal() / math.sqrt(rng.chisquare(DOF) / DOF)
    u = mean + noise_scale(family, eta, high, low) * noise
    if family == ADDITIVE and u > 0.0:
        return scale * (1.0 + u)
    return scale * math.exp(u)
