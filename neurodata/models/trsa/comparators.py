"""The similarities of dissimilarity matrices by name, on vectors of pairs; pairs that are unknown are left out."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError
from neurodata.kernels import rdm_similarity as kernel

LINEAR = ("cosine", "corr", "whitened-cosine", "whitened-corr", "cka")
RANKED = ("spearman", "rho-a", "tau-a", "tau-b")
SHAPES = ("bures", "bures-metric", "procrustes")
COMPARISONS = (*LINEAR, *RANKED, *SHAPES)
WHITENED = ("whitened-cosine", "whitened-corr", "cka")
CENTRED = ("corr", "whitened-corr")


def check_comparison(comparison: str, allowed: tuple[str, ...] = COMPARISONS) -> None:
    """Raise for a name that is no comparison."""
    if comparison not in allowed:
        raise OptionError(f"a comparison among {', '.join(allowed)}", f"{comparison!r}", "choose one of them")


def check_covariance(covariance: np.ndarray | None, n: int, comparison: str) -> np.ndarray | None:
    """The covariance of the conditions' errors as variances (condition,) or a matrix, or None for the identity."""
    if covariance is None:
        return None
    if comparison not in WHITENED or comparison == "cka":
        raise OptionError(
            "condition_covariance with comparison 'whitened-cosine' or 'whitened-corr'",
            f"comparison={comparison!r}",
            "leave condition_covariance out, or choose a whitened comparison",
        )
    covariance = np.asarray(covariance, dtype=np.float64)
    if covariance.shape not in ((n,), (n, n)):
        raise OptionError(
            f"condition_covariance of shape ({n},) or ({n}, {n})", f"shape {covariance.shape}", "one row per condition"
        )
    if covariance.ndim == 2:
        if not np.allclose(covariance, covariance.T, rtol=1e-8, atol=0.0, equal_nan=False):
            raise OptionError(
                "a symmetric condition_covariance", "one that is not", "pass (S + S.T) / 2 if it should be"
            )
        if np.count_nonzero(covariance - np.diag(np.diag(covariance))) == 0:
            covariance = np.diag(covariance)
    positive = (covariance > 0).all() if covariance.ndim == 1 else _positive(covariance)
    if not positive:
        raise OptionError(
            "a positive definite condition_covariance",
            "one with a variance of 0 or below, or with dependent conditions",
            "shrink the estimate towards its diagonal",
        )
    return covariance


