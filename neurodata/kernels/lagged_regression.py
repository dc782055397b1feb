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
# The history counts as complete after this many decay times, and slow times.
_N_DECAYS, _N_SLOW = 5.0, 3.0
# After this many time constants an exponential is 0 for sums over it.
_WHOLE = 20.0


class PSP(NamedTuple):
    """A filter over past bins, ``y[t] = sum_k h[k] x[t - k]``, in recursive form.

    Attributes
    ----------
    numerator, denominator : array
        Of the filter that is left when the first `first` lags, where h is 0, are taken off.
    first, length : int
        Shortest lag; lag after which h is next to nothing.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    first: int
    length: int


def psp_filter(bin_width: float, decay: float, rise: float, delay: float, slow: float | None = None) -> PSP:
    """The shape of a postsynaptic potential, less a slow average.

    ``exp(-(t - delay) / decay) - exp(-(t - delay) / rise)`` at lags t of whole bins, from `delay` on and from one bin
    on, scaled to sum 1; less ``exp(-(t - delay) / slow)``, scaled likewise. The difference is scaled once more, so that
    a response with the shape of the potential has a coefficient equal to its sum (for spikes without memory).

    Parameters
    ----------
    bin_width, decay, rise, delay : float
        s. `rise` 0 is a plain exponential.
    slow : float, optional
        s; the filter then has sum 0.

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
    if slow is not None and not (np.isfinite(slow) and slow > decay):
        raise OptionError(f"slow above decay ({decay} s), or None", f"{slow!r}", "pass slow=0.1")
    first = max(1, int(np.ceil(delay / bin_width - _ROUNDING)))
    length = first + int(np.ceil(max(_N_DECAYS * decay, _N_SLOW * (slow or 0.0)) / bin_width))
    fall = np.exp(-bin_width / decay)
    numerator, denominator = np.array([1 - fall]), np.array([1.0, -fall])
    if rise > 0:
        climb = np.exp(-bin_width / rise)
        # At the first lag the falling part is 1; the climbing one has this left.
        start = np.exp(-max(first * bin_width - delay, 0.0) * (1 / rise - 1 / decay))
        numerator = np.array([1 - start, start * fall - climb])
        denominator = np.array([1.0, -(fall + climb), fall * climb])
        numerator = numerator * denominator.sum() / numerator.sum()
    if slow is not None:
        pole = np.array([1.0, -np.exp(-bin_width / slow)])
        n_lags = int(np.ceil(_WHOLE * slow / bin_width)) + 1
        potential = _impulse(numerator, denominator, n_lags)
        less = potential - _impulse(np.array([pole.sum()]), pole, n_lags)
        numerator = np.polysub(np.convolve(numerator, pole), denominator * pole.sum())
        numerator = numerator * (potential @ less) / (less @ less)
        denominator = np.convolve(denominator, pole)
    return PSP(numerator, denominator, first, length)


def _impulse(numerator: np.ndarray, denominator: np.ndarray, n: int) -> np.ndarray:
    return lfilter(numerator, denominator, np.eye(1, n)[0])


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
    varies = np.diag(gram) > 1e-12 * np.maximum(np.diag(moments.past_past), moments.counts_counts)
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
