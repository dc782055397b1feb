"""The shape of filters that all pairs have in common, learned from a first regression.

Most of a filter is how strong it is; its course over lags (delay, rise, decay) is much alike from pair to pair. With
the common course as one shape and what is left as contrasts, "is this pair connected, and how strongly" is one
coefficient for which all lags speak, each as much as it knows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular

from neurodata.models.hmm_glm.design import Design, Layout

# A course whose sum is below this part of its absolute sum is scaled by the latter: it goes up and down alike.
_BALANCED = 0.1


def learn_shapes(design: Design, layout: Layout, theta: np.ndarray) -> np.ndarray:
    """Weights of the basis shapes that make up new ones: the common course first, then contrasts.

    Coefficients are put on the scale of their own uncertainty; the common course is the leading principal direction of
    all pairs there, and the contrasts are the directions at right angles to it, so that their regressors are
    uncorrelated with that of the common course.

    Parameters
    ----------
    design : Design
    layout : Layout
    theta : array (column, unit)
        A regression without states.

    Returns
    -------
    array (new shape, old shape)
        The first new shape has sum 1 over lags (or absolute sum 1, where it goes up and down alike); the others have
        regressors of the same variance.
    """
    n_basis, n_units = len(layout.basis), layout.n_units
    if n_basis == 1:
        return np.eye(1)
    covariance = _covariance(design, layout)
    root = np.linalg.cholesky(covariance)
    coupling = theta[1 : 1 + layout.n_coupling].reshape(n_units, n_basis, n_units)
    scaled = np.einsum("mjn,jk,n->mnk", coupling, root, np.sqrt(design.n_spikes))
    others = ~np.eye(n_units, dtype=bool) if n_units > 1 else np.ones((1, 1), dtype=bool)
    _, _, directions = np.linalg.svd(scaled[others], full_matrices=True)
    new = solve_triangular(root, directions.T, lower=True, trans="T").T
    course = new[0] @ layout.basis
    total, absolute = course.sum(), np.abs(course).sum()
    sign = np.sign(total) or 1.0
    return new * sign / (abs(total) if abs(total) > _BALANCED * absolute else absolute)


def with_shapes(
    shapes: np.ndarray, layout: Layout, design: Design, theta: np.ndarray
) -> tuple[Layout, Design, np.ndarray]:
    """The same regression in other shapes. The columns of `design` are overwritten.

    Parameters
    ----------
    shapes : array (new shape, old shape)
    layout, design : Layout, Design
    theta : array (column, unit)
    """
    n_units, n_basis = layout.n_units, len(layout.basis)
    for unit in range(n_units):
        first = 1 + unit * n_basis
        block = design.columns[:, first : first + n_basis]
        block[:] = block @ shapes.T
    theta = theta.copy()
    coupling = theta[1 : 1 + layout.n_coupling].reshape(n_units, n_basis, -1)
    # A filter is the same in both: coefficients @ basis.
    new = np.einsum("ij,mjn->min", np.linalg.inv(shapes.T), coupling)
    theta[1 : 1 + layout.n_coupling] = new.reshape(layout.n_coupling, -1)
    return replace(layout, basis=shapes @ layout.basis), design, theta


def _covariance(design: Design, layout: Layout) -> np.ndarray:
    """Covariance of the columns of one unit, mean over units."""
    n_basis = len(layout.basis)
    total = np.zeros((n_basis, n_basis))
    for unit in range(layout.n_units):
        first = 1 + unit * n_basis
        block = design.columns[:, first : first + n_basis]
        block = block - block.mean(axis=0)
        total += block.T @ block
    total /= layout.n_units * len(design.columns)
    return total + 1e-9 * np.trace(total) / n_basis * np.eye(n_basis)
