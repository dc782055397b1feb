"""From evidence to yes and no."""

from __future__ import annotations

import numpy as np


def benjamini_hochberg(p: np.ndarray, level: float) -> np.ndarray:
    """Which p values survive a false discovery rate of `level` (Benjamini and Hochberg 1995).

    Parameters
    ----------
    p : array
        NaN is no test: it does not survive, and does not count.
    level : float

    Returns
    -------
    array, bool

    References
    ----------
    .. [1] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57 (1995),
       doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> import numpy as np
    >>> benjamini_hochberg(np.array([0.01, 0.5, np.nan, 0.02]), 0.05).tolist()
    [True, False, False, True]
    """
    tested = np.isfinite(p)
    ordered = np.sort(p[tested])
    below = np.flatnonzero(ordered <= level * np.arange(1, ordered.size + 1) / max(ordered.size, 1))
    if not below.size:
        return np.zeros(p.shape, dtype=bool)
    return tested & (np.nan_to_num(p, nan=1.0) <= ordered[below[-1]])


def adjusted_p(p: np.ndarray) -> np.ndarray:
    """The smallest false discovery rate (Benjamini and Hochberg 1995) at which each p value survives.

    Parameters
    ----------
    p : array
        NaN is no test, and stays NaN.

    Returns
    -------
    array
        ``adjusted_p(p) <= level`` is ``benjamini_hochberg(p, level)``.

    Examples
    --------
    >>> import numpy as np
    >>> adjusted_p(np.array([0.01, 0.5, np.nan, 0.02])).tolist()
    [0.03, 0.5, nan, 0.03]
    """
    out = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p.ravel()[tested], kind="stable")]
    scaled = p.ravel()[order] * (order.size / np.arange(1, order.size + 1))
    out.ravel()[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return out
