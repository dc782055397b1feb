"""Scale among the factors of a component: free in the tensor, but not in penalties."""

from __future__ import annotations

import numpy as np

_STEPS = 80


def balance(linear: np.ndarray, quadratic: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Scales ``a`` (factor, component) with ``prod a**power == 1`` of the least ``sum linear a + quadratic a**2 / 2``.

    Coordinate descent on factors one at a time moves scale from one to another slowly; this does it at once, and
    never raises the loss.

    Parameters
    ----------
    linear, quadratic : array (factor, component)
        Sums of entries, and of squares, of each factor's column times their weights.
    power : array (factor,)
        How often a factor is in the product: 2 for a symmetric dim.

    Returns
    -------
    array (factor, component)
        1 where a factor of the component has no penalty.

    Examples
    --------
    >>> import numpy as np
    >>> balance(np.array([[8.0], [1.0]]), np.zeros((2, 1)), np.array([1, 1])).round(3).ravel().tolist()
    [0.354, 2.828]
    """
    scale = np.ones_like(linear)
    ready = ((linear > 0) | (quadratic > 0)).all(axis=0)
    if not ready.any():
        return scale
    linear, quadratic = linear[:, ready], quadratic[:, ready]
    weight = power[:, None].astype(np.float64)

    # At the least, ``linear a + quadratic a**2`` is the same multiple of the power in all factors: find it, in logs.
    def scales(level: np.ndarray) -> np.ndarray:
        target = weight * np.exp(level)
        return 2.0 * target / (linear + np.sqrt(linear**2 + 4.0 * quadratic * target))

    low, high = np.full(linear.shape[1], -100.0), np.full(linear.shape[1], 100.0)
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        above = (weight * np.log(scales(middle))).sum(axis=0) > 0
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    found = scales(0.5 * (low + high))
    # Exactly 1 in the product, so that the tensor stays.
    found /= np.exp((weight * np.log(found)).sum(axis=0) / weight.sum())
    scale[:, ready] = found
    return scale
