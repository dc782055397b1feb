"""What decoders leave to the prior: the scale of latents, and how much of a shared one is counted into a private one.

A decoder that sees z / s does as well with s times the weights; s is such that the mean square of what is known of the
whitened coefficients is 1 (MacKay 1992, doi:10.1162/neco.1992.4.3.415, eq. 4.9). Training alone leaves latents too
large: it takes coefficients to be independent, which on a circle longer than the trial they are not.

A decoder that sees a private latent j and a shared one k does as well with ``z_j + c z_k`` for z_j, its weights changed
to fit; other modalities never see j. Only the prior, under which latents are independent, speaks against it: c is such
that the posterior expectation of whitened products is 0 over all trials, and has the sampling error of such a sum.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from neurodata.kernels import gpvae_jx as gp

# Coefficients of a trial; below it a latent is not used.
_LEAST = 0.1


def settle(
    params: dict, modalities: tuple[gp.Modality, ...], whitened: np.ndarray, left: np.ndarray
) -> tuple[dict, np.ndarray]:
    """Parameters under which latents have the prior's variance and private ones no part of shared ones.

    Parameters
    ----------
    whitened : (trial, latent, coefficient)
        Posterior means over prior standard deviations.
    left : (trial, latent, latent)
        Posterior covariance of whitened coefficients, summed over them.

    Returns
    -------
    params : dict
    variance : (latent, latent)
        ``[j, k]``: of the part c of latent k in j.
    """
    params = jax.tree.map(np.array, params)
    n_latents = whitened.shape[1]
    variance = np.zeros((n_latents, n_latents))
    flat = whitened.transpose(1, 0, 2).reshape(n_latents, -1).astype(float)
    determined = whitened.shape[2] - np.diagonal(left, axis1=1, axis2=2)
    scale = np.sqrt((flat**2).sum(axis=1) / np.maximum(determined.sum(axis=0), 1e-3))
    # A latent that nothing speaks of has no scale.
    scale = np.where(determined.mean(axis=0) > _LEAST, scale, 1.0)
    flat /= scale[:, None]
    open_product = left.sum(axis=0) / np.outer(scale, scale)
    for m in modalities:
        _rescale(params[m.name], m, scale)
    shared = [k for k in range(n_latents) if all(k in m.latents for m in modalities)]
    for m in modalities:
        private = [j for j in m.latents if j not in shared]
        if not shared or not private:
            continue
        gram = flat[shared] @ flat[shared].T
        inverse = np.linalg.pinv(gram, rcond=1e-6, hermitian=True)
        parts = -(flat[private] @ flat[shared].T + open_product[np.ix_(private, shared)]) @ inverse
        variance[np.ix_(private, shared)] = np.diagonal(inverse)
        _exchange(params[m.name], m, private, shared, parts)
    return params, variance


def _first(params: dict[str, Any], m: gp.Modality) -> dict[str, Any]:
    """The layer of the decoder that sees the latents."""
    if m.decoder == "linear":
        return params["decoder"]
    return (params["decoder"] if m.decoder == "mlp" else params["decoder"]["layers"])[0]


def _rescale(params: dict[str, Any], m: gp.Modality, scale: np.ndarray) -> None:
    """Put z / scale in the place of z; what the decoder gives stays."""
    direct, last = params["encoder"]["direct"], params["encoder"]["deep"][-1]
    for row, k in enumerate(m.latents):
        _first(params, m)["weight"][row] *= scale[k]
        for layer in (direct, last):
            layer["weight"][:, row] /= scale[k]
            layer["bias"][row] /= scale[k]


def _exchange(params: dict[str, Any], m: gp.Modality, private: list[int], shared: list[int], parts: np.ndarray) -> None:
    """Put ``z_j + sum_k parts[j, k] z_k`` in the place of z_j; what the decoder gives stays."""
    row = {k: i for i, k in enumerate(m.latents)}
    first = _first(params, m)
    direct, last = params["encoder"]["direct"], params["encoder"]["deep"][-1]
    for j, line in zip(private, parts, strict=True):
        for k, part in zip(shared, line, strict=True):
            first["weight"][row[k]] -= part * first["weight"][row[j]]
            for layer in (direct, last):
                layer["weight"][:, row[j]] += part * layer["weight"][:, row[k]]
                layer["bias"][row[j]] += part * layer["bias"][row[k]]
