"""Least squares of all units' counts on all units' filtered past, from sums that are gathered block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.signal import lfilter

from neurodata.errors import OptionError

# Share of the mean variance that is added to every regressor, so that copies of a unit do not make the system singular.
_RIDGE = 1e-9
# A lag that misses the delay by less than this part of a bin is at the delay.
_ROUNDING = 1e-6
# The history counts as complete after this many decay times.
_N_DECAYS = 5.0


class PSP(NamedTuple):
    """A difference of two exponentials after a delay, sampled at whole bins and of sum 1: y[t] = sum_k h[k] x[t - k].

    ``h[k] = exp(-(k w - delay) / decay) - exp(-(k w - delay) / rise)`` for k >= `first`, as a recursive filter.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    first: int
    length: int


def psp_filter(bin_width: float, decay: float, rise: float, delay: float) -> PSP:
    """The filter for a bin width; all in s. `rise` 0 is a plain exponential.

    Examples
    --------
    >>> filter = psp_filter(0.002, 0.01, 0.0, 0.002)
    >>> filter.first, filter.numerator.round(3).tolist(), filter.denominator.round(3).tolist()
    (1, [0.181], [1.0, -0.819])
    """
    if not (np.isfinite([decay, rise, delay]).all() and 0 <= rise < decay and delay >= 0):
        raise OptionError(
            "0 <= rise < decay and delay >= 0, in s", f"decay={decay}, rise={rise}, delay={delay}", "correct them"
        )
    first = max(1, int(np.ceil(delay / bin_width - _ROUNDING)))
    slow = np.exp(-bin_width / decay)
    length = first + int(np.ceil(_N_DECAYS * decay / bin_width))
    if rise == 0:
        return PSP(np.array([1 - slow]), np.array([1.0, -slow]), first, length)
    fast = np.exp(-bin_width / rise)
    # At the first lag the slow part is 1; the fast one has fallen to this by then.
    start = np.exp(-max(first * bin_width - delay, 0.0) * (1 / rise - 1 / decay))
    numerator = np.array([1 - start, start * slow - fast])
    denominator = np.array([1.0, -(slow + fast), slow * fast])
    return PSP(numerator * denominator.sum() / numerator.sum(), denominator, first, length)


class Rows(NamedTuple):
    """Usable bins of a block: filtered past and counts (row, unit)."""

    past: np.ndarray
    counts: np.ndarray


def past_rows(blocks: Iterable[np.ndarray], psp: PSP) -> Iterator[Rows]:
    """Filtered past of the bins of one stretch that were observed, with all of the history before them, in all units.

    Parameters
    ----------
    blocks : iterable of array (bin, unit), integers
        The stretch, in pieces that follow one another; -1 = not observed.
    psp : PSP

    Yields
    ------
    Rows
        Of each piece that has any. The first bins of the stretch, up to `psp.length`, have no complete history.

    Examples
    --------
    >>> import numpy as np
    >>> last_bin = PSP(np.array([1.0]), np.array([1.0, 0.0]), 1, 1)
    >>> (rows,) = past_rows([np.array([[3], [0], [5]])], last_bin)
    >>> rows.past.ravel().tolist(), rows.counts.ravel().tolist()
    ([3.0, 0.0], [0.0, 5.0])
    """
    memory = carried = None
    age = 0  # bins observed in a row
    for block in blocks:
        if memory is None or carried is None:
            memory = np.zeros((len(psp.denominator) - 1, block.shape[1]))
            carried = np.zeros((psp.first, block.shape[1]))
        missing = (block < 0).any(axis=1)
        counts = np.maximum(block, 0).astype(np.float64)
        joined = np.concatenate([carried, counts])
        past, memory = lfilter(psp.numerator, psp.denominator, joined[: len(counts)], axis=0, zi=memory)
        carried = joined[len(counts) :]
        row = np.arange(1, len(counts) + 1)
        last = np.maximum.accumulate(np.where(missing, row, 0))
        ages = np.where(last > 0, row - last, row + age)
        age = int(ages[-1])
        use = ages > psp.length
        if use.any():
            yield Rows(past[use], counts[use])


@dataclass
class Moments:
    """Sums over rows: number, past (unit), counts (unit), past * past, past * counts (unit, unit), counts squared."""

    n: int
    past: np.ndarray
    counts: np.ndarray
    past_past: np.ndarray
    past_counts: np.ndarray
    counts_counts: np.ndarray

    @classmethod
    def empty(cls, n_units: int) -> Moments:
        """No rows yet."""
        zero, square = np.zeros(n_units), np.zeros((n_units, n_units))
        return cls(0, zero.copy(), zero.copy(), square.copy(), square.copy(), zero.copy())

    def add(self, past: np.ndarray, counts: np.ndarray) -> None:
        """Add rows."""
        self.n += len(past)
        self.past += past.sum(axis=0)
        self.counts += counts.sum(axis=0)
        self.past_past += past.T @ past
        self.past_counts += past.T @ counts
        self.counts_counts += np.einsum("tn,tn->n", counts, counts)


class Coefficients(NamedTuple):
    """Of each regression: coefficient and its standard error (post, pre), NaN where a unit never varied."""

    value: np.ndarray
    error: np.ndarray


def solve(moments: Moments) -> Coefficients:
    """Ordinary least squares with an intercept, one regression per unit on all units, itself included."""
    n_units = len(moments.past)
    value, error = np.full((n_units, n_units), np.nan), np.full((n_units, n_units), np.nan)
    mean_past, mean_counts = moments.past / moments.n, moments.counts / moments.n
    gram = moments.past_past - moments.n * np.outer(mean_past, mean_past)
    cross = moments.past_counts - moments.n * np.outer(mean_past, mean_counts)
    total = moments.counts_counts - moments.n * mean_counts**2
    varies = (np.diag(gram) > 1e-12 * np.maximum(np.diag(moments.past_past), 1e-300)) & (moments.past > 0)
    responds = total > 0
    if moments.n <= varies.sum() + 1 or not varies.any():
        return Coefficients(value, error)
    kept = gram[np.ix_(varies, varies)]
    kept[np.diag_indices_from(kept)] += _RIDGE * np.mean(np.diag(kept))
    factor = cho_factor(kept)
    beta = cho_solve(factor, cross[varies][:, responds])
    residual = total[responds] - (beta * cross[varies][:, responds]).sum(axis=0)
    variance = np.maximum(residual, 0.0) / (moments.n - varies.sum() - 1)
    leverage = np.diag(cho_solve(factor, np.eye(len(kept))))
    where = np.ix_(responds, varies)
    value[where] = beta.T
    error[where] = np.sqrt(np.outer(variance, leverage))
    return Coefficients(value, error)


def pool(parts: dict[tuple[bool, ...], Moments]) -> Coefficients:
    """Combine groups of units by the precision of each coefficient."""
    n_units = len(next(iter(parts)))
    precision, weighted = np.zeros((n_units, n_units)), np.zeros((n_units, n_units))
    for key, moments in parts.items():
        found, rows = solve(moments), np.flatnonzero(key)
        known = np.isfinite(found.value) & (found.error > 0)
        with np.errstate(divide="ignore"):
            weight = np.where(known, found.error**-2.0, 0.0)
        precision[np.ix_(rows, rows)] += weight
        weighted[np.ix_(rows, rows)] += weight * np.where(known, found.value, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Coefficients(
            np.where(precision > 0, weighted / precision, np.nan), np.where(precision > 0, precision**-0.5, np.nan)
        )
