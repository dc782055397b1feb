"""The multi-modal Gaussian-process VAE: amortised posterior in the Fourier domain, and its evidence lower bound.

Gondur et al., ICLR 2024. Shapes: N trials, T bins, K latents, F Fourier coefficients, P channels of a modality. A
modality's data are `y` (N, T, P) and `observed` (N, T, P) or (N, T, 1), both 0 where nothing was observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from neurodata.kernels import networks_jx as nets
from neurodata.kernels.observation_jx import expected_log_lik, low_rank_log_lik, low_rank_precision
from neurodata.kernels.spectra_jx import density

# Steps of conjugate gradients for posterior means; what is left only makes the bound a little looser.
_STEPS = 16
# Shape and rate of the prior of loadings' precisions, whose marginal is the penalty of `ard`.
_ARD_SHAPE, _ARD_RATE = 1.0, 0.05


@dataclass(frozen=True)
class Modality:
    """What is fixed about a modality while it is fitted."""

    name: str
    shape: tuple[int, ...]  # of channels, as (units,) or (rows, columns)
    likelihood: str
    decoder: str  # linear, mlp, conv
    hidden: tuple[int, ...]
    latents: tuple[int, ...]  # which of all latents it sees
    rank: int  # of the noise that channels share

    @property
    def n_channels(self) -> int:
        """Channels of a frame."""
        n = 1
        for size in self.shape:
            n *= size
        return n


@dataclass(frozen=True)
class Prior:
    """What is fixed about the processes."""

    kernel: str
    shortest: float  # bounds of length scales
    longest: float


def length_scale(raw, prior: Prior):
    """Length scales of unbounded parameters."""
    low, high = jnp.log(prior.shortest), jnp.log(prior.longest)
    return jnp.exp(low + (high - low) * jax.nn.sigmoid(raw))


def root_density(params: dict, prior: Prior, omega):
    """Prior standard deviations of coefficients (K, F)."""
    length = length_scale(params["length"], prior)[:, None]
    return jnp.sqrt(density(prior.kernel, omega[None, :], length, jnp.exp(params["log_period"])[:, None]) + 1e-12)


def init_modality(key, modality: Modality) -> dict:
    """Encoder, decoder and noise to start from."""
    first, second, third, fourth = jax.random.split(key, 4)
    n, k = modality.n_channels, len(modality.latents)
    out: dict = {
        "encoder": {
            "direct": nets.dense(first, n, 2 * k, 0.1),
            "deep": nets.mlp(second, (n, *modality.hidden, 2 * k), 0.1),
        },
        "log_noise": jnp.zeros(n),
    }
    if modality.decoder == "linear":
        out["decoder"] = {"weight": 0.1 * jax.random.normal(third, (k, n)), "bias": jnp.zeros(n)}
    elif modality.decoder == "mlp":
        out["decoder"] = nets.mlp(third, (k, *modality.hidden[::-1], n))
    else:
        out["decoder"] = nets.conv_decoder(third, k, modality.shape, modality.hidden[::-1])
    if modality.rank:
        out["factor"] = 0.1 * jax.random.normal(fourth, (n, modality.rank))
    return out


def decode(params: dict, modality: Modality, z):
    """Predictor (..., P) of the latents of a modality (..., its latents)."""
    if modality.decoder == "linear":
        return z @ params["decoder"]["weight"] + params["decoder"]["bias"]
    if modality.decoder == "mlp":
        return nets.apply_mlp(params["decoder"], z)
    return nets.apply_conv_decoder(params["decoder"], z, modality.shape)


def encode(params: dict, modality: Modality, y, observed, constants: dict):
    """What each frame says of its latents: a value (N, T, k) and its precision, 0 where nothing was observed."""
    x = y if modality.likelihood == "gaussian" else jnp.log1p(y)
    x = (x - constants["centre"]) * constants["scale"] * observed
    encoder = params["encoder"]
    out = x @ encoder["direct"]["weight"] + encoder["direct"]["bias"] + nets.apply_mlp(encoder["deep"], x)
    value, raw = jnp.split(out, 2, axis=-1)
    share = observed.mean(axis=-1, keepdims=True)
    return value, jax.nn.softplus(raw - 2.0) * share


def amortised(params, modalities: tuple[Modality, ...], prior: Prior, data, constants, geometry, keep=None):
    """Posterior of the coefficients as the product of the prior and what all frames of all modalities say.

    Parameters
    ----------
    keep : dict of (N,), optional
        1 where a trial's modality is used.

    Returns
    -------
    whitened : (N, K, F)
        Means over prior standard deviations.
    ratio : (N, K, F)
        Posterior over prior variances, coefficients taken as independent.
    weighted_basis : (K, F, T)
        Prior standard deviations times the basis: courses are its product with `whitened`.
    """
    basis = geometry["basis"]
    weighted = root_density(params, prior, geometry["omega"])[:, :, None] * basis[None]
    n, t = data[modalities[0].name]["y"].shape[:2]
    n_latents = weighted.shape[0]
    information = jnp.zeros((n, n_latents, t), basis.dtype)
    precision = jnp.zeros((n, n_latents, t), basis.dtype)
    for m in modalities:
        value, tau = encode(params[m.name], m, data[m.name]["y"], data[m.name]["observed"], constants[m.name])
        tau = tau if keep is None else tau * keep[m.name][:, None, None]
        where = jnp.array(m.latents)
        precision = precision.at[:, where].add(tau.transpose(0, 2, 1))
        information = information.at[:, where].add((tau * value).transpose(0, 2, 1))
    diagonal = 1.0 + jnp.einsum("nkt,kft->nkf", precision, weighted**2)
    right = jnp.einsum("nkt,kft->nkf", information, weighted)

    def product(a):
        return a + jnp.einsum("nkt,kft->nkf", precision * jnp.einsum("nkf,kft->nkt", a, weighted), weighted)

    whitened = lax.custom_linear_solve(
        product, right, lambda matvec, b: _conjugate_gradients(matvec, b, 1.0 / diagonal), symmetric=True
    )
    return whitened, 1.0 / diagonal, weighted


def _conjugate_gradients(product, right, preconditioner):
    """Each of a batch of systems along the last axis, for a fixed number of steps."""

    def inner(a, b):
        return (a * b).sum(axis=-1, keepdims=True)

    def step(_, carry):
        x, r, p, rz = carry
        ap = product(p)
        alpha = rz / jnp.maximum(inner(p, ap), 1e-30)
        x, r = x + alpha * p, r - alpha * ap
        z = preconditioner * r
        new = inner(r, z)
        return x, r, z + new / jnp.maximum(rz, 1e-30) * p, new

    z = preconditioner * right
    return lax.fori_loop(0, _STEPS, step, (jnp.zeros_like(right), right, z, inner(right, z)))[0]


def kl(whitened, ratio):
    """From the prior, for each trial and latent."""
    return 0.5 * (whitened**2 + ratio - 1.0 - jnp.log(ratio)).sum(axis=-1)


def log_lik(params: dict, modality: Modality, data: dict, mean, root, key):
    """Expected log likelihood of each bin (N, T).

    Parameters
    ----------
    mean : (N, T, k)
        Posterior means of the modality's latents.
    root : (N, T, k, k)
        Roots of their covariances, root root^T.
    key : PRNG key
        For decoders that are not linear, whose expectation is estimated from one draw per bin.
    """
    y, observed = data["y"], data["observed"]
    var = None
    if modality.decoder == "linear":
        predictor = decode(params, modality, mean)
        weight = params["decoder"]["weight"]
        if not modality.rank:
            var = ((root.swapaxes(-1, -2) @ weight) ** 2).sum(axis=-2)
    else:
        z = mean + (root @ jax.random.normal(key, mean.shape, mean.dtype)[..., None])[..., 0]
        predictor = decode(params, modality, z)
    if not modality.rank:
        each = expected_log_lik(modality.likelihood, y, predictor, var, params["log_noise"])
        return (each * observed).sum(axis=-1)
    out = low_rank_log_lik(y - predictor, observed, params["log_noise"], params["factor"])
    if modality.decoder == "linear":
        weight = params["decoder"]["weight"]
        inner = weight @ low_rank_precision(params["log_noise"], params["factor"], weight.T)
        out = out - 0.5 * jnp.einsum("ntkj,kl,ntlj->nt", root, inner, root) * observed.mean(axis=-1)
    return out


def ard(params: dict, modality: Modality):
    """Minus the log density of what each latent does to a modality: its loadings, precisions integrated out."""
    if modality.decoder == "linear":
        weight = params["decoder"]["weight"]
    else:
        layers = params["decoder"] if modality.decoder == "mlp" else params["decoder"]["layers"]
        weight = layers[0]["weight"]
    n = weight.shape[1]
    return ((0.5 * n + _ARD_SHAPE) * jnp.log(_ARD_RATE + 0.5 * (weight**2).sum(axis=1))).sum()


@partial(jax.jit, static_argnames=("modalities", "prior"))
def amortised_courses(params, modalities, prior, data, constants, geometry):
    """Mean and standard deviation (N, T, K) of the courses, as the encoders have it."""
    whitened, ratio, weighted = amortised(params, modalities, prior, data, constants, geometry)
    mean = jnp.einsum("nkf,kft->ntk", whitened, weighted)
    return mean, jnp.sqrt(jnp.einsum("nkf,kft->ntk", ratio, weighted**2)), whitened


def bound(params, modalities, prior, data, constants, geometry, weights, key, keep=None):
    """Evidence lower bound of each trial (N,): sum of weighted expected log likelihoods, minus the KL."""
    whitened, ratio, weighted = amortised(params, modalities, prior, data, constants, geometry, keep)
    mean = jnp.einsum("nkf,kft->ntk", whitened, weighted)
    sd = jnp.sqrt(jnp.einsum("nkf,kft->ntk", ratio, weighted**2))
    total = -kl(whitened, ratio).sum(axis=-1)
    for m, one in zip(modalities, jax.random.split(key, len(modalities)), strict=True):
        where = jnp.array(m.latents)
        root = sd[..., where, None] * jnp.eye(len(m.latents), dtype=sd.dtype)
        term = log_lik(params[m.name], m, data[m.name], mean[..., where], root, one).sum(axis=-1)
        total = total + weights[m.name] * (term if keep is None else term * keep[m.name])
    return total
