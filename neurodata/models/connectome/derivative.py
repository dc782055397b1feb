"""Derivatives of traces: robust scale, Savitzky-Golay within stretches without gaps, NaN where not observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.models.connectome.table import labels_of
from neurodata.preprocess._sampling import sampling_step, stretches, time_values

ITEM_DIMS = ("unit", "roi", "channel")
# Median absolute deviation, and mean absolute deviation, to standard deviation for a normal distribution.
_MAD_TO_SD, _MEAN_TO_SD = 1.482602218505602, 1.2533141373155003


@dataclass(frozen=True)
class Traces:
    """Traces (time, unit), float64, with NaN where not observed; none all NaN, none constant."""

    values: np.ndarray
    time: np.ndarray
    step: float
    stretches: tuple[slice, ...]
    item: str
    label: np.ndarray


def read_traces(data: xr.DataArray) -> Traces:
    """Check traces.

    Parameters
    ----------
    data : DataArray (time, unit|roi|channel)
    """
    if not isinstance(data, xr.DataArray):
        raise RecordingError("a DataArray (time, unit)", type(data).__name__, "pass e.g. rec['calcium']['dff']")
    item = next((dim for dim in ITEM_DIMS if dim in data.dims), None)
    if item is None or set(data.dims) != {"time", item}:
        raise RecordingError(f"dims time and one of {ITEM_DIMS}", str(tuple(data.dims)), "rename or select dims")
    if data.dtype.kind not in "biuf" or data.sizes[item] < 2:
        raise RecordingError("two traces of numbers or more", f"{data.sizes[item]}, dtype {data.dtype}", "pass traces")
    data = data.transpose("time", item)
    label = labels_of(data, item)
    values = np.asarray(data.values, dtype=np.float64)
    time = time_values(data)
    if np.isinf(values).any():
        raise RecordingError("finite traces, or NaN", "infinite values", "mark them as NaN, or leave the units out")
    with np.errstate(invalid="ignore"):
        never = np.isnan(values).all(axis=0)
        span = np.fmax.reduce(values, axis=0) - np.fmin.reduce(values, axis=0)
    problems = []
    if never.any():
        problems.append(f"nothing but NaN for {label[never][:5].tolist()}")
    if (span == 0).any():
        problems.append(f"constant traces of {label[span == 0][:5].tolist()}")
    if problems:
        raise RecordingError(f"traces that change, of each {item}", "; ".join(problems), "leave these out")
    return Traces(values, time, sampling_step(data, time), tuple(stretches(data)), item, label)


def robust_scale(values: np.ndarray) -> np.ndarray:
    """Median absolute deviation, as a standard deviation; the mean one where more than half of the values are equal.

    Examples
    --------
    >>> import numpy as np
    >>> robust_scale(np.array([[0.0], [0.0], [0.0], [4.0]])).round(3).tolist()
    [1.253]
    """
    away = np.abs(values - np.nanmedian(values, axis=0))
    middle = _MAD_TO_SD * np.nanmedian(away, axis=0)
    return np.where(middle > 0, middle, _MEAN_TO_SD * np.nanmean(away, axis=0))


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "robust": robust_scale,
    "rms": lambda values: np.nanstd(values, axis=0),
}


def derivatives(traces: Traces, window: float | None, polynomial: int, scale: str = "robust") -> np.ndarray:
    """Savitzky-Golay derivative (time, unit) of scaled traces, per s; NaN near what was not observed.

    Parameters
    ----------
    traces : Traces
    window : float, optional
        s; the odd number of samples next to it is used, 5 by default.
    polynomial : int
        Order.
    scale : {"robust", "rms"}
        What traces are divided by.
    """
    from scipy.signal import savgol_filter

    n = 5 if window is None else 2 * int(round((window / traces.step - 1.0) / 2.0)) + 1
    if not isinstance(polynomial, int) or polynomial < 1:
        raise OptionError("a polynomial of order 1 or more", repr(polynomial), "pass e.g. polynomial=2")
    if n <= polynomial:
        least = (polynomial + 1) * traces.step
        raise OptionError(
            f"a window of more than {polynomial} samples for order {polynomial}",
            f"{n} samples ({n * traces.step:g} s)",
            f"pass window={least + traces.step:g} s or more",
        )
    scaled = traces.values / SCALES[scale](traces.values)
    out = np.full_like(scaled, np.nan)
    for stretch in traces.stretches:
        part = scaled[stretch]
        if len(part) < n:
            continue
        seen = np.isfinite(part)
        whole = seen.all(axis=0)
        if whole.any():
            out[stretch, whole] = savgol_filter(part[:, whole], n, polynomial, deriv=1, delta=traces.step, axis=0)
        for unit in np.flatnonzero(~whole & seen.any(axis=0)):
            for a, z in runs(seen[:, unit]):
                if z - a >= n:
                    smooth = savgol_filter(part[a:z, unit], n, polynomial, deriv=1, delta=traces.step)
                    out[stretch.start + a : stretch.start + z, unit] = smooth
    lost = np.isnan(out).all(axis=0)
    if lost.any():
        raise RecordingError(
            f"{n} samples in a row of each {traces.item}",
            f"fewer for {traces.label[lost][:5].tolist()}",
            "shorten window, or leave these out",
        )
    flat = SCALES[scale](out) == 0
    if flat.any():
        raise RecordingError("traces that change", f"flat ones: {traces.label[flat][:5].tolist()}", "leave these out")
    return out


def runs(seen: np.ndarray) -> list[tuple[int, int]]:
    """Ranges in which `seen` is true.

    Examples
    --------
    >>> import numpy as np
    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edge = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(np.int8), [0]])))
    return [(int(a), int(z)) for a, z in zip(edge[::2], edge[1::2], strict=True)]
