"""The one RDM that is most similar to several, in the metric of a comparison."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError
from neurodata.kernels import rdm_similarity as kernel
from neurodata.models.trsa.comparators import CENTRED, RANKED, SHAPES, WHITENED


def standardised(vectors: np.ndarray, comparison: str, covariance: np.ndarray | None = None) -> np.ndarray:
    """RDMs (rdm, pair) in the units in which their mean is the best single prediction; complete or NaN.

    Centred for `corr`, ranks for rank correlations, each of length 1 in the metric of the comparison otherwise.
    """
    if comparison in SHAPES:
        raise OptionError("a comparison with a best single prediction", f"{comparison!r}", "use 'whitened-cosine'")
    known = np.isfinite(vectors).all(axis=0)
    out = np.full(vectors.shape, np.nan)
    part = np.ascontiguousarray(vectors[:, known])
    if comparison in RANKED:
        out[:, known] = kernel.ranks(part)
        return out
    if comparison in CENTRED:
        part = kernel.centred(part)
    if comparison in WHITENED and known.all():
        size = np.sqrt(np.maximum(whitened_squares(part, covariance), 0.0))
    else:
        # With unknown pairs the plain size stands in for the whitened one.
        size = np.sqrt(np.einsum("ij,ij->i", part, part))
    out[:, known] = part * kernel.divide(np.ones_like(size), size)[:, None]
    return out


def whitened_squares(vectors: np.ndarray, covariance: np.ndarray | None) -> np.ndarray:
    """Squared whitened lengths (rdm,) up to one factor, of complete RDMs."""
    if covariance is not None and covariance.ndim == 2:
        white = kernel.whitened_vectors(vectors, covariance)
        return np.einsum("ij,ij->i", white, white)
    n = kernel.n_conditions(vectors.shape[1])
    return kernel.whitened_gram(vectors, vectors[:0], np.ones(n) if covariance is None else covariance)[1]


def pooled(vectors: np.ndarray, comparison: str, covariance: np.ndarray | None, weight: np.ndarray) -> np.ndarray:
    """Best single prediction (pair,) of RDMs with these weights; NaN where any of them is unknown.

    Examples
    --------
    >>> pooled(np.array([[1.0, 3.0, 2.0], [2.0, 6.0, 4.0]]), "rho-a", None, np.array([0.5, 0.5])).tolist()
    [1.0, 3.0, 2.0]
    """
    return weight @ standardised(vectors, comparison, covariance)
