"""The distribution of test statistics that are no discovery, estimated from the statistics themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

# Below this number of tests nothing is learned from them.
FEWEST = 30
# Quartiles of a standard normal lie this far from its median.
_QUARTILE = 0.6744897501960817
_LOG_2PI = np.log(2.0 * np.pi)


class EmpiricalNull(NamedTuple):
    """A normal distribution for the statistics of what is not there.

    Attributes
    ----------
    centre, width : float
        0 and 1 where the statistics do not speak against it.
    centre_se, width_se : float
        Standard errors of the estimates; 0 when nothing was estimated.
    interval : tuple of float
        Statistics inside it were used.
    n : int
        How many those were.
    """

    centre: float
    width: float
    centre_se: float
    width_se: float
    interval: tuple[float, float]
    n: int


THEORETICAL = EmpiricalNull(0.0, 1.0, 0.0, 0.0, (-np.inf, np.inf), 0)


def empirical_null(z: np.ndarray) -> EmpiricalNull:
    """Centre and width of the null distribution of z values, of which most are null.

    Statistics that should be standard normal under the null are shifted or wider where something was left out of the
    model that made them, such as a cause that many tests share. The few discoveries are in the tails, so the normal
    distribution is fitted to the central statistics, as one truncated to their interval, by maximum likelihood [1]_.

    Two cautions. The centre is shrunk by its own uncertainty (to 0 where it is below one standard error). A width below
    1 makes every test more daring, so it is 1 unless two standard errors above the estimate it is still less, and then
    that.

    Parameters
    ----------
    z : array
        NaN is no test. With fewer than 30 tests the answer is the standard normal distribution.

    Returns
    -------
    EmpiricalNull

    References
    ----------
    .. [1] B. Efron, "Large-scale simultaneous hypothesis testing: the choice of a null hypothesis", J. Am. Stat. Assoc.
       99 (2004), doi:10.1198/016214504000000089.

    Examples
    --------
    >>> import numpy as np
    >>> null = empirical_null(np.random.default_rng(0).normal(0.5, 2.0, 4000))
    >>> bool(abs(null.centre - 0.5) < 0.2), bool(abs(null.width - 2.0) < 0.2)
    (True, True)
    >>> empirical_null(np.zeros(3)).width
    1.0
    """
    z = np.asarray(z, dtype=np.float64)
    z = z[np.isfinite(z)]
    if z.size < FEWEST:
        return THEORETICAL
    low, middle, high = np.quantile(z, [0.25, 0.5, 0.75])
    scale = (high - low) / (2.0 * _QUARTILE)
    if not scale > 0.0:
        return THEORETICAL
    # The more tests, the narrower: discoveries bias, and there are enough for precision (the choice of R's locfdr).
    reach = 4.3 * np.exp(-0.26 * np.log10(z.size)) * scale
    a, b = middle - reach, middle + reach
    inside = z[(z >= a) & (z <= b)]
    moments = np.array([inside.mean(), np.mean(inside**2)])

    def loss(parameters: np.ndarray) -> float:
        centre, width = parameters[0], np.exp(parameters[1])
        mass = _log_mass((a - centre) / width, (b - centre) / width)
        square = moments[1] - 2.0 * centre * moments[0] + centre**2
        return inside.size * float(0.5 * square / width**2 + np.log(width) + 0.5 * _LOG_2PI + mass)

    # A flat heap of statistics would fit any width: no wider than twice what the quartiles say.
    bounds = [(a, b), (np.log(scale) - np.log(4.0), np.log(scale) + np.log(2.0))]
    found = minimize(loss, np.array([middle, np.log(scale)]), method="L-BFGS-B", bounds=bounds).x
    centre, width = float(found[0]), float(np.exp(found[1]))
    covariance = np.linalg.pinv(_curvature(loss, found))
    centre_se = float(np.sqrt(max(covariance[0, 0], 0.0)))
    width_se = width * float(np.sqrt(max(covariance[1, 1], 0.0)))
    centre *= max(0.0, 1.0 - (centre_se / centre) ** 2) if centre else 0.0
    if width < 1.0:
        width = min(1.0, width + 2.0 * width_se)
    return EmpiricalNull(centre, width, centre_se, width_se, (float(a), float(b)), int(inside.size))


def _log_mass(a: float, b: float) -> float:
    """Log of the probability of a standard normal variable between `a` and `b`, without cancellation."""
    if a > 0.0:
        a, b = -b, -a
    return float(log_ndtr(b) + np.log1p(-np.exp(log_ndtr(a) - log_ndtr(b))))


def _curvature(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Second derivatives by central differences."""
    n = at.size
    out = np.empty((n, n))
    shift = step * np.eye(n)
    for i in range(n):
        for j in range(n):
            corners = [si * sj * function(at + si * shift[i] + sj * shift[j]) for si in (1, -1) for sj in (1, -1)]
            out[i, j] = sum(corners) / (4.0 * step**2)
    return out
