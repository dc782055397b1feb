"""Held-out counts: which entries to hide, and how well a posterior predicts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import gammaln

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError, RecordingError

Data = xr.DataArray | Sequence[xr.DataArray]


class CourseDraw(NamedTuple):
    """One draw with its trajectories: baseline, dispersion (unit,), loading (unit, latent), cluster (unit,),
    x (cluster, bin, m).
    """  # noqa: D205 - one sentence

    baseline: np.ndarray
    dispersion: np.ndarray
    loading: np.ndarray
    cluster: np.ndarray
    x: np.ndarray

    def log_means(self, unit: np.ndarray, bin_: np.ndarray) -> np.ndarray:
        """Log mean counts of pairs of unit and bin."""
        x = self.x[self.cluster[unit], bin_].astype(np.float64)
        return self.baseline[unit] + x[:, 0] + (self.loading[unit] * x[:, 1:]).sum(axis=1)


def speckle(data: Data, fraction: float = 0.1, *, rng: RNGLike = None) -> xr.DataArray | list[xr.DataArray]:
    """Single counts to hold out, at random over units and time.

    Parameters
    ----------
    data : DataArray or list of DataArray
        Counts (time, unit) or (trial, time, unit); NaN = not observed.
    fraction : float
        Part of the observed counts.
    rng : int, Generator or None

    Returns
    -------
    DataArray of bool, or a list of them
        True where held out. ``data.where(~mask)`` is what to fit, and the fitted model scores ``score(data, mask)``.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.ones((100, 20)), bin_width=0.5)
    >>> mask = nd.models.speckle(counts, 0.1, rng=0)
    >>> int(mask.sum()), int(counts.where(~mask).isnull().sum())
    (200, 200)
    """
    if not 0.0 < fraction < 1.0:
        raise OptionError("a fraction between 0 and 1", f"fraction={fraction!r}", "pass e.g. fraction=0.1")
    arrays = [data] if isinstance(data, xr.DataArray) else list(data)
    if not arrays or not all(isinstance(array, xr.DataArray) for array in arrays):
        raise RecordingError("a DataArray, or a list of them", type(data).__name__, "use nd.bin_spikes")
    draw = generator(rng)
    masks = []
    for array in arrays:
        seen = np.flatnonzero(array.notnull().values.ravel())
        hidden = np.zeros(array.size, dtype=bool)
        hidden[draw.choice(seen, round(fraction * len(seen)), replace=False)] = True
        mask = array.copy(data=hidden.reshape(array.shape)).rename("held_out")
        masks.append(mask.assign_attrs({"long_name": "held out", "fraction": fraction}))
    return masks[0] if isinstance(data, xr.DataArray) else masks


def log_predictive(draws: Iterator[CourseDraw], unit: np.ndarray, bin_: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Log of the mean over draws of the negative-binomial probability of each count.

    Parameters
    ----------
    draws : iterator of CourseDraw
    unit, bin_, counts : array (entry,)

    Returns
    -------
    array (entry,)
        nats.
    """
    # Terms of unit and count alone are computed once for each pair of them that occurs.
    pairs, place = np.unique(np.stack([unit, counts]), axis=1, return_inverse=True)
    place = place.ravel()
    constant = gammaln(pairs[1] + 1.0)
    total, n = np.full(len(unit), -np.inf), 0
    for one in draws:
        r = one.dispersion[pairs[0]].astype(np.float64)
        of_pair = gammaln(pairs[1] + r) - gammaln(r) - constant
        r = one.dispersion[unit].astype(np.float64)
        psi = one.log_means(unit, bin_) - np.log(r)
        log_p = of_pair[place] + counts * psi - (counts + r) * np.logaddexp(0.0, psi)
        total = np.logaddexp(total, log_p)
        n += 1
    if n == 0:
        raise OptionError("draws with trajectories", "none", "fit with course_draws of at least 1")
    return total - np.log(n)
