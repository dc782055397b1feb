"""Shapes over lags that filters are made of. Every shape sums to 1, so its weight is the filter summed over lags."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError

BASES = ("raised_cosine", "exponential")


def n_lags(duration: float, bin_width: float, name: str) -> int:
    """Whole bins in `duration` (s); at least one.

    Examples
    --------
    >>> n_lags(0.1, 0.02, "history")
    5
    """
    if not np.isfinite(duration) or duration <= 0:
        raise OptionError(f"{name} as a positive time in s", repr(duration), f"set {name}=")
    lags = int(round(duration / bin_width))
    if lags < 1:
        raise OptionError(
            f"{name} of at least one bin, {bin_width:g} s",
            f"{duration:g} s",
            f"set {name}= to a multiple of the bin width, e.g. {name}={3 * bin_width:g}",
        )
    return lags


def raised_cosine(n_basis: int, lags: int) -> np.ndarray:
    """Raised cosines, evenly spaced on the logarithm of the lag: fine at short lags, broad at long ones.

    Parameters
    ----------
    n_basis : int
        How many; no more than `lags` are made.
    lags : int
        Length in bins.

    Returns
    -------
    array (basis, lag)
        Each row sums to 1; lag 1 first.

    References
    ----------
    Pillow et al. 2008, Nature 454:995, doi:10.1038/nature07140 (the shape).

    Examples
    --------
    >>> raised_cosine(2, 4).round(2).tolist()
    [[0.62, 0.31, 0.06, 0.0], [0.0, 0.21, 0.37, 0.42]]
    """
    n_basis = min(n_basis, lags)
    if n_basis == 1:
        return np.full((1, lags), 1.0 / lags)
    if n_basis == lags:
        return np.eye(lags)
    position = np.log(np.arange(1, lags + 1) + _log_offset(n_basis, lags))
    centre = np.linspace(position[0], position[-1], n_basis)
    width = centre[1] - centre[0]
    shape = 0.5 * (1.0 + np.cos(np.clip((position - centre[:, None]) / width, -1.0, 1.0) * np.pi))
    return shape / shape.sum(axis=1, keepdims=True)


def _log_offset(n_basis: int, lags: int) -> float:
    """The smallest c for which the first two centres, even on log(lag + c), are at least one lag apart.

    Without it the first shapes would fall between two lags and be zero everywhere.
    """

    def first_gap(c: float) -> float:
        return (1 + c) * (((lags + c) / (1 + c)) ** (1 / (n_basis - 1)) - 1)

    if first_gap(0.0) >= 1.0:
        return 0.0
    low, high = 0.0, 1.0
    while first_gap(high) < 1.0:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if first_gap(middle) < 1.0 else (low, middle)
    return high


def exponential(lags: int) -> np.ndarray:
    """One shape, ``exp(-k)`` over lags k = 1..lags.

    Examples
    --------
    >>> exponential(5).round(3).tolist()
    [[0.636, 0.234, 0.086, 0.032, 0.012]]
    """
    shape = np.exp(-np.arange(lags, dtype=np.float64))
    return (shape / shape.sum())[None]


def refractory(n_basis: int, lags: int) -> np.ndarray:
    """A shape for a unit's own history: lag 1 by itself (the refractory part), raised cosines over the later lags.

    Examples
    --------
    >>> refractory(2, 4).round(2).tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.77, 0.23, 0.0], [0.0, 0.0, 0.41, 0.59]]
    """
    shape = np.zeros((1 + min(n_basis, lags - 1), lags))
    shape[0, 0] = 1.0
    if lags > 1:
        shape[1:, 1:] = raised_cosine(n_basis, lags - 1)
    return shape


def make_basis(kind: str, n_basis: int, lags: int) -> np.ndarray:
    """The coupling basis by its name, (basis, lag)."""
    if kind not in BASES:
        raise OptionError(f"basis to be one of {', '.join(BASES)}", repr(kind), "choose one of them")
    return exponential(lags) if kind == "exponential" else raised_cosine(n_basis, lags)
