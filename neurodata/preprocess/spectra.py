"""Power spectra of signals, over a whole recording and along the time of epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.preprocess._apply import is_counts, node_of
from neurodata.preprocess._sampling import sampling_step, segment_slices, time_values

# Segments transformed at once: large enough for the FFT, small enough to stay in the cache.
_AT_ONCE = 32


def power_spectrum(
    data: xr.DataArray | xr.Dataset | xr.DataTree,
    segment: float = 2.0,
    *,
    max_duration: float | None = None,
    sampling_rate: float | None = None,
) -> xr.DataArray:
    """Power spectral density by Welch's method: Hann windows that overlap by half, their mean taken off each.

    Segments never cross a gap. A segment in which a channel has NaN does not count for that channel.

    Parameters
    ----------
    data : DataArray (time, ...), Dataset or DataTree
        A signal; or an `eeg` node or a recording with one.
    segment : float
        Length of a segment, s; the frequencies are multiples of ``1 / segment``.
    max_duration : float, optional
        Read about this much (s), evenly spread over the recording, instead of all of it.
    sampling_rate : float, optional
        Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray (frequency, ...)
        One-sided density, in the unit of the signal squared per Hz. Attrs: `segment` (s), `n_segments`. NaN for
        channels without a whole segment.

    Raises
    ------
    OptionError
        Segments that are longer than every stretch without a gap.

    References
    ----------
    Welch 1967, IEEE Trans Audio Electroacoust 15:70, doi:10.1109/TAU.1967.1161901.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> time = np.arange(2000) / 200.0
    >>> node = nd.make_eeg(np.sin(2 * np.pi * 12.5 * time)[:, None], sampling_rate=200.0)
    >>> density = nd.preprocess.power_spectrum(node)
    >>> round(float(density.frequency[density.argmax("frequency").item()]), 6)
    12.5
    """
    signal = _signal(data)
    time = time_values(signal)
    step = sampling_step(signal, time, sampling_rate)
    n, starts = _segments(time, step, segment)
    if max_duration is not None:
        n_wanted = max(1, int(2 * max_duration / segment))
        if n_wanted < starts.size:
            starts = starts[np.unique(np.round(np.linspace(0, starts.size - 1, n_wanted)).astype(int))]
    frequency = np.fft.rfftfreq(n, step)
    shape = tuple(signal.sizes[dim] for dim in signal.dims if dim != "time")
    moved = signal.variable.transpose("time", ...)
    total, number = np.zeros((frequency.size, *shape)), np.zeros(shape)
    for first in range(0, starts.size, _AT_ONCE):
        block = np.stack(
            [np.asarray(moved[s : s + n].values, dtype=np.float64) for s in starts[first : first + _AT_ONCE]]
        )
        power = _density(block, step, axis=1)
        seen = np.isfinite(power).all(axis=1)
        total += np.where(seen[:, None], power, 0.0).sum(axis=0)
        number += seen.sum(axis=0)
    mean = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
    others = [str(dim) for dim in signal.dims if dim != "time"]
    result = _labelled(signal, mean, ("frequency", *others), frequency)
    attrs = {**result.attrs, "segment": float(segment), "n_segments": int(starts.size)}
    return result.assign_attrs(
        with_operation(attrs, "power_spectrum", segment=segment, max_duration=max_duration, window="hann")
    )


def spectrogram(
    data: xr.DataArray, window: float = 0.5, step: float = 0.05, *, sampling_rate: float | None = None
) -> xr.DataArray:
    """Power along time, in Hann windows that slide.

    Parameters
    ----------
    data : DataArray (..., time, ...)
        A signal, or epochs with a dim `trial`.
    window : float
        Length of the window, s. Power at a time is from half a window before it to half a window after it.
    step : float
        From one window to the next, s.
    sampling_rate : float, optional
        Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray (..., time, ..., frequency)
        `time` is the middle of each window. One-sided density, in the unit of the signal squared per Hz; NaN where a
        window has NaN or spans a gap.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> time = np.arange(400) / 100.0
    >>> node = nd.make_eeg((np.sin(2 * np.pi * 10 * time) * (time > 2))[:, None], sampling_rate=100.0)
    >>> power = nd.preprocess.spectrogram(node["signal"], window=0.5, step=0.5).sel(frequency=10.0)
    >>> (power.isel(channel=0) > 0.1).values.astype(int).tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    signal = _signal(data)
    time = time_values(signal)
    sample = sampling_step(signal, time, sampling_rate)
    n, hop = round(window / sample), max(1, round(step / sample))
    starts = np.arange(0, time.size - n + 1, hop)
    if n < 4 or starts.size == 0:
        raise OptionError(
            f"a window of 4 samples or more that fits into the {time.size} samples of {sample:g} s",
            f"window={window:g}",
            "correct window=",
        )
    axis = signal.dims.index("time")
    values = np.moveaxis(np.asarray(signal.values, dtype=np.float64), axis, -1)
    view = np.lib.stride_tricks.sliding_window_view(values, n, axis=-1)[..., ::hop, :]
    density = np.moveaxis(_density(view, sample, axis=-1), -2, axis)
    middle = time[starts] + (n - 1) / 2 * sample
    crossing = time[starts + n - 1] - time[starts] > (n - 0.5) * sample
    shape = [1] * density.ndim
    shape[axis] = -1
    density[np.broadcast_to(crossing.reshape(shape), density.shape)] = np.nan
    result = _labelled(signal, density, (*map(str, signal.dims), "frequency"), np.fft.rfftfreq(n, sample), middle)
    return result.assign_attrs(with_operation(result.attrs, "spectrogram", window=window, step=step, taper="hann"))


