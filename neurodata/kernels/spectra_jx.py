"""Spectral densities of stationary kernels of variance one."""

from __future__ import annotations

import jax.numpy as jnp

KERNELS = ("rbf", "matern12", "matern32", "matern52", "periodic")


def density(kernel: str, omega, length, period):
    """S(w), with integral 2 pi over all w. Shapes of `omega`, `length` and `period` broadcast.

    "periodic" is a damped oscillation, exp(-r^2 / 2 l^2) cos(2 pi r / period): `length` is for how long it keeps its
    phase.
    """
    if kernel == "rbf":
        return _rbf(omega, length)
    if kernel == "matern12":
        return 2.0 * (1.0 / length) / (1.0 / length**2 + omega**2)
    if kernel == "matern32":
        rate = jnp.sqrt(3.0) / length
        return 4.0 * rate**3 / (rate**2 + omega**2) ** 2
    if kernel == "matern52":
        rate = jnp.sqrt(5.0) / length
        return 16.0 / 3.0 * rate**5 / (rate**2 + omega**2) ** 3
    centre = 2.0 * jnp.pi / period
    return 0.5 * (_rbf(omega - centre, length) + _rbf(omega + centre, length))


def _rbf(omega, length):
    return jnp.sqrt(2.0 * jnp.pi) * length * jnp.exp(-0.5 * (length * omega) ** 2)
