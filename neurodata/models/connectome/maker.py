"""What makes blocks of affinities: from derivatives, or rank correlations in a sliding window; smoothed over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neurodata.kernels import affinity_nb as kernel


class Maker(Protocol):
    """Makes rows of affinities of packed pairs, float32, 0 where not observed."""

    @property
    def margin(self) -> int:
        """Rows on either side that a block costs on top."""

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` .. `stop`."""


@dataclass(frozen=True)
class Differential:
    """Affinities of derivatives.

    Attributes
    ----------
    value, gate : array (time, unit), float32
        Derivatives, and gates, both 0 where not observed.
    late_value, late_gate : array (time, unit), float32, optional
        The same, `lag` earlier.
    weight : array (unit,), float32
        ``s^(-1/2)``.
    signs : tuple of float
        1, -1 or both: changes in the same direction, or in opposite ones.
    """

    value: np.ndarray
    gate: np.ndarray
    weight: np.ndarray
    signs: tuple[float, ...]
    late_value: np.ndarray | None = None
    late_gate: np.ndarray | None = None
    margin: int = 0

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` .. `stop`; of two signs the larger affinity."""
        out = self._signed(start, stop, self.signs[0])
        for sign in self.signs[1:]:
            np.maximum(out, self._signed(start, stop, sign), out=out)
        return out

    def _signed(self, start: int, stop: int, sign: float) -> np.ndarray:
        n_units = self.value.shape[1]
        out = np.zeros((stop - start, n_units * (n_units - 1) // 2), dtype=np.float32)
        one, gate = self.value[start:stop], self.gate[start:stop]
        if self.late_value is None or self.late_gate is None:
            kernel.affinities(one, gate, self.weight, np.float32(sign), out)
        else:
            late, late_gate = self.late_value[start:stop], self.late_gate[start:stop]
            half = np.float32(0.5)
            kernel.add_affinities(one, gate, late, late_gate, self.weight, np.float32(sign), half, out)
        return out


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation in a window about each time, its positive or negative part, or its size.

    Attributes
    ----------
    value : array (time, unit)
        Traces.
    first, last : array (time,)
        Rows of the window of each time.
    observed : array (time, unit)
        Units that have the whole window.
    """

    value: np.ndarray
    first: np.ndarray
    last: np.ndarray
    observed: np.ndarray
    sign: str
    margin: int = 0

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` .. `stop`."""
        from scipy.stats import rankdata

        i, j = np.triu_indices(self.value.shape[1], 1)
        out = np.zeros((stop - start, len(i)), dtype=np.float32)
        for t in range(start, stop):
            seen = self.observed[t]
            if not seen.any():
                continue
            rank = np.zeros((self.last[t] - self.first[t], len(seen)))
            rank[:, seen] = rankdata(self.value[self.first[t] : self.last[t], seen], axis=0)
            rank[:, seen] -= rank[:, seen].mean(axis=0)
            norm = np.linalg.norm(rank, axis=0)
            rank /= np.where(norm > 0, norm, 1.0)
            found = (rank.T @ rank)[i, j]
            if self.sign == "positive":
                out[t - start] = np.maximum(0.0, found)
            elif self.sign == "negative":
                out[t - start] = np.maximum(0.0, -found)
            else:
                out[t - start] = np.abs(found)
        return out


@dataclass(frozen=True)
class Smoothed:
    """Weighted mean over time of another maker's affinities, with weights ``decay^|k|``, |k| < length, of what was
    observed in the same stretch.

    Attributes
    ----------
    maker : Maker
    decay, length : float, int
        Per row; rows on a side, with the middle one.
    causal : bool
        The past only.
    stretch : array (time, 2)
        First and last row, exclusive, of the stretch each row is in.
    observed : array (time, unit)
    """

    maker: Maker
    decay: float
    length: int
    causal: bool
    stretch: np.ndarray
    observed: np.ndarray

    @property
    def margin(self) -> int:
        """Rows on either side that a block costs on top."""
        return self.length + self.maker.margin

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` .. `stop`."""
        n_units = self.observed.shape[1]
        out = np.zeros((stop - start, n_units * (n_units - 1) // 2), dtype=np.float32)
        a = start
        while a < stop:
            z = min(stop, int(self.stretch[a, 1]))
            self._within(a, z, out[a - start : z - start])
            a = z
        return out

    def _within(self, start: int, stop: int, out: np.ndarray) -> None:
        """Rows of one stretch."""
        first, last = self.stretch[start]
        low = max(int(first), start - self.length + 1)
        high = stop if self.causal else min(int(last), stop + self.length - 1)
        seen = self.observed[low:high]
        raw = self.maker(low, high)
        self._sums(raw, start - low, stop - low, out)
        if seen.all():
            ones = np.ones((high - low, 1), dtype=np.float32)
            weight = np.zeros((stop - start, 1), dtype=np.float32)
            self._sums(ones, start - low, stop - low, weight)
            out /= weight
            return
        i, j = np.triu_indices(seen.shape[1], 1)
        pairs = (seen[:, i] & seen[:, j]).astype(np.float32)
        weight = np.zeros_like(out)
        self._sums(pairs, start - low, stop - low, weight)
        own = pairs[start - low : stop - low]
        np.divide(out * own, weight, out=out, where=own > 0)
        out[own == 0] = 0.0

    def _sums(self, values: np.ndarray, first: int, last: int, out: np.ndarray) -> None:
        kernel.smooth_rows(values, self.decay, self.length, first, last, True, out)
        if not self.causal:
            kernel.smooth_rows(values, self.decay, self.length, first, last, False, out)
            out -= values[first:last]
