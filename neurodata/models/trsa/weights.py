"""The precision of the noise as the estimators use it: checked, in the order of the channels, and factorised."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.kernels import rdm_gram as kernel
from neurodata.models.trsa.layout import Layout


class Noise:
    """A precision (..., channel, channel) or its diagonal (channel,); `unknown` says which channels have none."""

    def __init__(self, precision: np.ndarray, by_run: bool = False, by_batch: bool = False) -> None:
        self.precision = precision
        self.by_run = by_run
        self.by_batch = by_batch
        diagonal = precision if precision.ndim == 1 else np.diagonal(precision, axis1=-2, axis2=-1)
        lost = np.isnan(diagonal).reshape(-1, diagonal.shape[-1]).any(axis=0)
        self.unknown: np.ndarray | None = lost if lost.any() else None
        self._factor: np.ndarray | None = None

    def at(self, start: int, n: int) -> Noise:
        """The noise of some of the batch."""
        return Noise(self.precision[start : start + n], by_batch=True) if self.by_batch else self

    def whiten(self, patterns: np.ndarray) -> np.ndarray:
        """Patterns (..., channel) whose noise is white; the given ones may be overwritten."""
        if self.precision.ndim == 1:
            return patterns * np.sqrt(self.precision)
        if self._factor is None:
            try:
                self._factor = np.linalg.cholesky(self.precision)
            except np.linalg.LinAlgError:
                raise RecordingError(
                    "a positive definite noise precision", "one that is not", "use a shrunk covariance and invert it"
                ) from None
        if self.by_batch:
            factor = self._factor.reshape(-1, *(1,) * (patterns.ndim - 3), *self._factor.shape[-2:])
            return patterns @ factor
        return kernel.whitened(patterns, self._factor)

    def covariances(self) -> np.ndarray:
        """Inverses."""
        return np.linalg.inv(self.precision)

    def of(self, channels: np.ndarray) -> Noise:
        """The noise of some channels alone: their covariance, inverted; what the others would add is not known."""
        if self.precision.ndim == 1:
            return Noise(self.precision[channels])
        known = np.arange(self.precision.shape[-1]) if self.unknown is None else np.flatnonzero(~self.unknown)
        place = np.flatnonzero(np.isin(known, channels))
        if place.size == known.size:
            return Noise(self.precision[..., known[:, None], known], self.by_run, self.by_batch)
        covariance = np.linalg.inv(self.precision[..., known[:, None], known])
        return Noise(np.linalg.inv(covariance[..., place[:, None], place]), self.by_run, self.by_batch)


def as_noise(given: Any, data: xr.DataArray, found: Layout) -> Noise:
    """Check a precision and put it into the order of the channels."""
    n = found.values.shape[-1]
    leading: tuple[str, ...] = ()
    if isinstance(given, xr.DataArray):
        values, leading = _labelled(given, data, found)
    else:
        values = np.asarray(given, dtype=np.float64)
        if values.ndim == 3:
            leading = ("run",)
    expected = "a noise precision (channel, channel), (channel,) or (run, channel, channel)"
    if values.ndim not in (1, 2, 3) or values.shape[-1] != n or (values.ndim > 1 and values.shape[-2] != n):
        raise OptionError(
            f"{expected} for {n} channels", f"shape {values.shape}", "estimate it with noise_precision from these data"
        )
    by_run = leading == ("run",)
    by_batch = bool(leading) and not by_run
    n_batch = int(np.prod(found.values.shape[: len(found.batch)], dtype=np.int64))
    if by_run and len(values) != len(found.runs):
        raise OptionError(f"a precision for each of {len(found.runs)} runs", f"{len(values)}", "pass one for each")
    if by_batch and len(values) != n_batch:
        raise OptionError(f"a precision for each of {n_batch} {leading[0]}s", f"{len(values)}", "pass one for each")
    if np.isinf(values).any():
        raise OptionError(f"{expected}, finite, NaN for channels without one", "infinite values", "check it")
    if values.ndim > 1:
        skew = np.fmax.reduce(np.abs(values - np.swapaxes(values, -1, -2)), axis=None)
        if skew > 1e-8 * np.fmax.reduce(np.abs(values), axis=None):
            raise OptionError(f"{expected}, symmetric", "one that is not", "average it with its transpose")
    if values.ndim == 1 and (values <= 0).any():
        raise OptionError("diagonal precisions above 0", f"{values.min()}", "drop constant channels")
    return Noise(values, by_run, by_batch)


def _labelled(given: xr.DataArray, data: xr.DataArray, found: Layout) -> tuple[np.ndarray, tuple[str, ...]]:
    name = found.pattern[0]
    if len(found.pattern) > 1 or name not in given.dims:
        return np.asarray(given.values, dtype=np.float64), ("run",) if given.ndim == 3 else ()
    second = f"{name}_2" if f"{name}_2" in given.dims else f"{name}2"
    wanted = [name, second] if second in given.dims else [name]
    leading = tuple(str(dim) for dim in given.dims if dim not in wanted)
    given = given.transpose(*leading, *wanted)
    for dim in wanted:
        if dim in given.coords and name in data.coords:
            own, other = data[name].values.tolist(), given[dim].values.tolist()
            if own == other:
                continue
            missing = [str(one) for one in own if one not in set(other)]
            if missing:
                raise OptionError(
                    "a noise precision for every channel", f"none for {', '.join(missing[:5])}", "estimate it again"
                )
            given = given.isel({dim: [other.index(one) for one in own]})
    for dim, labels in (("run", found.runs), ("time", data["time"].values if "time" in data.coords else None)):
        if dim in leading and dim in given.coords and labels is not None and not np.array_equal(given[dim], labels):
            raise OptionError(f"the same labels of {dim} as in the data", "others", "estimate it from the same data")
    if len(leading) > 1 or (leading and leading[0] not in ("run", *found.batch)):
        raise OptionError("a precision with a dim run or time at most", f"dims {given.dims}", "select one")
    return np.asarray(given.values, dtype=np.float64), leading
