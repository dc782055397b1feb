"""Expected log likelihoods under Gaussian predictors, and their curvature."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

LIKELIHOODS = ("poisson", "negbin", "gaussian", "bernoulli")
# Gauss-Hermite nodes for those without a closed form.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
# Log rates above this are held there: exp would overflow in single precision.
MAX_LOG_RATE = 30.0


def expected_log_lik(kind: str, y, mean, var, log_noise):
    """E log p(y | h), h ~ N(mean, var), for each channel; `var` None is 0.

    Parameters
    ----------
    y, mean, var : (..., channel)
    log_noise : (channel)
        Log variance (gaussian), log of the size r (negbin: mean exp(h), variance exp(h) + exp(2 h) / r); not used
        otherwise.
    """
    if kind == "gaussian":
        spread = (y - mean) ** 2 + (0.0 if var is None else var)
        return -0.5 * (jnp.log(2.0 * jnp.pi) + log_noise + spread * jnp.exp(-log_noise))
    if kind == "poisson":
        rate = jnp.exp(jnp.minimum(mean + (0.0 if var is None else 0.5 * var), MAX_LOG_RATE))
        return y * mean - rate - gammaln(y + 1.0)
    point = _negbin if kind == "negbin" else _bernoulli
    if var is None:
        return point(y, mean, log_noise)
    # One square root that has a gradient at 0.
    sd = jnp.sqrt(var + 1e-12)
    return sum(w * point(y, mean + sd * x, log_noise) for x, w in zip(_NODES, _WEIGHTS, strict=True))


def _negbin(y, h, log_size):
    size = jnp.exp(log_size)
    constant = gammaln(y + size) - gammaln(size) - gammaln(y + 1.0)
    return constant - y * jax.nn.softplus(log_size - h) - size * jax.nn.softplus(h - log_size)


def _bernoulli(y, h, _):
    return y * h - jax.nn.softplus(h)


def mean_response(kind: str, mean, var):
    """E of an observation given h ~ N(mean, var): rates, probabilities, or the mean itself."""
    if kind == "gaussian":
        return mean
    var = 0.0 if var is None else var
    if kind == "bernoulli":
        sd = jnp.sqrt(var + 1e-12)
        return sum(w * jax.nn.sigmoid(mean + sd * x) for x, w in zip(_NODES, _WEIGHTS, strict=True))
    return jnp.exp(jnp.minimum(mean + 0.5 * var, MAX_LOG_RATE))


def information(kind: str, mean, log_noise):
    """Fisher information about h of one observation, for each channel."""
    if kind == "gaussian":
        return jnp.broadcast_to(jnp.exp(-log_noise), mean.shape)
    if kind == "bernoulli":
        p = jax.nn.sigmoid(mean)
        return p * (1.0 - p)
    rate = jnp.exp(jnp.minimum(mean, MAX_LOG_RATE))
    return rate if kind == "poisson" else rate / (1.0 + rate * jnp.exp(-log_noise))


def low_rank_log_lik(residual, observed, log_noise, factor):
    """Log N(residual; 0, diag(exp(log_noise)) + factor factor^T) over observed channels, for each frame.

    Parameters
    ----------
    residual : (..., channel)
        What is in channels that are not observed does not matter.
    observed : (..., channel) of 0 and 1, or (..., 1) where frames are observed as a whole or not at all
    log_noise : (channel)
    factor : (channel, rank)
    """
    precision = jnp.exp(-log_noise)
    r = residual * observed
    whole = observed.shape[-1] == 1
    n = observed[..., 0] * residual.shape[-1] if whole else observed.sum(axis=-1)
    scaled = factor * precision[:, None]
    eye = jnp.eye(factor.shape[1], dtype=residual.dtype)
    projected = r @ scaled
    if whole:
        root = jnp.linalg.cholesky(eye + factor.T @ scaled)
        solved = jax.scipy.linalg.solve_triangular(root, projected.reshape(-1, factor.shape[1]).T, lower=True)
        fit = (solved**2).sum(axis=0).reshape(projected.shape[:-1])
        log_det = observed[..., 0] * (2.0 * jnp.log(jnp.diagonal(root)).sum() + log_noise.sum())
    else:
        inner = eye + jnp.einsum("...p,pr,ps->...rs", observed, factor, scaled)
        root = jnp.linalg.cholesky(inner)
        solved = jax.scipy.linalg.solve_triangular(root, projected[..., None], lower=True)[..., 0]
        fit = (solved**2).sum(axis=-1)
        log_det = 2.0 * jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1) + (observed * log_noise).sum(-1)
    return -0.5 * (n * jnp.log(2.0 * jnp.pi) + log_det + (r**2 * precision).sum(axis=-1) - fit)


def low_rank_precision(log_noise, factor, right):
    """(diag(exp(log_noise)) + factor factor^T)^-1 @ right, for right (channel, ...)."""
    precision = jnp.exp(-log_noise)
    scaled = factor * precision[:, None]
    inner = jnp.eye(factor.shape[1], dtype=right.dtype) + factor.T @ scaled
    plain = precision.reshape((-1,) + (1,) * (right.ndim - 1)) * right
    flat = plain.reshape(len(precision), -1)
    out = flat - scaled @ jnp.linalg.solve(inner, factor.T @ flat)
    return out.reshape(right.shape)
