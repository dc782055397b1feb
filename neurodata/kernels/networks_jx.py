"""Encoders and decoders as plain pytrees: linear, multi-layer, convolutional."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

_FILTERS = 16


def dense(key, n_in: int, n_out: int, scale: float = 1.0) -> dict:
    """A layer with weights of the size that keeps variances."""
    weight = scale * jax.random.normal(key, (n_in, n_out)) / jnp.sqrt(max(n_in, 1))
    return {"weight": weight, "bias": jnp.zeros(n_out)}


def mlp(key, sizes: Sequence[int], last: float = 1.0) -> list[dict]:
    """Layers of the given sizes; the last one's weights are `last` times as large."""
    keys = jax.random.split(key, len(sizes) - 1)
    scales = [1.0] * (len(sizes) - 2) + [last]
    return [dense(k, a, b, s) for k, a, b, s in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)]


def apply_mlp(layers: list[dict], x):
    """Exponential linear units between layers, none after the last."""
    for layer in layers[:-1]:
        x = jax.nn.elu(x @ layer["weight"] + layer["bias"])
    return x @ layers[-1]["weight"] + layers[-1]["bias"]


def conv_decoder(key, n_in: int, shape: Sequence[int], hidden: Sequence[int]) -> dict:
    """Layers, then two transposed convolutions that double height and width each."""
    rows, columns = -(-shape[0] // 4), -(-shape[1] // 4)
    first, second, third = jax.random.split(key, 3)
    return {
        "layers": mlp(first, (n_in, *hidden, rows * columns * 2 * _FILTERS)),
        "up": [
            jax.random.normal(second, (4, 4, 2 * _FILTERS, _FILTERS)) / jnp.sqrt(8.0 * _FILTERS),
            jax.random.normal(third, (4, 4, _FILTERS, 1)) / jnp.sqrt(4.0 * _FILTERS),
        ],
        "bias": jnp.zeros(shape[0] * shape[1]),
    }


def apply_conv_decoder(params: dict, z, shape: Sequence[int]):
    """Frames (..., rows * columns) of latents (..., latent)."""
    rows, columns = -(-shape[0] // 4), -(-shape[1] // 4)
    x = jax.nn.elu(apply_mlp(params["layers"], z)).reshape(-1, rows, columns, 2 * _FILTERS)
    for k, kernel in enumerate(params["up"]):
        x = lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.elu(x) if k == 0 else x
    frames = x[:, : shape[0], : shape[1], 0].reshape(*z.shape[:-1], shape[0] * shape[1])
    return frames + params["bias"]
