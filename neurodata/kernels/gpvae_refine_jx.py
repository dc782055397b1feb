"""Posterior of a trial's courses with its full covariance, latents and coefficients jointly.

Gauss-Newton steps on log p(data | courses) + log p(courses), whose curvature at the end is the posterior precision;
what linear decoders say is averaged over the posterior instead of taken at its mean.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from neurodata.kernels import gpvae_jx as gp
from neurodata.kernels.observation_jx import expected_log_lik, information, low_rank_log_lik, low_rank_precision

# Parts of a step that are tried; the best one is taken.
_PARTS = (1.0, 0.5, 0.2, 0.05, 0.0)


def frame_terms(params, modality: gp.Modality, y, observed, mean, covariance):
    """Gradient (T, k) and information (T, k, k) of the latents of a modality in one trial."""
    if modality.decoder == "linear":
        weight = params["decoder"]["weight"]
        predictor = gp.decode(params, modality, mean)
        jacobian = jnp.broadcast_to(weight.T, (*mean.shape[:-1], *weight.T.shape))
        var = None if modality.likelihood == "gaussian" else jnp.einsum("kp,tkl,lp->tp", weight, covariance, weight)
    else:

        def decode(z):
            return gp.decode(params, modality, z[None])[0]

        predictor = gp.decode(params, modality, mean)
        jacobian = jax.vmap(jax.jacfwd(decode))(mean)
        var = None
    if modality.rank:
        if observed.shape[-1] == 1:
            solved = low_rank_precision(
                params["log_noise"], params["factor"], jnp.moveaxis(jacobian, 1, 0)
            )  # (P, T, k)
            gradient = jnp.einsum("tp,ptk->tk", y - predictor, solved) * observed
            return gradient, jnp.einsum("tpk,ptl->tkl", jacobian, solved) * observed[..., None]

        def one(residual, seen, j):
            def value(step):
                return low_rank_log_lik(residual - j @ step, seen, params["log_noise"], params["factor"])

            zero = jnp.zeros(j.shape[1], j.dtype)
            return jax.grad(value)(zero), -jax.hessian(value)(zero)

        return jax.vmap(one)(y - predictor, observed, jacobian)

    def total(h):
        return (expected_log_lik(modality.likelihood, y, h, var, params["log_noise"]) * observed).sum()

    slope = jax.grad(total)(predictor)
    curved = information(modality.likelihood, predictor + (0.0 if var is None else 0.5 * var), params["log_noise"])
    return (
        jnp.einsum("tp,tpk->tk", slope, jacobian),
        jnp.einsum("tpk,tp,tpl->tkl", jacobian, curved * observed, jacobian),
    )


@partial(jax.jit, static_argnames=("modalities", "prior", "n_steps"))
def refined(params, modalities, prior, data, geometry, weights, whitened, n_steps: int = 8):
    """Mean (N, T, K), covariance over latents (N, T, K, K), whitened mean (N, K, F), and left (N, K, K).

    `left` are sums over frequencies of whitened coefficients' posterior covariance: F of what data do not speak of.

    Parameters
    ----------
    whitened : (N, K, F)
        Where to start: that of `gpvae_jx.amortised`.
    weights : dict of float
        What each modality's log likelihood is multiplied with.
    """
    weighted = gp.root_density(params, prior, geometry["omega"])[:, :, None] * geometry["basis"][None]
    n_latents, n_coef, n_bins = weighted.shape
    size = n_latents * n_coef

    def courses(a):
        return jnp.einsum("kf,kft->tk", a, weighted)

    def log_joint(a, trial, covariance):
        mean = courses(a)
        total = -0.5 * (a**2).sum()
        for m in modalities:
            where = jnp.array(m.latents)
            d = trial[m.name]
            predictor = gp.decode(params[m.name], m, mean[:, where])
            if m.rank:
                term = low_rank_log_lik(
                    d["y"] - predictor, d["observed"], params[m.name]["log_noise"], params[m.name]["factor"]
                ).sum()
            else:
                var = None
                if m.decoder == "linear" and m.likelihood != "gaussian":
                    weight = params[m.name]["decoder"]["weight"]
                    part = covariance[:, where][:, :, where]
                    var = jnp.einsum("kp,tkl,lp->tp", weight, part, weight)
                each = expected_log_lik(m.likelihood, d["y"], predictor, var, params[m.name]["log_noise"])
                term = (each * d["observed"]).sum()
            total = total + weights[m.name] * term
        return total

    def curvature(a, trial, covariance):
        mean = courses(a)
        gradient = jnp.zeros((n_bins, n_latents), a.dtype)
        inner = jnp.zeros((n_bins, n_latents, n_latents), a.dtype)
        for m in modalities:
            where = jnp.array(m.latents)
            part = covariance[:, where][:, :, where]
            d = trial[m.name]
            g, info = frame_terms(params[m.name], m, d["y"], d["observed"], mean[:, where], part)
            gradient = gradient.at[:, where].add(weights[m.name] * g)
            inner = inner.at[:, where[:, None], where[None, :]].add(weights[m.name] * info)
        half = jnp.einsum("tkl,lgt->kltg", inner, weighted)
        precision = jnp.einsum("kft,kltg->kflg", weighted, half).reshape(size, size) + jnp.eye(size, dtype=a.dtype)
        return jnp.einsum("tk,kft->kf", gradient, weighted) - a, jnp.linalg.cholesky(precision)

    # Columns: what each latent at each bin is made of.
    columns = jnp.einsum("kft,kl->kftl", weighted, jnp.eye(n_latents, dtype=weighted.dtype)).reshape(size, -1)

    def marginal(root):
        solved = jax.scipy.linalg.solve_triangular(root, columns, lower=True).reshape(size, n_bins, n_latents)
        return jnp.einsum("stk,stl->tkl", solved, solved)

    def one(inputs):
        a, trial = inputs

        def step(_, carry):
            a, covariance = carry
            slope, root = curvature(a, trial, covariance)
            move = jax.scipy.linalg.cho_solve((root, True), slope.reshape(-1)).reshape(a.shape)
            covariance = marginal(root)
            values = jnp.stack([log_joint(a + part * move, trial, covariance) for part in _PARTS])
            part = jnp.array(_PARTS)[jnp.argmax(jnp.where(jnp.isfinite(values), values, -jnp.inf))]
            return a + part * move, covariance

        covariance = jnp.zeros((n_bins, n_latents, n_latents), a.dtype)
        a, covariance = lax.fori_loop(0, n_steps, step, (a, covariance))
        root = curvature(a, trial, covariance)[1]
        inverse = jax.scipy.linalg.solve_triangular(root, jnp.eye(size, dtype=a.dtype), lower=True)
        inverse = inverse.reshape(size, n_latents, n_coef)
        return courses(a), marginal(root), a, jnp.einsum("skf,slf->kl", inverse, inverse)

    return lax.map(one, (whitened, data))
