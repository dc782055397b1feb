"""Long binned recordings a block at a time, so that nothing but the counts themselves has to fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.models.sequences import _aligned, _breaks, _ids, _ordered, _whole_numbers, bin_width

Counts = xr.DataArray | Sequence[xr.DataArray]

# Bins per block; a block of 200 units is then 26 MB in float64.
BLOCK = 16384


class Stretch(NamedTuple):
    """Bins of one array that follow one another without a gap; `values` is a view of the input."""

    values: np.ndarray
    array: xr.DataArray


class Series(NamedTuple):
    """Checked counts: stretches (bin, unit) in order, ids of the units, bin width (s)."""

    stretches: tuple[Stretch, ...]
    unit: np.ndarray
    bin_width: float


def read_series(data: Counts, unit: np.ndarray | None = None) -> Series:
    """Check the form of counts and cut them at trials and gaps, without copying them.

    Parameters
    ----------
    data : DataArray or list of DataArray
        Counts (time, unit), (trial, time, unit), or a list of them; NaN = not observed.
    unit : array (unit,), optional
        Units the counts must have; they are put into this order.
    """
    arrays = [data] if isinstance(data, xr.DataArray) else list(data)
    if not arrays or not all(isinstance(array, xr.DataArray) for array in arrays):
        raise RecordingError(
            "counts as a DataArray (time, unit), (trial, time, unit), or a list of them",
            "an empty list" if not arrays else ", ".join(sorted({type(array).__name__ for array in arrays})),
            "use nd.bin_spikes, or neurodata.containers.make_counts for an array",
        )
    arrays = [_ordered(array) for array in arrays]
    widths = [bin_width(array) for array in arrays]
    if not np.allclose(widths, widths[0], rtol=1e-6, atol=0.0):
        raise RecordingError("one bin width in all arrays", f"{sorted(set(widths))} s", "bin them alike")
    known = _ids(arrays[0]) if unit is None else np.asarray(unit)
    stretches = []
    for array in (_aligned(array, known, fitted=unit is not None) for array in arrays):
        values = array.values if array.ndim == 3 else array.values[None]
        breaks = _breaks(array, widths[0])
        stretches += [
            Stretch(trial[a:b], array) for trial in values for a, b in zip(breaks[:-1], breaks[1:], strict=True)
        ]
    return Series(tuple(stretches), known, widths[0])


def blocks(values: np.ndarray, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Checked blocks (bin, unit) of a stretch as int32; -1 = not observed."""
    for start in range(0, len(values), size):
        yield _whole_numbers(xr.DataArray(values[start : start + size], dims=("time", "unit")))


def observed_units(values: np.ndarray) -> np.ndarray:
    """Which units of a stretch have any observed bin."""
    if values.dtype.kind != "f":
        return np.full(values.shape[1], len(values) > 0)
    seen = np.zeros(values.shape[1], dtype=bool)
    for start in range(0, len(values), BLOCK):
        seen |= np.isfinite(values[start : start + BLOCK]).any(axis=0)
    return seen