def _signal(data: Any) -> xr.DataArray:
    signal = data if isinstance(data, xr.DataArray) else node_of(data, "eeg")["signal"]
    if is_counts(signal):
        raise RecordingError("a continuous signal", "counts", "smooth or bin them to rates first")
    return signal


def _segments(time: np.ndarray, step: float, segment: float) -> tuple[int, np.ndarray]:
    """Samples per segment, and the first sample of each."""
    n = round(segment / step) if np.isfinite(segment) else 0
    starts = np.concatenate(
        [np.arange(part.start, part.stop - n + 1, max(1, n // 2)) for part in segment_slices(time)]
        or [np.zeros(0, dtype=int)]
    )
    if n < 4 or starts.size == 0:
        raise OptionError(
            "segments of 4 samples or more that fit between the gaps",
            f"segment={segment:g} s, samples {step:g} s apart",
            "correct segment=",
        )
    return n, starts.astype(int)


def _density(blocks: np.ndarray, step: float, axis: int) -> np.ndarray:
    """One-sided density of Hann-windowed blocks along `axis`, their mean taken off."""
    n = blocks.shape[axis]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    shape = [1] * blocks.ndim
    shape[axis] = n
    centred = (blocks - blocks.mean(axis=axis, keepdims=True)) * taper.reshape(shape)
    power = np.abs(np.fft.rfft(centred, axis=axis)) ** 2 * (step / (taper**2).sum())
    doubled = [slice(None)] * blocks.ndim
    doubled[axis] = slice(1, -1 if n % 2 == 0 else None)
    power[tuple(doubled)] *= 2.0
    return power


def _labelled(
    signal: xr.DataArray, values: np.ndarray, dims: tuple[str, ...], frequency: np.ndarray, time: Any = None
) -> xr.DataArray:
    coords: dict[Any, Any] = {name: coord for name, coord in signal.coords.items() if "time" not in coord.dims}
    if time is not None:
        coords["time"] = ("time", time, dict(signal["time"].attrs))
    coords["frequency"] = ("frequency", frequency, {"units": "Hz", "long_name": "frequency"})
    attrs = {key: value for key, value in signal.attrs.items() if key not in ("units", "long_name")}
    attrs |= {"units": f"{signal.attrs.get('units', '1')}^2/Hz", "long_name": "power spectral density"}
    return xr.DataArray(values, dims=dims, coords=coords, name="power", attrs=attrs)