def _positive(covariance: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return False
    return True


def similarity(
    a: np.ndarray, b: np.ndarray, comparison: str, covariance: np.ndarray | None = None, n: int | None = None
) -> np.ndarray:
    """Every row of a against every row of b.

    Parameters
    ----------
    a, b : array (rdm, pair) and (rdm_2, pair)
        Upper triangles row by row; NaN where unknown. Each comparison uses the pairs that both rows know.
    comparison : str
        One of `COMPARISONS`.
    covariance : array (condition,) or (condition, condition), optional
        For the whitened comparisons, checked.
    n : int, optional
        Conditions.

    Returns
    -------
    array (rdm, rdm_2)
        NaN where it is not defined.
    """
    n = kernel.n_conditions(a.shape[1]) if n is None else n
    known_a, known_b = np.isfinite(a), np.isfinite(b)
    if known_a.all() and known_b.all():
        return _complete(a, b, comparison, covariance)
    out = np.full((len(a), len(b)), np.nan)
    masks_a, which_a = np.unique(known_a, axis=0, return_inverse=True)
    masks_b, which_b = np.unique(known_b, axis=0, return_inverse=True)
    for i, mask_a in enumerate(masks_a):
        for j, mask_b in enumerate(masks_b):
            rows, columns = np.flatnonzero(which_a.ravel() == i), np.flatnonzero(which_b.ravel() == j)
            out[np.ix_(rows, columns)] = _masked(a[rows], b[columns], mask_a & mask_b, comparison, covariance, n)
    return out


def _complete(a: np.ndarray, b: np.ndarray, comparison: str, covariance: np.ndarray | None) -> np.ndarray:
    if comparison in CENTRED:
        a, b = kernel.centred(a), kernel.centred(b)
    if comparison in ("cosine", "corr"):
        return kernel.cosine(a, b)
    if comparison in WHITENED:
        return _whitened(a, b, covariance)
    if comparison == "spearman":
        return kernel.cosine(kernel.centred(kernel.ranks(a)), kernel.centred(kernel.ranks(b)))
    if comparison == "rho-a":
        return kernel.rho_a(a, b)
    if comparison in ("tau-a", "tau-b"):
        return kernel.kendall(a, b, adjust=comparison == "tau-b")
    norm, trace_a, trace_b, kept_a, kept_b = kernel.alignment(a, b)
    if comparison == "bures":
        size = np.sqrt(np.maximum(trace_a, 0.0))[:, None] * np.sqrt(np.maximum(trace_b, 0.0))
        return kernel.divide(norm, size)
    if comparison == "bures-metric":
        return trace_a[:, None] + trace_b - 2.0 * norm
    return kernel.divide(norm**2, kept_a[:, None] * kept_b)


def _whitened(a: np.ndarray, b: np.ndarray, covariance: np.ndarray | None) -> np.ndarray:
    if covariance is not None and covariance.ndim == 2:
        return kernel.cosine(kernel.whitened_vectors(a, covariance), kernel.whitened_vectors(b, covariance))
    n = kernel.n_conditions(a.shape[1])
    variance = np.ones(n) if covariance is None else covariance
    both, size_a, size_b = kernel.whitened_gram(a, b, variance)
    return kernel.divide(both, np.sqrt(np.maximum(size_a[:, None] * size_b, 0.0)))


def _masked(
    a: np.ndarray, b: np.ndarray, known: np.ndarray, comparison: str, covariance: np.ndarray | None, n: int
) -> np.ndarray:
    """Rows that all have the pairs `known`, compared on these alone."""
    if not known.any():
        return np.full((len(a), len(b)), np.nan)
    if comparison not in (*WHITENED, *SHAPES):
        return _complete(a[:, known], b[:, known], comparison, None)
    # Conditions of which nothing is known fall away, and their errors with them: that is V restricted, exactly.
    rows, columns = np.triu_indices(n, 1)
    used = np.unique(np.concatenate([rows[known], columns[known]]))
    inside = np.isin(rows, used) & np.isin(columns, used)
    if covariance is not None:
        covariance = covariance[used] if covariance.ndim == 1 else covariance[np.ix_(used, used)]
    a, b, known = a[:, inside], b[:, inside], known[inside]
    if known.all():
        return _complete(a, b, comparison, covariance)
    if comparison in SHAPES:
        raise OptionError(
            f"all pairs of the conditions that take part, for {comparison!r}",
            f"{int((~known).sum())} unknown pairs (NaN) among conditions of which others are known",
            "drop these conditions, or choose another comparison",
        )
    return _whitened_masked(a, b, known, comparison, covariance, used.size)


def _whitened_masked(
    a: np.ndarray, b: np.ndarray, known: np.ndarray, comparison: str, covariance: np.ndarray | None, n: int
) -> np.ndarray:
    """Whitened similarity where V is restricted to the known pairs.

    With ``P = V^-1``, the inverse of the known block of V is ``P_kk - P_ku P_uu^-1 P_uk``: the unknown entries take the
    values that make the quadratic form least.
    """
    covariance = np.ones(n) if covariance is None else covariance
    matrix = np.diag(covariance) if covariance.ndim == 1 else covariance
    if comparison in CENTRED:
        a, b = a.copy(), b.copy()
        a[:, known], b[:, known] = kernel.centred(a[:, known]), kernel.centred(b[:, known])
    holes = np.flatnonzero(~known)
    unit = np.zeros((holes.size, known.size))
    unit[np.arange(holes.size), holes] = 1.0
    free = kernel.whitened_vectors(unit, matrix)
    basis = np.linalg.qr(free.T)[0]
    white = []
    for rows in (a, b):
        flat = kernel.whitened_vectors(np.where(known, rows, 0.0), matrix)
        white.append(flat - (flat @ basis) @ basis.T)
    return kernel.cosine(*white)
