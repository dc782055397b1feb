"""How much a modality says of its latents, against how much its errors vary: the weight of a likelihood that is wrong.

A likelihood that holds errors of channels to be independent, or of constant size, where they are not, counts the same
evidence many times. Scores then vary more than their information says; with the weight ``k / tr(H^-1 J)``, H the mean
information and J the mean square of the scores, both agree on average (Pauli, Racugno & Ventura 2011, Statistica
Sinica 21:149; Ribatet, Cooley & Davison 2012, doi:10.5705/ss.2009.248).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from neurodata.kernels import gpvae_jx as gp
from neurodata.kernels.gpvae_refine_jx import frame_terms


@partial(jax.jit, static_argnames=("modality",))
def weight(params, modality: gp.Modality, data, mean, covariance):
    """Weight of a modality's log likelihood, at most 1.

    Parameters
    ----------
    params : dict
        Of the modality.
    mean : (N, T, k)
        Of its latents.
    covariance : (N, T, k, k)
    """

    def trial(y, observed, m, c):
        gradient, inner = frame_terms(params, modality, y, observed, m, c)
        return jnp.einsum("tk,tl->kl", gradient, gradient), inner.sum(axis=0)

    scores, inner = jax.lax.map(lambda args: trial(*args), (data["y"], data["observed"], mean, covariance))
    ratio = jnp.trace(jnp.linalg.pinv(inner.sum(axis=0), rtol=1e-4) @ scores.sum(axis=0)) / mean.shape[-1]
    return jnp.minimum(1.0, 1.0 / jnp.maximum(ratio, 1e-3))
