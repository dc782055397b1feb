"""When samples were taken: step, regularity and gaps of a time coordinate."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.errors import MissingOptionError, OptionError, RecordingError

# A step longer than this many usual (median) steps is a gap, as in `nd.summary`.
GAP_STEPS = 1.5
# Samples that stray from an even grid by more than this share of a step are not regular: filters need even steps.
# Clocks that were synchronised afterwards and times stored in double precision stay far below.
JITTER = 0.01
# So many samples, none a stated step from the next: the rate stated is wrong, rather than every step a gap.
_FEW = 10


def time_values(data: xr.DataArray | xr.Dataset) -> np.ndarray:
    """The time coordinate (time,), s.

    Raises
    ------
    RecordingError
        When there is none, or it does not increase.
    """
    if "time" not in data.dims or "time" not in data.coords:
        raise RecordingError(
            "data with a dim and a coordinate time (s)", f"dims {tuple(map(str, data.dims))}", "name the time dim time"
        )
    time = np.asarray(data["time"].values, dtype=np.float64)
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise RecordingError("times that are finite and increase", "others", "sort the samples by time")
    return time


def segment_slices(time: np.ndarray, max_gap: float | None = None) -> list[slice]:
    """Stretches without a gap, in order.

    Parameters
    ----------
    time : array (time,)
        s.
    max_gap : float, optional
        Steps longer than this (s) are gaps; default 1.5 median steps.
    """
    if time.size == 0:
        return []
    step = np.diff(time)
    longest = GAP_STEPS * float(np.median(step)) if max_gap is None and step.size else max_gap
    cut = np.flatnonzero(step > longest) + 1 if longest is not None else np.zeros(0, dtype=int)
    bounds = [0, *cut.tolist(), time.size]
    return [slice(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def stated_rate(data: xr.DataArray | xr.Dataset, sampling_rate: float | None = None) -> float | None:
    """Samples per second as the caller or the attrs (`sampling_rate`; `bin_width` of counts) state them."""
    if sampling_rate is not None:
        return sampling_rate
    if "bin_width" in data.attrs:
        return 1.0 / float(data.attrs["bin_width"])
    rate = data.attrs.get("sampling_rate")
    return None if rate is None else float(rate)


def stretches(data: xr.DataArray, max_gap: float | None = None) -> list[slice]:
    """Stretches of `data` without a gap; what is a gap follows from the stated rate, else from the median step."""
    rate = stated_rate(data)
    if max_gap is None and rate is not None:
        max_gap = GAP_STEPS / rate
    return segment_slices(time_values(data), max_gap)


def sampling_step(data: xr.DataArray | xr.Dataset, time: np.ndarray, sampling_rate: float | None = None) -> float:
    """Time between neighbouring samples, s, outside gaps.

    Taken from the attr `sampling_rate` (or `bin_width`) or, without one, from the time coordinate: span over number
    of steps, gaps left out. A stated rate that contradicts the coordinate is an error.

    Raises
    ------
    MissingOptionError
        One sample only and no rate stated.
    OptionError
        The rate stated and the coordinate disagree by more than 1 %.
    """
    stated = stated_rate(data, sampling_rate)
    if stated is not None and not (np.isfinite(stated) and stated > 0):
        raise OptionError("a positive sampling rate in Hz", f"{stated!r}", "pass sampling_rate= in Hz")
    # A stated rate tells what a gap is even where most steps are gaps (short stretches), which the median does not.
    segments = segment_slices(time, None if stated is None else GAP_STEPS / stated)
    n_steps = sum(s.stop - s.start - 1 for s in segments)
    if n_steps == 0:
        if stated is None:
            raise MissingOptionError("the sampling rate", "too few samples to tell", "pass sampling_rate= (Hz)")
        if time.size < _FEW:
            return 1.0 / float(stated)
        segments = segment_slices(time)
        n_steps = sum(s.stop - s.start - 1 for s in segments)
    measured = sum(float(time[s.stop - 1] - time[s.start]) for s in segments) / n_steps
    if stated is None:
        return measured
    if abs(measured * stated - 1) > JITTER:
        raise OptionError(
            "a sampling rate that fits the time coordinate",
            f"{stated:g} Hz, but the samples are {measured:g} s apart ({1 / measured:g} Hz)",
            "correct the attr sampling_rate, or pass the right sampling_rate=",
        )
    return 1.0 / float(stated)


def regular_slices(time: np.ndarray, step: float, purpose: str) -> list[slice]:
    """Gap-free stretches, each of them evenly sampled; anything else is an error that names `resample`."""
    segments = segment_slices(time, GAP_STEPS * step)
    for segment in segments:
        part = time[segment]
        if part.size < 3:
            continue
        even = np.linspace(part[0], part[-1], part.size)
        jitter = float(np.abs(part - even).max())
        # Double precision itself: at 1e9 s (a Unix time) neighbouring numbers are 1e-7 s apart.
        if jitter > JITTER * step + 4 * np.spacing(abs(part).max()):
            raise RecordingError(
                f"evenly spaced samples {purpose}",
                f"times that stray from an even grid by up to {jitter / step:.1%} of a step ({jitter:g} s)",
                "make them even first: nd.preprocess.resample(data, rate, method='linear')",
            )
    return segments
